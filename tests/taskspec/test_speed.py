"""Big files are read in time that grows with their size. Processor time, with room for slow machines."""

from __future__ import annotations

import time

from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task

INPUTS = Inputs(facts=RunFacts(id="r7", registry="reg.example.com"))


def big(steps: int) -> str:
    lines = ["version: v1.1.0", "steps:"]
    for number in range(steps):
        needs = f"[step{number - 1}, step{number // 2}]" if number else '["-"]'
        lines += [
            f"  - id: step{number}",
            f"    cmd: $Registry/tool:$ID echo 'step {number}'",
            f"    timeout: {60 + number % 100}",
            f"    workingDirectory: sub/{number}",
            "    env:",
            f"      - A={number}",
            "      - B=two",
            f"    when: {needs}",
        ]
    return "\n".join(lines) + "\n"


def seconds(steps: int) -> float:
    text = big(steps)
    best = float("inf")
    for _ in range(2):
        begin = time.process_time()
        plan = load_task(text, file="t.yaml", inputs=INPUTS).plan
        best = min(best, time.process_time() - begin)
        assert len(plan.steps) == steps
    return best


def test_ten_thousand_steps_take_little_time_and_ten_times_that_of_a_thousand() -> None:
    thousand, ten_thousand = seconds(1000), seconds(10_000)
    assert ten_thousand < 3
    assert ten_thousand < 25 * thousand
