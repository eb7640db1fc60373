"""Tasks made of a command line: `run --cmd` and `build` as the text of a task file. Pure.

The text goes the way of every task file, so that templates in image names mean the same everywhere.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

#: Azure's limits for quick builds, in seconds
BUILD_TIMEOUT = 28800
PUSH_TIMEOUT = 3600


def cmd_task(line: str, *, timeout: int | None = None) -> str:
    """One step that runs `IMAGE ARGS`, as `az acr run --cmd` makes it."""
    if not line.strip():
        raise InvalidInput("--cmd is empty", hint="write --cmd 'IMAGE ARGUMENTS'")
    if any(ord(c) < 32 and c not in "\n\t" for c in line):
        raise InvalidInput("--cmd holds control characters", hint="write a script file and run that")
    limit = f"    timeout: {timeout}\n" if timeout else ""
    return (
        "version: v1.1.0\nsteps:\n"
        f"  - id: cmd\n    cmd: {_block(line.strip(), 6)}\n    disableWorkingDirectoryOverride: true\n{limit}"
    )


@dataclass(frozen=True, kw_only=True)
class QuickBuild:
    """What `acr-task build` was asked for. Build arguments are `K=V`; secret ones do not belong into a text."""

    dockerfile: str = ""
    tags: tuple[str, ...] = ()
    build_args: tuple[str, ...] = ()
    target: str = ""
    platform: str = ""
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    no_cache: bool = False
    labels: tuple[str, ...] = ()
    push: bool = True
    timeout: int | None = None
    #: ids of SSH agents that the build may use
    ssh: tuple[str, ...] = ()


def build_task(build: QuickBuild) -> str:
    """A step `build`, and a step `push` unless nothing is to be pushed."""
    words: list[str] = []
    for tag in build.tags:
        # templates in names are rendered (`app:{{.Run.ID}}`), and may hold blanks
        words += ["-t", shlex.quote(tag)]
    if build.dockerfile:
        words += ["-f", _word(build.dockerfile)]
    for arg in build.build_args:
        words += ["--build-arg", _word(arg)]
    for label in build.labels:
        words += ["--label", _word(label)]
    if build.target:
        words += ["--target", _word(build.target)]
    if build.platform:
        words += ["--platform", _word(build.platform)]
    for ident in build.ssh:
        words += ["--ssh", _word(ident)]
    for source in build.cache_from:
        words += ["--cache-from", _word(source)]
    for target in build.cache_to:
        words += ["--cache-to", _word(target)]
    if build.no_cache:
        words.append("--no-cache")
    text = (
        "version: v1.0.0\nsteps:\n"
        f"  - id: build\n    build: {_block(' '.join([*words, '.']), 6)}\n"
        f"    timeout: {build.timeout or BUILD_TIMEOUT}\n"
    )
    if build.push and build.tags:
        names = "".join(f"      - {_block(tag, 8)}\n" for tag in build.tags)
        text += f"  - id: push\n    push:\n{names}    timeout: {PUSH_TIMEOUT}\n    when: [build]\n"
    return text


def with_registry(name: str, registry: str) -> str:
    """The image name with the registry in front, unless it names one itself (as az does)."""
    registry = registry.rstrip("/")
    head, slash, _ = name.partition("/")
    has_one = bool(slash) and ("." in head or ":" in head or head == "localhost" or "{{" in head)
    if not registry or has_one:
        return name
    return f"{registry}/{name}"


def _word(text: str) -> str:
    """One shell word in which `{{` is text and no template."""
    return re.sub(r"\{\{", '{{"{{"}}', shlex.quote(text))


def _block(text: str, indent: int) -> str:
    """A YAML literal block: the text as it is, with nothing to escape, so that templates in it stay templates."""
    lines: Sequence[str] = text.split("\n")
    return "|-\n" + "\n".join(" " * indent + line if line else "" for line in lines)
