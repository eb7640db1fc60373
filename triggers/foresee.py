"""What a task's builds will ask for, read out of its Dockerfiles before it ever ran. Fetches nothing, runs nothing.

Must not know where the files come from: whoever calls it hands in a reader of the context's files.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from taskengine.context.source import is_remote
from taskengine.dockerfile.scan import Scan, scan
from taskengine.errors import InvalidInput
from taskengine.plan.model import BuildLine, Plan, PlannedStep

_WORKSPACE = "/workspace"

#: the text of a Dockerfile by its path in the context; raises InvalidInput
Reader = Callable[[str], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreseen:
    """By step, what its Dockerfile asks for, or why that is not known."""

    scans: Mapping[str, Scan]
    unread: Mapping[str, str]


def foresee(
    plan: Plan, read: Reader, platform: str, build_args: Callable[[tuple[str, ...]], Mapping[str, str]]
) -> Foreseen:
    """Reads the Dockerfiles of all builds of a plan. `build_args` makes values out of `NAME=VALUE` and `NAME`."""
    scans: dict[str, Scan] = {}
    unread: dict[str, str] = {}
    for step in plan.steps:
        if step.build is None:
            continue
        try:
            scans[step.id] = _scan(step, step.build, read, platform, build_args)
        except InvalidInput as error:
            unread[step.id] = error.message
    return Foreseen(scans=scans, unread=unread)


def _scan(
    step: PlannedStep, line: BuildLine, read: Reader, platform: str,
    build_args: Callable[[tuple[str, ...]], Mapping[str, str]],
) -> Scan:  # fmt: skip
    if is_remote(line.context) or "-" in (line.context, line.dockerfile):
        raise InvalidInput("what the build stands on is not known: its context is not a folder here")
    place = _inside(step.working_directory)
    path = posixpath.normpath(
        posixpath.join(place, line.dockerfile) if line.dockerfile else posixpath.join(place, line.context, "Dockerfile")
    )
    if path.startswith(("../", "/")):
        raise InvalidInput("what the build stands on is not known: its Dockerfile is outside of the context")
    return scan(
        read(path),
        build_args=build_args(line.build_args),
        target=line.target,
        platform=line.last("platform") or platform,
        file=path,
    )


def _inside(working_directory: str) -> str:
    """A step's working directory, seen from the context's folder."""
    path = PurePosixPath(working_directory)
    if path.is_absolute() and path.is_relative_to(_WORKSPACE):
        return str(path.relative_to(_WORKSPACE))
    return str(path)
