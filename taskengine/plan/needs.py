"""Which step waits for which: ids made where they are missing, `when` resolved.

A step can only name steps above it; so a cycle cannot be written, and the order of the file is one that works.
"""

from __future__ import annotations

from unicodedata import category

from taskengine.errors import Location
from taskengine.taskspec.model import StepSpec
from taskengine.taskspec.report import Report

#: in `when`: start at once
IMMEDIATELY = "-"
#: the name of the graph's root in ACR Tasks
RESERVED = "acb_root"
#: what moves a terminal's cursor, colours its text or turns its direction, unseen
_CONTROLS = frozenset({"Cc", "Cf"})


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


class Needs:
    """`ids` holds each step's id by its position, `of(position)` the ids it waits for, in file order."""

    def __init__(self, steps: tuple[StepSpec, ...], report: Report) -> None:
        self._steps = steps
        self._report = report
        self.ids = tuple(step.id or f"acb_step_{index}" for index, step in enumerate(steps))
        self._positions: dict[str, int] = {}
        for index, name in enumerate(self.ids):
            self._check_id(name, index)
            self._positions.setdefault(name, index)

    def _check_id(self, name: str, index: int) -> None:
        report = self._report
        if name in self._positions:
            step = self._steps[index]
            first = self._place(self._positions[name], "id")
            hint = "give this step another id" if step.id else "generated ids count from acb_step_0: choose another id"
            related = (("first used here", first),) if first else ()
            report.error(
                "E302", f"two steps have the id '{name}'", self._place(index, "id"), hint=hint, related=related
            )
        if name == RESERVED:
            report.error("E304", f"the id '{name}' is reserved", self._place(index, "id"), hint="choose another id")
        elif (not name.isprintable() or " " in name) and any(char.isspace() for char in name):
            hint = f"write {'-'.join(name.split())}"
            report.error("E303", f"the id '{_shown(name)}' has a space in it", self._place(index, "id"), hint=hint)
        elif not name.isprintable() and any(category(char) in _CONTROLS for char in name):
            hint = "use letters, digits and dashes"
            message = f"the id '{_shown(name)}' has a control character in it"
            report.error("E315", message, self._place(index, "id"), hint=hint)

    def _place(self, index: int, name: str, item: int | None = None) -> Location | None:
        step = self._steps[index]
        return step.places.of(name, item) if step.places is not None else step.location

    def of(self, index: int) -> tuple[str, ...]:
        when = self._steps[index].when
        if not when:
            return (self.ids[index - 1],) if index else ()
        if when == (IMMEDIATELY,):
            return ()
        if len(when) == 1:
            position = self._resolve(index, 0, when[0])
            return () if position is None else (when[0],)
        positions = {self._resolve(index, item, name) for item, name in enumerate(when)}
        return tuple(self.ids[position] for position in sorted(p for p in positions if p is not None))

    def _resolve(self, index: int, item: int, name: str) -> int | None:
        """The position of the step that is named, None when it cannot be waited for."""
        position = self._positions.get(name)
        if position is not None and position < index and name != RESERVED:
            return position
        self._refuse(index, item, name, position)
        return None

    def _refuse(self, index: int, item: int, name: str, position: int | None) -> None:
        report, own = self._report, self.ids[index]
        at = self._place(index, "when", item)
        if name == IMMEDIATELY and position is None:
            hint = 'write ["-"] alone, or leave the "-" out'
            report.error("E310", f"step '{own}' names steps to wait for beside '-' (start at once)", at, hint=hint)
        elif not name:
            report.error("E314", f"step '{own}' waits for a step without a name", at, hint="remove the empty entry")
        elif position == index or name == own:
            report.error("E311", f"step '{own}' waits for itself", at, hint="remove it from 'when'")
        elif position is not None and name != RESERVED:
            there = self._steps[position].location
            related = ((f"step '{name}' is here", there),) if there else ()
            hint = f"move step '{name}' above step '{own}'"
            message = f"step '{own}' waits for step '{name}', which comes later"
            report.error("E312", message, at, hint=hint, related=related)
        else:
            above = self.ids[:index]
            hint = report.nearest(name, above[-200:]) or "a step can wait for steps above it only"
            report.error("E313", f"step '{own}' waits for step '{name}', which does not exist", at, hint=hint)
