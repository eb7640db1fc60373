"""Why a run was queued: its chain of causes, followed through the ledger and through the runs that came before it.

Writes nothing. What is not kept any more, or not for the caller, is said as far as the run's own record tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from taskengine.errors import InvalidInput, NotFound
from taskengine.service.caller import Caller
from taskengine.service.model import Document, Run
from taskengine.service.services import Services
from taskengine.service.store import Connection, audit, ledger, runs, waves
from triggers import causewords, imageevent
from triggers.causewords import rfc3339

#: a chain that is longer is cut, and says so
_MOST = 200
_SOURCES = ("push", "tag", "pullRequest")


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One cause. Those of `depth` 0 started the run itself; each other one led to the nearest one above it that is less
    deep. `event` and `wave` are 0, and `run` is empty, where there is none; `at` is None where nobody noted it."""

    kind: str
    text: str
    depth: int
    at: datetime | None = None
    event: int = 0
    run: str = ""
    wave: int = 0
    facts: Document = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "text": self.text,
            "depth": self.depth,
            "at": rfc3339(self.at) or None,
            "event": self.event or None,
            "run": self.run or None,
            "wave": self.wave or None,
            "facts": dict(self.facts),
        }


def explain(services: Services, caller: Caller, run: str) -> dict[str, Any]:
    """The explanation of a run as plain data. Raises NotFound for a run that is not there, or not for the caller."""
    with services.database.read() as conn:
        found = runs.get(conn, run)
        caller.check_run(found)
        chain = _Chain(conn, caller)
        links = list(chain.of_run(found, 0))
        attempts = runs.attempts(conn, run)
    direct = sum(link.depth == 0 and link.kind not in ("retry", "none") for link in links)
    return {
        "runId": found.id,
        "task": found.task or None,
        "type": found.type.value,
        "status": found.status.value,
        "createTime": rfc3339(found.created),
        "owner": found.owner,
        "context": str(found.spec.get("context") or "") or None,
        "commit": str(found.spec.get("commit") or "") or None,
        "isCoalesced": direct > 1,
        "causes": [link.as_json() for link in links],
        "attempts": [
            {"attempt": one.attempt, "leased": rfc3339(one.leased), "outcome": one.outcome or None} for one in attempts
        ],
    }


