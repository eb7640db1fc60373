"""From options and a text to a loaded task: what `run`, `build`, `plan`, `render` and `validate` do first."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from taskengine.cli.option import TaskOptions

if TYPE_CHECKING:
    from taskengine.taskspec.inputs import Inputs
    from taskengine.taskspec.model import SecretSpec

DEFAULT_PLATFORM = "linux/amd64"


def inputs_of(options: TaskOptions, *, platform: str = "", run_id: str = "") -> Inputs:
    """The facts and values that a task may use.

    `platform` is the engine's where one is known, `run_id` the one made up for this run.
    """
    from taskengine import wiring
    from taskengine.ambient import Ambient
    from taskengine.taskspec.inputs import Inputs, RunFacts

    os_name, architecture, *_ = (options.platform or platform or DEFAULT_PLATFORM).split("/")
    ambient = Ambient.system()
    facts = RunFacts(
        id=options.run_id or run_id,
        registry=options.registry,
        commit=options.commit,
        branch=options.branch,
        repository=options.repository,
        triggered_by=options.triggered_by,
        git_tag=options.git_tag,
        os=os_name,
        os_version=options.os_version,
        architecture=architecture,
        shared_volume=options.shared_volume,
        task_name=options.task_name,
        date=options.date or ambient.now(),
    )
    return Inputs(
        facts=facts,
        values_text=options.values,
        values_file=options.values_file or "values.yaml",
        set=options.set,
        set_secret=tuple(f"{key}={value}" for key, value in options.set_secret),
        secret_values=dict(options.secret),
        working_directory=options.working_directory,
        network=options.network,
        env=options.env,
        strict=options.strict,
        image_aliases=wiring.image_aliases(wiring.settings()),
        resolve_secrets=wiring.secret_resolver(wiring.settings()),
    )


def recording(inputs: Inputs) -> tuple[Inputs, Mapping[str, str]]:
    """The same inputs, and a table that fills with the secrets that a provider gives or that were given by id."""
    fetched: dict[str, str] = {name: value for name, value in inputs.secret_values.items() if isinstance(value, str)}
    known: dict[str, str] = {}  # a provider is asked once, however often the file is read
    ask = inputs.resolve_secrets

    def resolve(specs: Sequence[SecretSpec]) -> Mapping[str, str]:
        unknown = [spec for spec in specs if spec.id not in known]
        found = ask(unknown) if ask is not None and unknown else {}
        known.update(found)
        fetched.update(found)
        return {spec.id: known[spec.id] for spec in specs if spec.id in known}

    return replace(inputs, resolve_secrets=resolve), fetched


def shown_inputs(text: bytes, name: str, inputs: Inputs) -> Inputs:
    """The inputs with which `plan` and `render` show a file: those that were given, with which a fact that was not is
    empty; where the file is no valid task without an id or a registry, and one with them, made-up ones, and a word
    about it on stderr."""
    from taskengine.errors import InvalidTask
    from taskengine.taskspec.load import load_task

    complete = stand_ins(inputs)
    if complete.facts == inputs.facts:
        return inputs
    try:
        load_task(text, file=name, inputs=inputs)
        return inputs
    except InvalidTask:
        pass
    try:
        load_task(text, file=name, inputs=complete)
    except InvalidTask:
        return inputs
    print(
        f"warning: shown with the id {complete.facts.id} and the registry {complete.facts.registry}; "
        "give others with --id and --registry",
        file=sys.stderr,
    )
    return complete


def stand_ins(inputs: Inputs) -> Inputs:
    """The same inputs with an id and a registry where none were given.

    Every real run has an id, and nearly every task names its images by both: without them the commonest task file
    (`$Registry/app:$ID`) would not even be YAML.
    """
    facts = inputs.facts
    return replace(
        inputs, facts=replace(facts, id=facts.id or "run1", registry=facts.registry or "registry.example.com")
    )
