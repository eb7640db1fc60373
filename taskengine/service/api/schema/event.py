"""Events of the ledger, as they are shown. Shape only."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from taskengine.service.api.schema.common import Body, Line, View

EventState = Literal["received", "queued", "waiting", "noted", "ignored", "failed", "refused"]


class RefuseBody(Body):
    reason: Line = ""


class OutcomeView(View):
    """What an event led to for one task; `facts` say of what, for people."""

    task: str | None = None
    state: str
    reason: str
    run: str | None = None
    facts: dict[str, Any]
    at: datetime


class EventEntry(View):
    """Somebody replayed, approved or refused the event."""

    at: datetime
    actor: str
    action: str
    detail: dict[str, Any]


class EventView(View):
    """`outcomes` and what follows are there when one event is shown. `headers` and `body` (or `bodyBase64`, for what is
    no text) are null where the caller may not read them."""

    number: int
    source: str
    task: str | None = None
    delivery: str
    received: datetime
    state: str
    reason: str
    attempts: int
    done: datetime | None = None
    outcomes: list[OutcomeView] | None = None
    history: list[EventEntry] | None = None
    headers: dict[str, str] | None = None
    body: str | None = None
    body_base64: str | None = None


class EventList(View):
    value: list[EventView]
    next_cursor: str | None
