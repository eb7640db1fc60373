"""Task files to the graph of their images, for `graph` and `simulate`: reads them and the Dockerfiles they build.

Knows no server.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taskengine.cli.option import TaskOptions
from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from taskengine.dockerfile.scan import Scan
    from taskengine.plan.model import Plan
    from triggers.imagegraph import ImageGraph


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


def _scans(plan: Plan, folder: Path, file: str, platform: str) -> Mapping[str, Scan]:
    """By step, what the Dockerfiles of a plan ask for, as far as they can be read here."""
    from taskengine import wiring
    from taskengine.cli import option
    from taskengine.dockerfile.source import read_dockerfile
    from triggers.foresee import foresee

    environ = wiring.settings().environ
    found = foresee(
        plan, lambda path: read_dockerfile(folder / path), platform, lambda args: option.build_args(args, environ)
    )
    for step, why in found.unread.items():
        print(f"warning: {file}: step {step}: {why}", file=sys.stderr)
    return found.scans


def check_without_files(options: TaskOptions, *, watch_all: bool) -> None:
    """Raises InvalidInput for options that say how files are read, where the tasks are a server's."""
    if watch_all or options != TaskOptions():
        raise InvalidInput(
            "these options say how task files are read, and no file was named",
            hint="name the files, or leave the options out: stored tasks have their own values",
        )
