"""What would happen: runs in their order, tasks that are held back, and what else there is to say. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from triggers.waves import Member


class Hold(Enum):
    """What holds a task back."""

    #: it is disabled, or its trigger is
    DISABLED = "disabled"
    #: a filter does not let the event pass
    FILTER = "filter"
    #: what changed is nothing that the task stands on
    UNCHANGED = "unchanged"
    #: the same was built before
    KNOWN = "known"
    #: too much has happened of late
    STORM = "storm"
    #: a wave has as many tasks as it may
    CAP = "cap"
    #: its concurrency group is full
    GROUP = "group"
    #: it could not run as it is
    INVALID = "invalid"
    #: what it waits for does not come
    PARENTS = "parents"


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A run. Those of level 0 would start at once, others after all that they wait for. With `needs_approval` a person
    would have to approve it."""

    task: str
    level: int
    waits_for: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    reason: str
    needs_approval: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    task: str
    hold: Hold
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something else to know; `tasks` are those that it names."""

    text: str
    tasks: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Imagined:
    """`asked` says what is imagined, as a sentence."""

    asked: str
    runs: list[Planned] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def hold(self, task: str, why: Hold, reason: str) -> None:
        self.held.append(Held(task=task, hold=why, reason=reason))

    def note(self, text: str, *tasks: str) -> None:
        self.notes.append(Note(text=text, tasks=tasks))

    def as_json(self, visible: Callable[[str], bool]) -> dict[str, Any]:
        """Without tasks that are not `visible`."""
        return {
            "asked": self.asked,
            "runs": [
                {
                    "task": one.task,
                    "level": one.level,
                    "waitsFor": [task for task in one.waits_for if visible(task)],
                    "images": list(one.images),
                    "reason": one.reason,
                    "needsApproval": one.needs_approval,
                }
                for one in sorted(self.runs, key=lambda one: one.level)
                if visible(one.task)
            ],
            "held": [
                {"task": one.task, "kind": one.hold.value, "reason": one.reason}
                for one in self.held
                if visible(one.task)
            ],
            "notes": [one.text for one in self.notes if all(visible(task) for task in one.tasks)],
        }


def without_the_held(
    members: Iterable[Member], held: Mapping[str, str], *, base: int, parents: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Member, str]]:
    """The members of a wave with why each would not run after all, empty for those that would: one that is `held`, and
    one all of whose reasons to run are. Levels begin with `base`; `parents` are by image further tasks to wait for,
    which do run. `members` are in an order in which all come after their parents."""
    stopped: set[str] = set()
    for member in members:
        above = tuple(dict.fromkeys(one for image in member.images for one in parents.get(image, ())))
        placed = replace(
            member, level=member.level + base, parents=(*(one for one in above if one != member.task), *member.parents)
        )
        why = held.get(member.task, "")
        if not why and not member.images and stopped.issuperset(member.parents):
            why = f"{', '.join(member.parents[:5])} would not be rebuilt, so that what it stands on is as before"
        if why:
            stopped.add(member.task)
        yield placed, why
