"""What needs no engine: reading task files, compiling plans, scheduling them, starting the command."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import ACR_TASK, Result, in_turns, timed


def task_text(steps: int) -> str:
    """A file as large ones look: ids, environments, dependencies, and a template here and there."""
    lines = ["version: v1.1.0", "env: [LEVEL=debug]", "steps:"]
    for i in range(steps):
        needs = f"[s{i - 1}, s{i // 2}]" if i > 1 else '["-"]'
        lines += [
            f"  - id: s{i}",
            f"    cmd: busybox:1 echo step {i} of run $ID",
            f"    when: {needs}",
            f"    env: [NUMBER={i}, 'TEXT=some words']",
            "    timeout: 60",
            "    retries: 1",
            "    workingDirectory: sub/dir",
            "    keep: false",
        ]
    return "\n".join(lines) + "\n"


def compile_plans(*, rounds: int) -> list[Result]:
    from taskengine.taskspec.inputs import Inputs, RunFacts
    from taskengine.taskspec.load import load_task

    inputs = Inputs(facts=RunFacts(id="r1", registry="r.example.com"))
    small, large = task_text(1_000), task_text(10_000)

    def load(text: str) -> None:
        load_task(text, file="t.yaml", inputs=inputs)

    a, b = in_turns(lambda: load(large), lambda: load(small), rounds=rounds)
    return [
        Result(name="10,000 steps validated and compiled", ours=a, target="<= 1.5 s"),
        Result(name="the same, against 1,000 steps", ours=a, theirs=b, theirs_is="1,000 steps", target="about 10"),
    ]


def schedule(*, rounds: int) -> Result:
    from runners.noop import NoopRunner
    from taskengine.ambient import Ambient
    from taskengine.logs.sink import NullSink
    from taskengine.runner import Cancel
    from taskengine.scheduler.loop import execute
    from taskengine.taskspec.inputs import Inputs, RunFacts
    from taskengine.taskspec.load import load_task

    plan = load_task(task_text(10_000), file="t.yaml", inputs=Inputs(facts=RunFacts(id="r1"))).plan

    def run() -> None:
        execute(
            plan, NoopRunner(), run_id="r1", listener=lambda _: None, log=NullSink(), cancel=Cancel(),
            ambient=Ambient.system(),
        )  # fmt: skip

    times = tuple(timed(run) for _ in range(rounds + 1))[1:]
    rate = 10_000 / sorted(times)[len(times) // 2]
    return Result(
        name="10,000 steps scheduled on the no-op runner", ours=times, ours_is=f"({rate:,.0f} steps/s)",
        target=">= 10,000 steps/s",
    )  # fmt: skip


def dockerfile_text(lines: int) -> str:
    """As large ones look: several stages on bases with a variable, continued lines, and images that are taken from."""
    text = ["ARG VERSION=3"]
    while len(text) < lines - 1:
        stage = len(text)
        text.append(f"FROM registry.example.com/base-{stage}:$VERSION AS stage{stage}")
        for i in range(7):
            text += [
                f"RUN echo {i} && \\",
                f"    make part{i}",
                f"COPY --from=registry.example.com/tool{i}:1 /tool /usr/bin/tool{i}",
                f"ENV NUMBER{i}=some$VERSION",
            ]
    return "\n".join([*text[: lines - 1], "COPY --from=stage1 /out /in"]) + "\n"


def scan_dockerfile(*, rounds: int) -> Result:
    from taskengine.dockerfile.scan import scan

    text = dockerfile_text(300)
    scan(text)
    times = tuple(timed(lambda: scan(text)) for _ in range(rounds * 4))
    return Result(name="a Dockerfile of 300 lines scanned", ours=times, target="<= 5 ms")


def cold_start(*, rounds: int) -> Result:
    def ours() -> None:
        subprocess.run([ACR_TASK, "version"], capture_output=True, check=True)

    def theirs() -> None:
        subprocess.run([sys.executable, "-c", "pass"], capture_output=True, check=True)

    a, b = in_turns(ours, theirs, rounds=rounds * 4)
    bound = 1.5 * sorted(b)[len(b) // 2] + 0.06
    return Result(
        name="`acr-task version`, cold", ours=a, theirs=b, theirs_is="`python -c pass`",
        target=f"<= 1.5 x + 60 ms = {bound * 1000:.0f} ms",
    )  # fmt: skip


def measure(*, rounds: int) -> list[Result]:
    return [
        *compile_plans(rounds=rounds),
        schedule(rounds=rounds),
        scan_dockerfile(rounds=rounds),
        cold_start(rounds=rounds),
    ]
