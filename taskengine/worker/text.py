"""What text a run has, out of its spec or out of its context, and what the text may refer to. Reads nothing but files
of the context, which are a stranger's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from taskengine.context.model import Fetched
from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from taskengine.client.workers import LeasedRun
    from taskengine.runs.spec import RunSpec
    from taskengine.taskspec.inputs import Inputs
    from taskengine.worker.carry import Machine

#: what secrets' names begin with, by what they are for
SET, ARG, SECRET, LOGIN, TOKEN = "set:", "arg:", "secret:", "login:", "context:token"
_LARGEST_TASK = 16 << 20
_NOWHERE = Path("/nonexistent")


def text_of(leased: LeasedRun, folder: Fetched | None) -> tuple[str | bytes, str]:
    """The task's text, and what it is called. Raises InvalidInput."""
    from taskengine.taskspec.quick import QuickBuild, build_task, with_registry

    spec, build = leased.spec, leased.spec.build
    if build is not None:
        quick = QuickBuild(
            dockerfile=build.dockerfile, tags=tuple(with_registry(tag, spec.registry) for tag in build.tags),
            build_args=build.build_args, target=build.target, platform=",".join(build.platforms) or spec.platform,
            cache_from=build.cache_from, cache_to=build.cache_to, no_cache=build.no_cache, labels=build.labels,
            push=build.push, timeout=spec.timeout,
        )  # fmt: skip
        return build_task(quick), "build"
    if spec.file:
        return _read(folder, spec.file), spec.file
    return spec.text, spec.text_name


def _read(folder: Fetched | None, name: str) -> bytes:
    """A file of the context: a stranger's tree, so nothing outside of it, no devices, and not too much."""
    from taskengine.plainfile import Folder

    if folder is None:
        raise InvalidInput(f"the task file {name} is to come from a context, and this run has none")
    try:
        return Folder(folder.folder).read(name, largest=_LARGEST_TASK)
    except OSError as error:
        raise InvalidInput(
            f"{name} cannot be read in the context: {(error.strerror or str(error)).lower()}",
            hint="correct the name of the file, or the context",
        ) from error


def inputs_of_run(leased: LeasedRun, folder: Fetched | None, machine: Machine) -> Inputs:
    from taskengine.taskspec.inputs import Inputs, RunFacts

    spec, secrets = leased.spec, leased.secrets
    os_name, architecture, *_ = (spec.platform or machine.platform()).split("/")
    known = folder or Fetched(folder=Path())
    facts = RunFacts(
        id=leased.run,
        registry=spec.registry,
        commit=spec.commit or known.commit,
        branch=spec.branch or known.branch,
        repository=spec.repository or known.repository,
        triggered_by=spec.triggered_by,
        git_tag=spec.git_tag or known.tag,
        os=os_name,
        os_version=spec.os_version,
        architecture=architecture,
        shared_volume=spec.shared_volume,
        task_name=spec.task_name,
        date=datetime.fromisoformat(spec.date) if spec.date else None,
    )
    values = spec.values_text or None
    if values is None and spec.values_file:
        values = _read(folder, spec.values_file).decode("utf-8", "replace")
    return Inputs(
        facts=facts,
        values_text=values,
        values_file=spec.values_file or "values.yaml",
        set=spec.set,
        set_secret=tuple(f"{name}={value}" for name, value in named(secrets, SET).items()),
        secret_values=named(secrets, SECRET),
        working_directory=spec.working_directory,
        network=spec.network,
        env=spec.env,
        image_aliases=machine.image_aliases(),
        # without a folder of its own a run reads no alias file at all, least of all one of this machine
        base_dir=known.folder if folder is not None else _NOWHERE,
        file_dir=_beside(spec, folder),
        resolve_secrets=machine.resolve_secrets,
        strict=spec.strict,
    )


def _beside(spec: RunSpec, folder: Fetched | None) -> Path:
    """Where the task's text lies in its context; never a folder of this machine, whatever the text is called."""
    if folder is None:
        return _NOWHERE
    path = PurePosixPath(spec.file or spec.text_name)
    return folder.folder if path.is_absolute() or ".." in path.parts else folder.folder / path.parent


def named(secrets: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name[len(prefix) :]: value for name, value in secrets.items() if name.startswith(prefix)}
