"""From the text of a task file to its plan, in the passes that the format prescribes.

    bytes -> text -> aliases -> secrets -> templates -> YAML -> TaskSpec -> Plan

The front door of the engine's first half: it knows the order of the passes, each pass is a module of its own.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from taskengine.errors import InvalidTask, Problem
from taskengine.lightclass import dataclass
from taskengine.plan.compile import compile_into
from taskengine.plan.model import Plan
from taskengine.taskspec.alias import Aliases, apply_aliases, drop_comments
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.model import SecretSpec, TaskSpec
from taskengine.taskspec.nodes import Document, YamlError, read
from taskengine.taskspec.parse import parse_secrets, parse_task
from taskengine.taskspec.report import Report
from taskengine.taskspec.secret import check_secrets, secret_values
from taskengine.taskspec.section import content_lines, find_version, flow_section, is_flow, section_lines
from taskengine.taskspec.source import Builder, Source, View
from taskengine.taskspec.text import MAX_SIZE, decode
from taskengine.taskspec.values import empty_fact, set_secrets, template_data


@dataclass
class LoadedTask:
    """A task file that was understood. `secrets` are the values to mask, by id (those of --set-secret by name)."""

    spec: TaskSpec
    plan: Plan
    rendered: str
    aliases: bool
    warnings: tuple[Problem, ...]
    secrets: Mapping[str, str]


def load_task(text: str | bytes, *, file: str, inputs: Inputs) -> LoadedTask:
    """Understand a task file. Raises InvalidTask with all its problems."""
    with _quiet_collector():
        source = decode(text, file)
        rendering = _Rendering(source, inputs)
        view = rendering.run()
        report = rendering.report
        spec = _parse(view, report, inputs.facts)
        check_secrets(spec.secrets, report)
        aliases = rendering.aliases
        plan = compile_into(
            spec, aliases=aliases is not None, inputs=inputs, own=aliases.own if aliases else {}, report=report
        )
        report.stop_on_errors(source.text)
    return LoadedTask(
        spec=spec,
        plan=plan,
        rendered=view.text,
        aliases=aliases is not None,
        warnings=report.warnings,
        secrets=rendering.secrets,
    )


def render_task(text: str | bytes, *, file: str, inputs: Inputs, aliases: bool = True) -> str:
    """The text of a task file after aliases and templates. `aliases` False leaves the alias pass out."""
    source = decode(text, file)
    rendering = _Rendering(source, inputs)
    view = rendering.run(aliases=aliases)
    rendering.report.stop_on_errors(source.text)
    return view.text


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """No garbage collection while a big tree grows: there is no garbage in it, and looking costs more than reading."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # what has grown is old at once: else the next collection would walk through all of it
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        gc.enable()


def _parse(view: View, report: Report, facts: RunFacts) -> TaskSpec:
    try:
        document = read(view.text)
    except YamlError as error:
        at = view.locate(error.offset)
        hint = empty_fact(view.source.line(at.line), facts) or error.hint
        report.error(error.code, error.message, at, hint=hint)
        raise InvalidTask(report.problems, text=view.source.text) from None
    _warn_of_rest(document, view, report)
    return parse_task(document.root, view, report)


def _warn_of_rest(document: Document, view: View, report: Report) -> None:
    if document.rest is not None:
        hint = "put it in a file of its own"
        at = view.locate(document.rest)
        report.warning("W103", "only the first document of a file is read; this one is not", at, hint=hint)


@dataclass
class _Rendering:
    """The passes before YAML, and what they found out."""

    source: Source
    inputs: Inputs
    aliases: Aliases | None = None
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.report = Report(self.source, strict=self.inputs.strict)
        self.secrets = set_secrets(self.inputs)
        self.report.secrets = tuple(self.secrets.values())
        self._data: dict[str, Any] = template_data(self.inputs, self.report)

    def run(self, *, aliases: bool = True) -> View:
        """The text as it is after the passes. Raises InvalidTask only when there is no going on."""
        view = View.of(self.source)
        view = self._with_aliases(view) if aliases else drop_comments(view)
        self._get_secrets(view)
        rendered = self._render(view, {**self._data, "Secrets": self._secret_data})
        if rendered is None:
            raise self._invalid()
        if not rendered.text and self.source.text:
            hint = "check the conditions around the steps"
            self.report.error("E202", "the templates of this file render to nothing", view.locate(0), hint=hint)
        return rendered

    def _invalid(self) -> InvalidTask:
        return InvalidTask(self.report.problems, text=self.source.text)

    def _with_aliases(self, view: View) -> View:
        version = find_version(view.text)
        if version is not None and not version.literal:
            hint = "write the version itself, if aliases are wanted"
            at = view.locate(version.offset)
            self.report.warning("W201", "the version comes from a template: aliases are off", at, hint=hint)
        if version is None or not version.aliases:
            return view
        result = apply_aliases(view, self.inputs, self.report, lambda part: self._render(part, self._data))
        if result is None:
            raise self._invalid()
        view, self.aliases = result
        return view

    # -- secrets ----------------------------------------------------------------------------------------------------

    def _get_secrets(self, view: View) -> None:
        specs = check_secrets(self._find_secrets(view), self.report)
        found = secret_values(specs, self.inputs, self.report)
        # one that could not be got is some word, so that what uses it raises no further problems
        self._secret_data = {**{spec.id: "unknown" for spec in specs}, **found}
        self.secrets = {**self.secrets, **found}
        self.report.secrets = tuple(self.secrets.values())

    def _find_secrets(self, view: View) -> tuple[SecretSpec, ...]:
        """The secrets section, rendered by itself; by the whole text when it cannot stand alone."""
        if "secrets" not in view.text:
            return ()
        section = _section(view)
        quiet = Report(self.source)
        rendered = self._render(section, self._data, quiet) if section is not None else None
        if rendered is None:
            quiet = Report(self.source)
            rendered = self._render(view, {**self._data, "Secrets": {}}, quiet)
            if rendered is None:
                return ()  # the full rendering says what is wrong
        try:
            document = read(rendered.text)
        except YamlError:
            return ()
        return parse_secrets(document.root, rendered, self.report if section is not None else quiet)

    def _render(self, view: View, data: Mapping[str, Any], report: Report | None = None) -> View | None:
        if "{{" not in view.text:
            return view
        from taskengine.template import Limits, TemplateError, render

        try:
            rendered = render(view.text, data, limits=Limits(output_chars=MAX_SIZE), now=self.inputs.facts.date)
        except TemplateError as refused:
            target = report or self.report
            for error in (refused, *refused.others):
                hint = error.hint
                if "Secrets" in error.message and "Secrets" not in data:
                    hint = "secrets are not known yet in the alias section; use them in the steps"
                code = "E203" if error.kind == "limit" else "E201"
                target.error(code, f"template: {error.message}", view.locate(error.offset), hint=hint)
            return None
        return view.then(rendered.text, ((s.out, s.length, s.src, s.verbatim) for s in rendered.segments))


def _section(view: View) -> View | None:
    """The `secrets` section as a text of its own, None when there is none to be seen before rendering."""
    text = view.text
    builder = Builder(text)
    if is_flow(text):
        found = flow_section(text, "secrets")
        if found is None:
            return None
        builder.put("secrets: ", found[0].start)
        builder.copy(found[0].start, found[0].end)
    else:
        inside, _ = section_lines(content_lines(text), "secrets")
        if not inside:
            return None
        for start, line in inside:
            builder.copy(start, start + len(line))
            builder.put("\n", start + len(line))
    return view.then(builder.text(), builder.pieces)
