"""Builds against `docker build` on one engine, in most rows with everything cached: what is measured is what we add.

`docker build` is BuildKit's, by the distribution's own client. Contexts are made of random bytes and small text files.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.measure import ACR_TASK, Result, command, in_turns, shell

Action = Callable[[], object]
_DOCKERFILE = "FROM busybox:1\nCOPY data /data\nRUN sha256sum /data > /sum\n"


def build_and_push(env: Mapping[str, str], folder: Path, registry: str, *, rounds: int) -> Result:
    """A build with everything cached and its push, as a task of two steps."""
    context = _small_context(folder / "cached", 0)
    name = f"{registry}/bench/cached:1"
    task = context / "acb.yaml"
    task.write_text(f"steps:\n  - build: -t {name} .\n  - push: ['{name}']\n")
    ours = command(ACR_TASK, "run", "-f", task, context, env=env)
    theirs = shell(f"docker build -q -t {name} {context} && docker push {name}", _by_hand(env))
    a, b = in_turns(ours, theirs, rounds=rounds)
    return Result(name="a cached build and its push", ours=a, theirs=b, theirs_is="`docker build && docker push`")


def ten_in_a_row(env: Mapping[str, str], folder: Path, registry: str, *, rounds: int, count: int = 10) -> Result:
    """`count` cached builds with their pushes one after the other, in one task."""
    top = folder / "ten"
    names = [f"{registry}/bench/ten{i}:1" for i in range(count)]
    for i in range(count):
        _small_context(top / str(i), i)
    steps = "".join(f"  - build: -t {n} -f {i}/Dockerfile {i}\n  - push: ['{n}']\n" for i, n in enumerate(names))
    (top / "acb.yaml").write_text(f"steps:\n{steps}")
    ours = command(ACR_TASK, "run", "-f", top / "acb.yaml", top, env=env)
    lines = [f"docker build -q -t {n} {top / str(i)} && docker push {n}" for i, n in enumerate(names)]
    a, b = in_turns(ours, shell("\n".join(lines), _by_hand(env)), rounds=rounds)
    return Result(
        name=f"{count} cached builds and pushes in one task", ours=a, theirs=b, target="<= 1",
        theirs_is="`docker build && docker push`, one after another",
    )  # fmt: skip


def ten_at_once(env: Mapping[str, str], folder: Path, *, rounds: int, count: int = 10) -> Result:
    """`count` builds that need nothing of each other. Nothing is cached, or only the start would be measured."""
    top = folder / "atonce"
    for i in range(count):
        _small_context(
            top / str(i), 100 + i, run="RUN i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sha256sum /data"
        )
    steps = "".join(
        f"  - {{build: '--no-cache -t bench-atonce{i}:1 -f {i}/Dockerfile {i}', when: ['-']}}\n" for i in range(count)
    )
    (top / "acb.yaml").write_text(f"steps:\n{steps}")
    ours = command(ACR_TASK, "run", "-f", top / "acb.yaml", top, env=env)
    lines = [f"docker build -q --no-cache -t bench-atonce{i}:1 {top / str(i)} &" for i in range(count)]
    a, b = in_turns(ours, shell("\n".join([*lines, "wait"]), _by_hand(env)), rounds=rounds)
    return Result(
        name=f"{count} independent builds", ours=a, theirs=b, target="<= 1.1", theirs_is="`docker build ... &`, `wait`"
    )


def cached_context(env: Mapping[str, str], folder: Path, *, rounds: int, files: int = 1000, size: int = 20) -> Result:
    """A context of `files` files and `size` MB, of which nothing changed since the last build."""
    context = folder / "context"
    _files(context / "src", files, size * 1_000_000 // files)
    (context / "Dockerfile").write_text("FROM busybox:1\nCOPY src /src\n")
    ours, theirs = _both(env, context, "bench-context:1")
    a, b = in_turns(ours, theirs, rounds=rounds)
    return Result(
        name=f"a cached build, context of {files:,} files and {size} MB", ours=a, theirs=b, target="<= 1",
        theirs_is="`docker build`",
    )  # fmt: skip


def mostly_ignored(
    env: Mapping[str, str], folder: Path, *, rounds: int, files: int = 20_000, size: int = 500
) -> Result:
    """A context of `files` files and `size` MB, of which one in a hundred is sent."""
    context = folder / "ignored"
    sent = files // 100
    _files(context / "src", sent, 1000)
    _files(context / "node_modules", files - sent, size * 1_000_000 // files)
    (context / ".dockerignore").write_text("node_modules\n")
    (context / "Dockerfile").write_text("FROM busybox:1\nCOPY . /src\n")
    ours, theirs = _both(env, context, "bench-ignored:1")
    a, b = in_turns(ours, theirs, rounds=rounds)
    return Result(
        name=f"a cached build, {files:,} files and {size} MB, 99 % ignored", ours=a, theirs=b, target="<= 2",
        theirs_is="`docker build`",
    )  # fmt: skip


def _both(env: Mapping[str, str], context: Path, name: str) -> tuple[Action, Action]:
    ours = command(ACR_TASK, "build", "-t", name, "--no-push", context, env=env)
    return ours, command("docker", "build", "-q", "-t", name, context, env=_by_hand(env))


def _by_hand(env: Mapping[str, str]) -> Mapping[str, str]:
    return {**env, "DOCKER_BUILDKIT": "1"}


def _small_context(context: Path, seed: int, *, run: str = "") -> Path:
    context.mkdir(parents=True)
    (context / "Dockerfile").write_text(f"FROM busybox:1\nCOPY data /data\n{run}\n" if run else _DOCKERFILE)
    (context / "data").write_bytes(bytes([seed]) * 100_000)
    return context


def _files(folder: Path, count: int, size: int) -> None:
    """`count` files of `size` bytes of noise, a hundred to a folder."""
    noise = random.Random(1).randbytes(size + count)
    for number in range(count):
        place = folder / str(number // 100)
        if number % 100 == 0:
            os.makedirs(place)  # noqa: PTH103 - many
        (place / f"{number}.txt").write_bytes(noise[number : number + size])