class _Chain:
    """Follows causes; each event and each run is told once."""

    def __init__(self, conn: Connection, caller: Caller) -> None:
        self._conn = conn
        self._caller = caller
        self._runs: set[str] = set()
        self._events: set[int] = set()
        self._links = 0

    def of_run(self, run: Run, depth: int) -> Iterator[Link]:
        self._runs.add(run.id)
        if not run.cause:
            yield Link(kind="none", text="nothing was noted of why it was queued", depth=depth)
        for cause in run.cause:
            for link in self._of_cause(run, cause, depth):
                self._links += 1
                if self._links > _MOST:
                    yield Link(kind="cut", text=f"and more: only {_MOST} causes are shown", depth=depth)
                    return
                yield link

    def _of_cause(self, run: Run, cause: Document, depth: int) -> Iterator[Link]:
        kind = str(cause.get("kind"))
        event = self._event(cause)
        if kind == "retry":
            text = f"attempt {cause.get('attempt')} broke off and was begun anew: {cause.get('message')}"
            yield Link(kind=kind, text=text, depth=depth, at=_moment(cause.get("at")))
        elif kind == "manual":
            text = causewords.manual(cause, quick=not run.task)
            yield Link(kind=kind, text=text, depth=depth, at=_moment(cause.get("at")), facts=_facts(cause))
        elif kind == "timer":
            text = causewords.timer(cause, _schedule(event), event.received if event else None)
            at = _moment(cause.get("scheduleOccurrence"))
            yield self._link(kind, text, depth, cause, event, at=at)
            yield from self._people(run, event, depth + 1)
        elif kind in _SOURCES:
            text = causewords.source(cause, event.source if event else "")
            yield self._link(kind, text, depth, cause, event, at=event.received if event else None)
            if cause.get("approvedBy"):
                text = f"{cause['approvedBy']} approved it"
                yield Link(kind="approval", text=text, depth=depth + 1, at=_moment(cause.get("approvedAt")))
            yield from self._people(run, event, depth + 1)
        elif kind == "imageUpdate":
            yield from self._of_image(run, cause, event, depth)
        elif kind == "wave":
            yield self._of_wave(run, cause, depth)
        else:
            yield self._link(kind, f"something of the kind '{kind[:50]}'", depth, cause, event)

    def _of_wave(self, run: Run, cause: Document, depth: int) -> Link:
        """A run of the same wave that changed what this one stands on, or stands on at a distance."""
        name = str(cause.get("run") or "")
        if cause.get("moreRuns"):
            return self._link("wave", f"and {cause['moreRuns']} more runs of this wave", depth + 2, cause, None)
        try:
            pusher = runs.get(self._conn, name)
        except NotFound:
            before, at = {}, None
        else:
            found = waves.pushes(self._conn, [name]).get(name, [])
            before = {one.name: waves.pushed_before(self._conn, one, pusher.number) for one in found}
            at = pusher.finished
        below = 1 if name in _parents(run) else 2
        facts = {**cause, "before": {image: digest for image, digest in before.items() if digest}}
        return self._link("wave", causewords.pushed(cause, before), depth + below, facts, None, run=name, at=at)

    def _place(self, run: Run, cause: Document) -> str:
        """Where the run stands in its wave, in words."""
        number = _number(cause.get("wave"))
        member = waves.places_of(self._conn, [number], [run.task]).get((number, run.task)) if number else None
        if member is None:
            return ""
        levels = waves.get(self._conn, number).plan.get("levels") or member.level + 1
        return f"; it is on level {member.level} of wave {number}, which has {causewords.count(levels, 'level')}"

    def _of_image(self, run: Run, cause: Document, event: ledger.Event | None, depth: int) -> Iterator[Link]:
        """Images that changed: those that the run stands on, or those with which its wave began."""
        record = cause.get("imageUpdateTrigger")
        images = (record if isinstance(record, dict) else cause).get("images") or ()
        if not isinstance(record, dict):
            depth += 3 if any(one.get("kind") == "wave" for one in run.cause) else 1
        place = self._place(run, cause) if isinstance(record, dict) else ""
        if cause.get("runs"):  # of the same wave, which stand further down
            yield self._link("imageUpdate", causewords.updated(images) + place, depth, cause, None)
            return
        change = _image_event(event)
        if change is None or event is None:
            yield self._link("imageUpdate", causewords.updated(images) + place, depth, cause, event)
            return
        platform = str(run.spec.get("platform") or "")
        text = causewords.changed(change, [platform] if platform else ()) + place
        facts = {
            "image": change.image, "before": change.before.as_json() if change.before else None,
            "after": change.after.as_json(),
        }  # fmt: skip
        if event.number in self._events:
            return
        self._events.add(event.number)
        yield self._link("imageUpdate", text, depth, {**cause, **facts}, event, at=event.received)
        yield from self._told(event, change, depth + 1)
        yield from self._people(run, event, depth + 1)

    def _told(self, event: ledger.Event, change: imageevent.ImageEvent, depth: int) -> Iterator[Link]:
        """By which way the change of an image was found out."""
        if change.source == imageevent.POLL:
            yield Link(kind="poll", text="a check of its registry found it", depth=depth, at=event.received)
            return
        if number := change.told_by.get("event"):
            notice = self._get(number)
            by = f" ({notice.source})" if notice and notice.source != imageevent.REGISTRY else ""
            at = notice.received if notice else None
            text = f"its registry told of a push{by}, and was asked"
            yield Link(kind="notification", text=text, depth=depth, at=at, event=int(number))
        elif name := change.told_by.get("run"):
            yield Link(kind="run", text=f"run {name} pushed it", depth=depth, run=str(name))
            yield from self._before(str(name), depth + 1)
        elif change.source == imageevent.REGISTRY:
            yield Link(kind="notification", text="its registry told of it", depth=depth, at=event.received)

    def _before(self, name: str, depth: int) -> Iterator[Link]:
        """Why an earlier run was queued, as far as the caller may know."""
        if name in self._runs:
            return
        try:
            earlier = runs.get(self._conn, name)
            self._caller.check_run(earlier)
        except NotFound:
            yield Link(kind="gone", text=f"why run {name} was queued is not known here any more", depth=depth)
            return
        yield from self.of_run(earlier, depth)

    def _people(self, run: Run, event: ledger.Event | None, depth: int) -> Iterator[Link]:
        """Who else told of the same, and who had the event worked on again before this run."""
        if event is None:
            return
        for number, door, at in ledger.told_again(self._conn, event.number, run.task):
            text = f"the same was told again{causewords.by_door(door)}, and started nothing more"
            yield Link(kind="again", text=text, depth=depth, at=at, event=number)
        for entry in audit.about(self._conn, f"events/{event.number}", actions="event.replay"):
            if entry.at <= run.created:
                text = f"{entry.actor} replayed event {event.number}"
                yield Link(kind="replay", text=text, depth=depth, at=entry.at, event=event.number)

    def _link(
        self, kind: str, text: str, depth: int, cause: Document, event: ledger.Event | None, *,
        at: datetime | None = None, run: str = "",
    ) -> Link:  # fmt: skip
        return Link(
            kind=kind, text=text, depth=depth, at=at, run=run, facts=_facts(cause),
            event=event.number if event else _number(cause.get("event")), wave=_number(cause.get("wave")),
        )  # fmt: skip

    def _event(self, cause: Document) -> ledger.Event | None:
        return self._get(cause.get("event"))

    def _get(self, number: object) -> ledger.Event | None:
        if not _number(number):
            return None
        try:
            return ledger.get(self._conn, _number(number))
        except NotFound:
            return None


def _parents(run: Run) -> set[str]:
    """The runs that pushed what this run stands on."""
    return {str(name) for cause in run.cause for name in cause.get("runs") or ()}


def _facts(cause: Document) -> dict[str, Any]:
    return {
        key: value for key, value in cause.items() if key not in ("kind", "event", "wave") and value not in ("", None)
    }


def _image_event(event: ledger.Event | None) -> imageevent.ImageEvent | None:
    try:
        return imageevent.read(event) if event else None
    except InvalidInput:
        return None


def _schedule(event: ledger.Event | None) -> str:
    """Of a timer's event."""
    try:
        return str(json.loads(event.body).get("schedule") or "") if event else ""
    except (ValueError, AttributeError):
        return ""


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None
