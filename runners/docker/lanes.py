"""Which steps may share one network namespace, because they can never run at the same time.

Making a network namespace is what a container's start costs most; a chain of steps can use one after another the one
that a sandbox holds. A lane is such a chain: each of its steps needs the one before it. The lane's sandbox carries the
names of all its steps, so each step is reached by its own id, at an address that no other running step has.

Pure: knows plans, not Docker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskengine.lightclass import dataclass
from taskengine.plan.model import PlannedStep


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """`steps` in their order. `at_once`: the first step can start at the very beginning of the run."""

    id: int
    network: str
    steps: tuple[str, ...]
    at_once: bool


def assign(steps: Sequence[PlannedStep], may_share: Callable[[PlannedStep], bool]) -> tuple[Lane, ...]:
    """The lanes of the steps that may share a sandbox. A step joins the lane of a step that it needs directly,
    if that step is still the last of its lane and they are in the same network; otherwise it opens a new lane."""
    last: dict[str, int] = {}  # the step that ends a lane -> the lane
    members: list[list[PlannedStep]] = []
    for step in steps:
        if not may_share(step):
            continue
        lane = next((last.pop(need) for need in step.needs if _fits(step, need, last, members)), None)
        if lane is None:
            lane = len(members)
            members.append([])
        members[lane].append(step)
        last[step.id] = lane
    return tuple(
        Lane(id=i, network=m[0].network, steps=tuple(s.id for s in m), at_once=not m[0].needs)
        for i, m in enumerate(members)
    )


def _fits(step: PlannedStep, need: str, last: dict[str, int], members: list[list[PlannedStep]]) -> bool:
    return need in last and members[last[need]][0].network == step.network
