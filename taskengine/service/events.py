"""What is done with events of the ledger: listed, shown, replayed, approved, refused. Use cases; must not know HTTP.

Who is bound to some tasks sees the events that came for one of these, or that led to something for one. What stood in
an event is for those who may change tasks, and of an event for nobody in particular for those who are not bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from taskengine.errors import Unreachable
from taskengine.service.caller import Caller
from taskengine.service.model import Role
from taskengine.service.refusal import Forbidden
from taskengine.service.services import Services
from taskengine.service.store import Connection, audit, ledger, repeats
from taskengine.service.triggering import Triggering

_READING_BODIES = frozenset({Role.ADMIN, Role.OPERATOR, Role.DEVELOPER})


@dataclass(frozen=True, kw_only=True)
class ShownEvent:
    """An event with what it led to, and what people did with it, the oldest first. `open` says that its headers and
    body are for the caller."""

    event: ledger.Event
    outcomes: tuple[ledger.Outcome, ...]
    history: tuple[audit.Entry, ...]
    open: bool


def page(
    services: Services, caller: Caller, wanted: ledger.Wanted, *, top: int, cursor: str | None
) -> tuple[list[ledger.Event], str | None]:
    """The events that the caller may see, the newest first. Raises InvalidInput for a cursor that is none."""
    with services.database.read() as conn:
        return ledger.page(conn, replace(wanted, scopes=caller.scopes), top=top, cursor=cursor)


def show(services: Services, caller: Caller, number: int) -> ShownEvent:
    """Raises NotFound."""
    with services.database.read() as conn:
        return _shown(conn, caller, number)


def replay(services: Services, caller: Caller, number: int, *, key: str = "") -> ShownEvent:
    """Have it worked on again as if it had just come. The same `key` does so once. Raises NotFound, Forbidden, and
    Conflict while it is still to be worked on, or for a key of another request."""

    def work(conn: Connection) -> ShownEvent:
        _mine(conn, caller, number)
        now = services.now()
        asked = f"replay:{number}"
        if repeats.first(conn, owner=caller.name, key=key, fingerprint=asked, event=number, now=now):
            ledger.replay(conn, number, now=now)
            services.note(conn, caller, "event.replay", f"events/{number}")
        return _shown(conn, caller, number)

    found = services.database.transact(work)
    services.bell.tell("events")
    return found


def approve(services: Services, caller: Caller, number: int) -> ShownEvent:
    """Start what waits for a person. Again by the same one is the same as once. Raises NotFound, Forbidden,
    InvalidInput when the task cannot run so, and Conflict for what waits for nobody."""
    shown = _for_decision(services, caller, number)
    if any(one.action == "event.approve" and one.actor == caller.name for one in shown.history[-1:]):
        return shown
    triggers_of(services).approve(services, caller, number)
    return show(services, caller, number)


def refuse(services: Services, caller: Caller, number: int, reason: str = "") -> ShownEvent:
    """Never start what waits for a person. Raises as `approve`."""
    _for_decision(services, caller, number)
    triggers_of(services).refuse(services, caller, number, reason=reason)
    return show(services, caller, number)


def triggers_of(services: Services) -> Triggering:
    """Raises Unreachable for a service that was put together without them."""
    if services.triggers is None:
        raise Unreachable("this service has no triggers", hint="start it with 'acr-task serve'")
    return services.triggers


def _for_decision(services: Services, caller: Caller, number: int) -> ShownEvent:
    with services.database.read() as conn:
        _mine(conn, caller, number)
        return _shown(conn, caller, number)


def _shown(conn: Connection, caller: Caller, number: int) -> ShownEvent:
    event = ledger.get(conn, number)
    outcomes = tuple(one for one in ledger.outcomes(conn, number) if not one.task or caller.in_scope(one.task))
    _check_visible(caller, event, outcomes)
    return ShownEvent(
        event=event,
        outcomes=outcomes,
        history=tuple(audit.about(conn, f"events/{number}", actions="event.")),
        open=caller.role in _READING_BODIES and caller.in_scope(event.task),
    )


def _mine(conn: Connection, caller: Caller, number: int) -> None:
    """Raises Forbidden for an event that is about others' tasks, too."""
    event = ledger.get(conn, number)
    _check_visible(caller, event, ledger.outcomes(conn, number))
    if not caller.in_scope(event.task):
        raise Forbidden(
            "this event is about other tasks, too, and the token is bound to some", hint="take another token"
        )


def _check_visible(caller: Caller, event: ledger.Event, outcomes: Iterable[ledger.Outcome]) -> None:
    if not caller.in_scope(event.task) and not any(one.task and caller.in_scope(one.task) for one in outcomes):
        raise ledger.absent(event.number)
