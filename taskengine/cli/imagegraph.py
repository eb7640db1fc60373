"""Task files to the graph of their images, for `graph` and `simulate`: reads them and the Dockerfiles they build."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from taskengine.cli.option import TaskOptions
from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from taskengine.dockerfile.scan import Scan
    from taskengine.plan.model import BuildLine, Plan, PlannedStep
    from triggers.imagegraph import ImageGraph

_WORKSPACE = "/workspace"


def graph_of(files: Sequence[str], options: TaskOptions, *, watch_all: bool) -> tuple[ImageGraph, Callable[[str], str]]:
    """The graph of the files' tasks, each named as its file, and what hides their secrets in text that is printed.

    A build whose Dockerfile cannot be read without fetching or running something stays open, with a warning.
    """
    from taskengine.cli.printed import masked
    from taskengine.cli.report import report_problems
    from taskengine.cli.source import read_task
    from taskengine.cli.task import DEFAULT_PLATFORM, inputs_of, recording, stand_ins
    from taskengine.runs.watched import Watch
    from taskengine.taskspec.load import load_task
    from triggers.imagegraph import ImageGraph
    from triggers.taskimages import foreseen, task_images

    watch = Watch.ALL if watch_all else Watch.RUNTIME
    platform = options.platform or DEFAULT_PLATFORM
    inputs, _ = recording(inputs_of(options))
    tasks = []
    secrets: list[str] = []
    for file, task in zip(files, _names(files), strict=True):
        text, name = read_task(file)
        # tasks meet by the names of their images: all have to be shown with the same registry
        loaded = load_task(text, file=name, inputs=stand_ins(inputs))
        report_problems(loaded.warnings)
        secrets += loaded.secrets.values()
        scans = _scans(loaded.plan, Path(file).parent, name, platform)
        tasks.append(task_images(task, loaded.plan, [foreseen(loaded.plan, scans, platform)], watch))
    return ImageGraph.of(tasks), masked(options, secrets, show=False)


def _names(files: Sequence[str]) -> list[str]:
    """The shortest name of each file that no other has: its stem, or its path."""
    stems = [Path(file).stem for file in files]
    names = [stem if stems.count(stem) == 1 else file for stem, file in zip(stems, files, strict=True)]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"{name} is given twice", hint="name each file once")
    return names


def _scans(plan: Plan, folder: Path, file: str, platform: str) -> dict[str, Scan]:
    """By step, what the Dockerfiles of a plan ask for, as far as they can be read here."""
    found: dict[str, Scan] = {}
    for step in plan.steps:
        if step.build is None:
            continue
        try:
            found[step.id] = _scan(step, step.build, folder, platform)
        except InvalidInput as error:
            print(f"warning: {file}: step {step.id}: {error.message}", file=sys.stderr)
    return found


def _scan(step: PlannedStep, line: BuildLine, folder: Path, platform: str) -> Scan:
    from taskengine import wiring
    from taskengine.cli import option
    from taskengine.context.source import is_remote
    from taskengine.dockerfile.scan import scan
    from taskengine.dockerfile.source import read_dockerfile

    if is_remote(line.context) or "-" in (line.context, line.dockerfile):
        raise InvalidInput("what the build stands on is not known: its context is not a folder here")
    place = _inside(step.working_directory)
    path = posixpath.normpath(
        posixpath.join(place, line.dockerfile) if line.dockerfile else posixpath.join(place, line.context, "Dockerfile")
    )
    if path.startswith(("../", "/")):
        raise InvalidInput("what the build stands on is not known: its Dockerfile is outside of the context")
    return scan(
        read_dockerfile(folder / path),
        build_args=option.build_args(line.build_args, wiring.settings().environ),
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


def graph_json(graph: ImageGraph) -> dict[str, Any]:
    """The graph as plain data; images by their full names."""
    return {
        "tasks": [
            {
                "name": task.task,
                "uses": list(task.uses),
                "makes": list(task.makes),
                "unknown": list(task.unknown),
                "unwatched": [{"image": image, "reason": reason} for image, reason in task.unwatched.items()],
            }
            for task in graph.tasks.values()
        ]
    }
