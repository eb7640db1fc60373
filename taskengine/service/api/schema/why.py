"""What the triggers answer: why a run came to be, who stands on what, and what would happen. Shape only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskengine.service.api.schema.common import View


class CauseView(View):
    """`depth` 0 started the run itself; each other cause led to the nearest one above it that is less deep."""

    kind: str
    text: str
    depth: int
    at: datetime | None
    event: int | None
    run: str | None
    wave: int | None
    facts: dict[str, Any]


class AttemptView(View):
    attempt: int
    leased: datetime
    outcome: str | None


class Explanation(View):
    """`isCoalesced` says that several things asked for this one run."""

    run_id: str
    task: str | None
    type: str
    status: str
    create_time: datetime
    owner: str
    context: str | None
    commit: str | None
    is_coalesced: bool
    causes: list[CauseView]
    attempts: list[AttemptView]


class UnwatchedView(View):
    image: str
    reason: str


class GraphTask(View):
    """Images by their full names. `unknown` are builds of which nobody knows yet what they stand on. `watching` says
    that a new image may start the task; `error` what could not be read when it was `scanned`."""

    name: str
    uses: list[str]
    makes: list[str]
    unknown: list[str]
    unwatched: list[UnwatchedView]
    watching: bool
    scanned: datetime | None
    error: str | None


class GraphView(View):
    tasks: list[GraphTask]
