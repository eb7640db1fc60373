"""The plan of a stored task, compiled without running anything: secrets stand in for themselves, nothing is asked for.

Must not know where a context comes from, nor what the plan is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from taskengine.context.model import Fetched
from taskengine.errors import InvalidInput
from taskengine.plainfile import Folder
from taskengine.runs.spec import RunSpec
from taskengine.taskspec.inputs import Inputs, RunFacts

if TYPE_CHECKING:
    from taskengine.plan.model import Plan
    from taskengine.taskspec.model import SecretSpec

_LARGEST = 4 << 20


def plan_of(task: str, spec: RunSpec, secrets: Mapping[str, str], fetched: Fetched | None) -> Plan | None:
    """What the task's runs would do; None where the text lies in a context that is not here. `secrets` are the task's,
    by their prefixed names. Raises InvalidInput (InvalidTask) for a text that no run could use."""
    from taskengine.taskspec.load import load_task

    if fetched is None and (spec.file or (spec.values_file and not spec.build)):
        return None
    text, name = _text(spec, fetched)
    return load_task(text, file=name, inputs=_inputs(task, spec, secrets, fetched)).plan


def _text(spec: RunSpec, fetched: Fetched | None) -> tuple[str | bytes, str]:
    from taskengine.taskspec.quick import QuickBuild, build_task, with_registry

    if spec.build is not None:
        build = spec.build
        quick = QuickBuild(
            dockerfile=build.dockerfile, tags=tuple(with_registry(tag, spec.registry) for tag in build.tags),
            build_args=build.build_args, target=build.target, platform=spec.platform, no_cache=build.no_cache,
            push=build.push,
        )  # fmt: skip
        return build_task(quick), "build"
    if spec.file and fetched is not None:
        return _read(fetched, spec.file), spec.file
    return spec.text, spec.text_name


def _inputs(task: str, spec: RunSpec, secrets: Mapping[str, str], fetched: Fetched | None) -> Inputs:
    known = fetched or Fetched(folder=Path("/nonexistent"))
    os_name, _, architecture = (spec.platform or "linux/amd64").partition("/")
    facts = RunFacts(
        id="ca0",
        registry=spec.registry,
        commit=known.commit,
        branch=known.branch,
        repository=known.repository,
        git_tag=known.tag,
        os=os_name,
        architecture=architecture.partition("/")[0],
        task_name=task,
        date=datetime.fromisoformat(spec.date) if spec.date else None,
    )
    values = spec.values_text or None
    if values is None and spec.values_file and fetched is not None:
        values = _read(fetched, spec.values_file).decode("utf-8", "replace")

    def unknown(specs: Iterable[SecretSpec]) -> dict[str, str]:
        return {one.id: "unknown" for one in specs}  # only workers ask the providers

    def nothing(address: str) -> bytes:
        raise ConnectionError(f"{address} is read by workers only")

    return Inputs(
        facts=facts,
        values_text=values,
        values_file=spec.values_file or "values.yaml",
        set=spec.set,
        set_secret=tuple(f"{n.removeprefix('set:')}={v}" for n, v in secrets.items() if n.startswith("set:")),
        secret_values={n.removeprefix("secret:"): v for n, v in secrets.items() if n.startswith("secret:")},
        base_dir=known.folder,
        file_dir=known.folder / Path(spec.file).parent,
        resolve_secrets=unknown,
        fetch=nothing,
    )


def _read(fetched: Fetched, name: str) -> bytes:
    try:
        return Folder(fetched.folder).read(name, largest=_LARGEST)
    except OSError as error:
        raise InvalidInput(
            f"{name} cannot be read in the context: {(error.strerror or str(error)).lower()}",
            hint="correct the name of the file, or the context",
        ) from None
