"""A stored wave as the machine that decides (`waves.Wave`), and what the machine has changed as rows again.

Reads and writes within the caller's transaction, which holds the waves' lock. Must not know runs, nor events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskengine.service.model import Document
from taskengine.service.store import Connection, reach, waves
from taskengine.service.store.waves import StoredMember, StoredWave
from triggers.imagegraph import ImageGraph, TaskImages
from triggers.waves import Caps, Member, MemberState, Only, Wave, WavePlan


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A wave on its way, with its rows as they were read."""

    stored: StoredWave
    rows: Mapping[str, StoredMember]
    machine: Wave
    #: what is to be said of members that ended, or were stopped
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def only(self) -> dict[str, set[str]]:
        """By each image that the wave began with, the tasks to which its change was news."""
        found: dict[str, set[str]] = {str(one["image"]): set() for one in self.stored.images}
        for row in self.rows.values():
            for image in row.images:
                if image in found:
                    found[image].add(row.task)
        return found


def restore(conn: Connection, stored: StoredWave, caps: Caps) -> Restored:
    """Goes on from what is stored."""
    rows = {row.task: row for row in waves.members(conn, stored.number)}
    plan = WavePlan(
        images=tuple(dict.fromkeys(str(one["image"]) for one in stored.images)),
        members=tuple(
            Member(task=row.task, level=row.level, parents=row.parents, images=row.images) for row in rows.values()
        ),
        cycles=tuple(tuple(cycle) for cycle in stored.plan.get("cycles", ())),
        left_out=int(stored.plan.get("leftOut", 0)),
    )
    machine = Wave(plan, stored.opened, caps, by_image=True)
    machine.restore({task: MemberState(row.state) for task, row in rows.items()})
    machine.begin()
    return Restored(stored=stored, rows=rows, machine=machine)


def save(conn: Connection, found: Restored) -> None:
    """Writes what is new of the wave's members, and of the plan as a whole."""
    added, changed = [], []
    for row in rows_of(found.machine, found.rows, found.reasons):
        before = found.rows.get(row.task)
        if before is None:
            added.append(row)
        elif row != before:
            changed.append(row)
    waves.add(conn, found.stored.number, added)
    waves.change(conn, found.stored.number, changed)


def rows_of(
    machine: Wave, known: Mapping[str, StoredMember], reasons: Mapping[str, str]
) -> Iterable[StoredMember]:  # fmt: skip
    """Each member as it is now."""
    states = machine.states
    for task, member in machine.members.items():
        before = known.get(task)
        yield StoredMember(
            task=task,
            level=member.level,
            parents=member.parents,
            images=member.images,
            state=states[task].value,
            run=before.run if before else "",
            reason=reasons.get(task, before.reason if before else ""),
        )


def plan_json(plan: WavePlan) -> Document:
    """What is worth knowing of a plan as a whole."""
    return {"cycles": [list(cycle) for cycle in plan.cycles], "leftOut": plan.left_out, "levels": plan.levels}


def graph_of(conn: Connection, images: Iterable[str]) -> ImageGraph:
    """All that stands on these images, as far as a new image may start it."""
    found = reach.reached(conn, images)
    makers: dict[str, list[str]] = {}
    for task, made in found.makes.items():
        for image in made:
            makers.setdefault(image, []).append(task)
    return ImageGraph(
        tasks={task: TaskImages(task=task, makes=tuple(made)) for task, made in found.makes.items()},
        makers=_tuples(makers),
        users=_tuples(found.users),
    )


def with_more(before: Mapping[str, set[str]], image: str, tasks: Iterable[str]) -> Only:
    """`only`, with a further change."""
    return {**before, image: before.get(image, set()) | set(tasks)}


def _tuples(found: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {name: tuple(values) for name, values in found.items()}
