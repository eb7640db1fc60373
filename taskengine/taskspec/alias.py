"""The alias pass: `$name` in a task file becomes the text that the name stands for (version v1.1.0).

Textual on purpose, as in ACR Tasks: it runs before templates and knows neither quotes nor YAML. The section `alias`
is rendered by itself first, read, and taken out of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from taskengine.errors import Location
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern
from taskengine.taskspec import catalog
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.nodes import Map, Node, Scalar, Seq, YamlError, read
from taskengine.taskspec.report import Report, did_you_mean
from taskengine.taskspec.scalar import as_text, is_null
from taskengine.taskspec.section import content_lines, flow_section, is_flow, section_lines
from taskengine.taskspec.source import Builder, Source, View
from taskengine.taskspec.sourcefile import OutsideError, read_source
from taskengine.taskspec.text import MAX_SIZE
from taskengine.taskspec.values import run_facts

#: far beyond any task
_MOST_USES = 200_000
_NAME = pattern(r"[A-Za-z0-9]+")
_WORD = pattern(r"[A-Za-z0-9]*")
_SECTION = pattern(r"""^(["']?)alias\1\s*:""", re.MULTILINE)

#: renders a piece of the task text; None when that failed and is in the report
RenderView = Callable[[View], View | None]


class _TooMuch(Exception):
    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset


@dataclass
class Aliases:
    """What `$name` stands for. `own` are the task's own, which also count at the head of a cmd."""

    table: dict[str, str]
    own: dict[str, str] = field(default_factory=dict)
    directive: str = "$"


def drop_comments(view: View) -> View:
    """The text without the lines whose first visible character is #."""
    text = view.text
    lines = content_lines(text)
    builder = Builder(text)
    for start, line in lines:
        end = text.find("\n", start + len(line))
        builder.copy(start, len(text) if end < 0 else end + 1)
    return view.then(builder.text(), builder.pieces)


def apply_aliases(view: View, inputs: Inputs, report: Report, render: RenderView) -> tuple[View, Aliases] | None:
    """The text with its aliases replaced, and the aliases. None when the section is wrong; the report says how."""
    section, rest = _separate(view)
    aliases = _read_section(section, inputs, report, render)
    if aliases is None:
        return None
    try:
        replaced = _replace(rest, aliases, _direct(rest.text, aliases, inputs))
    except _TooMuch as error:
        message = f"aliases make more than {MAX_SIZE >> 20} MiB of text, or are used more than {_MOST_USES:,} times"
        report.error("E203", message, rest.locate(error.offset), hint="split the task, or use shorter texts")
        return None
    return replaced, aliases


def _separate(view: View) -> tuple[View | None, View]:
    """The alias section as a text of its own (None: there is none), and the rest, both without comment lines."""
    text = view.text
    if is_flow(text):
        found = flow_section(text, "alias")
        if found is None:
            return None, view
        value, cut = found
        section = Builder(text)
        section.put("alias: ", value.start)
        section.copy(value.start, value.end)
        rest = Builder(text)
        rest.copy(0, cut.start)
        rest.copy(cut.end, len(text))
        return view.then(section.text(), section.pieces), view.then(rest.text(), rest.pieces)
    if "#" not in text and "\r" not in text and text.endswith("\n") and not _SECTION.search(text):
        return None, view
    inside, outside = section_lines(content_lines(text), "alias")
    return (_join(view, inside) if inside else None), _join(view, outside)


def _join(view: View, lines: list[tuple[int, str]]) -> View:
    """A text of these lines, each with a line feed at its end. Lines that follow each other are one piece."""
    builder = Builder(view.text)
    begin = end = -1
    for start, line in lines:
        stop = start + len(line)
        if begin >= 0 and start == end + 1 and view.text.startswith("\n", end):
            end = stop
            continue
        if begin >= 0:
            builder.copy(begin, end)
            builder.put("\n", end)
        begin, end = start, stop
    if begin >= 0:
        builder.copy(begin, end)
        builder.put("\n", end)
    return view.then(builder.text(), builder.pieces)


# -- the section -----------------------------------------------------------------------------------------------------


def _read_section(section: View | None, inputs: Inputs, report: Report, render: RenderView) -> Aliases | None:
    before = report.errors
    images = catalog.IMAGE_ALIASES if inputs.image_aliases is None else inputs.image_aliases
    aliases = Aliases(table={**catalog.RUN_ALIASES, **images})
    if section is not None:
        rendered = render(section)
        if rendered is None:
            return None
        _read_alias(rendered, aliases, inputs, report)
    aliases.table.update(aliases.own)
    return aliases if report.errors == before else None


def _read_alias(view: View, aliases: Aliases, inputs: Inputs, report: Report) -> None:
    try:
        root = read(view.text).root
    except YamlError as error:
        report.error(error.code, error.message, view.locate(error.offset), hint=error.hint)
        return
    values: dict[str, str] = {}
    sources: list[tuple[str, Location]] = []
    if isinstance(root, Map):
        for key, node in _pairs(root):
            if isinstance(key, Scalar) and key.text == "alias" and not (isinstance(node, Scalar) and is_null(node)):
                sources = _read_properties(node, view, values, sources, aliases, report)
    external: dict[str, str] = {}
    for name, at in sources:
        external.update(_read_source(name, at, inputs, report))
    aliases.own = {**external, **values}


def _read_properties(
    node: Node,
    view: View,
    values: dict[str, str],
    sources: list[tuple[str, Location]],
    aliases: Aliases,
    report: Report,
) -> list[tuple[str, Location]]:
    if not isinstance(node, Map):
        report.error(
            "E107",
            "'alias' is a mapping with 'values', 'src' or 'directive'",
            view.locate(node.start),
            hint="write 'alias:' and below it, indented, 'values:' with 'name: text' lines",
        )
        return sources
    for key, value in _pairs(node):
        name = key.text if isinstance(key, Scalar) else ""
        empty = isinstance(value, Scalar) and is_null(value)
        if name == "values":
            if not empty:
                values.update(_flat(value, view, "'values'", report))
        elif name == "src":
            sources = [] if empty else _texts(value, view, report)
        elif name == "directive":
            _set_directive(value, view, aliases, report)
        elif name not in catalog.ALIAS and not name.startswith("x-"):
            hint = did_you_mean(name, catalog.ALIAS) or f"known are: {', '.join(catalog.ALIAS)}"
            report.warning("W101", f"unknown property '{name}' in 'alias'", view.locate(key.start), hint=hint)
    return sources


def _pairs(node: Map) -> list[tuple[Node, Node]]:
    return list(zip(node.flat[::2], node.flat[1::2], strict=True))


def _flat(node: Node, view: View, where: str, report: Report, *, code: str = "E107") -> dict[str, str]:
    """Names and texts of a mapping; anything deeper is an error."""
    if not isinstance(node, Map):
        hint = "write one 'name: text' a line"
        report.error(code, f"{where} is a mapping of names and texts", view.locate(node.start), hint=hint)
        return {}
    found = {}
    for key, value in _pairs(node):
        if not isinstance(key, Scalar) or not isinstance(value, Scalar):
            hint = "an alias stands for one text; lists and mappings are not possible"
            report.error(code, f"an alias in {where} is not a text", view.locate(value.start), hint=hint)
        elif not _NAME.fullmatch(as_text(key)):
            report.error(
                "E210",
                f"the alias name '{key.text}' may hold letters and digits only",
                view.locate(key.start),
                hint=_name_hint(key.text),
            )
        else:
            found[as_text(key)] = as_text(value)
    return found


def _name_hint(name: str) -> str:
    head, *rest = re.findall(r"[A-Za-z0-9]+", name) or ["name"]
    return f"call it '{head + ''.join(part[:1].upper() + part[1:] for part in rest)}'"


def _texts(node: Node, view: View, report: Report) -> list[tuple[str, Location]]:
    if not isinstance(node, Seq):
        text = node.text if isinstance(node, Scalar) else "defs.yaml"
        report.error("E107", "'src' is a list of texts", view.locate(node.start), hint=f"write src: [{text}]")
        return []
    found = []
    for item in node.items:
        if isinstance(item, Scalar):
            found.append((as_text(item), view.locate(item.start)))
        else:
            report.error("E107", "an entry of 'src' is a text", view.locate(item.start))
    return found


def _set_directive(node: Node, view: View, aliases: Aliases, report: Report) -> None:
    at = view.locate(node.start)
    if not isinstance(node, Scalar):
        report.error("E107", "'directive' is a text of one character", at)
        return
    text = as_text(node)
    if len(text) > 1:
        report.error("E211", f"the directive '{text[:20]}' has more than one character", at, hint="one, such as '@'")
    elif text and _NAME.fullmatch(text):
        report.error("E211", f"the directive '{text}' is a letter or digit", at, hint="choose a sign, such as '@'")
    elif text:
        aliases.directive = text


def _read_source(name: str, at: Location, inputs: Inputs, report: Report) -> Mapping[str, str]:
    """The aliases of one more file or address."""
    try:
        folders = (inputs.base_dir, Path(at.file).parent if inputs.file_dir is None else inputs.file_dir)
        text = read_source(name, folders=folders, fetch=inputs.fetch)
    except OutsideError as error:
        inside = "only files below this folder or the task file's are read: name it by a path from there"
        report.error("E212", f"the alias source '{name}' cannot be read: {error}", at, hint=inside)
        return {}
    except OSError as error:
        hint = "it is looked for here and beside the task file" if not isinstance(error, ConnectionError) else None
        report.error("E212", f"the alias source '{name}' cannot be read: {error}", at, hint=hint)
        return {}
    source = Source(text, name)
    report.know(source)
    view = View.of(source)
    try:
        root = read(text).root
    except YamlError as error:
        report.error("E213", f"the alias source '{name}' is no YAML: {error.message}", view.locate(error.offset))
        return {}
    if root is None or (isinstance(root, Scalar) and is_null(root)):
        return {}
    return _flat(root, view, f"the alias source '{name}'", report, code="E213")


# -- replacement -----------------------------------------------------------------------------------------------------


def _direct(text: str, aliases: Aliases, inputs: Inputs) -> Mapping[str, str]:
    """The table to replace by. Run variables stand for template actions; where a text has no other actions, their
    values themselves are put in, and the text need not be rendered at all."""
    if "{{" in text or any("{{" in value for name, value in aliases.table.items() if not _is_run(name, value)):
        return aliases.table
    facts = run_facts(inputs.facts)
    if any("{{" in value for value in facts.values()):
        return aliases.table
    return {name: facts[name] if _is_run(name, value) else value for name, value in aliases.table.items()}


def _is_run(name: str, value: str) -> bool:
    return catalog.RUN_ALIASES.get(name) == value


def _replace(view: View, aliases: Aliases, table: Mapping[str, str]) -> View:
    """Every `$name` of a known name replaced; `$$` is a `$`; unknown names stay as they are."""
    text, sign = view.text, aliases.directive
    if sign not in text:
        return view
    builder = Builder(text)
    done = 0
    at = text.find(sign)
    while at >= 0:
        builder.copy(done, at)
        done = _replace_at(text, at, sign, table, builder)
        at = text.find(sign, done)
    builder.copy(done, len(text))
    return view.then(builder.text(), builder.pieces)


def _replace_at(text: str, at: int, sign: str, table: Mapping[str, str], builder: Builder) -> int:
    """Deal with the sign at `at`; gives the offset from which on nothing has been written yet.

    Names follow each other without a gap (`$a$b`): the sign that ends one begins the next. After an unknown name it
    does not, as in ACR Tasks.
    """
    while True:
        if builder.length > MAX_SIZE or len(builder.pieces) > 2 * _MOST_USES:
            raise _TooMuch(at)
        name = _word(text, at + 1)
        end = at + 1 + len(name)
        if not name and text.startswith(sign, end):
            builder.put(sign, at)
            return end + 1
        value = table.get(name)
        if value is None:
            stop = min(end + 1, len(text))
            builder.copy(at, stop)
            return stop
        builder.put(value, at)
        if not text.startswith(sign, end):
            return end
        at = end


def _word(text: str, at: int) -> str:
    match = _WORD.match(text, at)
    return match.group() if match else ""
