"""What workers, operators and administrators send and see. Shape only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt

from taskengine.service.api.schema.common import Body, Count, Flag, Labels, Moment, View, Word

Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9._*?-]+$", max_length=60)]
Patterns = Annotated[list[Pattern], Field(max_length=50)]
WorkerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
RoleName = Literal["admin", "operator", "developer", "reader", "worker"]


class TokenBody(Body):
    name: Annotated[Word, Field(min_length=1)]
    role: RoleName
    scopes: Patterns = []
    expires: Moment | None = None
    worker: Annotated[
        WorkerName | Literal[""],
        Field(description="The only worker that it speaks for; empty: the first that it is used for."),
    ] = ""


class TokenView(View):
    id: str
    name: str
    role: RoleName
    scopes: list[str]
    worker: str | None = Field(None, description="The only worker that it speaks for, by name.")
    created: datetime
    expires: datetime | None = None
    token: str | None = Field(None, description="The token itself: in the answer that made it, and never again.")


class TokenList(View):
    value: list[TokenView]


class WorkerBody(Body):
    name: WorkerName
    pool: Word = ""
    labels: Labels = {}
    platforms: Annotated[list[Word], Field(max_length=50)] = []
    capacity: Annotated[StrictInt, Field(ge=1, le=1000)] = 2
    version: Annotated[Word, Field(max_length=50)] = ""


class Registered(View):
    id: str
    lease_seconds: int
    heartbeat_seconds: int


class HeldLease(Body):
    run: Word
    epoch: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]


class HeartbeatBody(Body):
    state: Literal["starting", "ready", "unfit", "draining"]
    health: dict[str, Any] = {}
    leases: Annotated[list[HeldLease], Field(max_length=1000)] = []


class LeaseState(View):
    run: str
    epoch: int
    state: Literal["held", "lost"]
    cancel: str | None = None


class HeartbeatView(View):
    leases: list[LeaseState]
    drain: bool


class LeaseBody(Body):
    platforms: Annotated[list[Word], Field(max_length=50)] | None = None
    labels: Labels | None = None
    free: Annotated[StrictInt, Field(ge=0, le=1000)] = 1
    wait: Annotated[float, Field(ge=0, le=60, strict=True)] = 20.0


class LeaseView(View):
    run: str
    attempt: int
    epoch: int
    lease_seconds: int
    spec: dict[str, Any]
    secrets: dict[str, str]
    feed_size: int


class ReleaseBody(Body):
    epoch: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
    reason: Word = ""


class WorkerChange(Body):
    drain: Flag


class WorkerView(View):
    id: str
    name: str
    pool: str
    labels: dict[str, str]
    platforms: list[str]
    capacity: int
    version: str
    state: str
    health: dict[str, Any]
    registered: datetime
    seen: datetime
    running: list[str]


class WorkerList(View):
    value: list[WorkerView]


Events = Annotated[list[Literal["run.queued", "run.leased", "run.started", "run.finished"]], Field(max_length=10)]
HookUrl = Annotated[str, Field(pattern=r"^https?://[^\s\x00-\x1f\x7f]+$", max_length=2000)]


class HookBody(Body):
    """Where run changes are told of. `secret` signs what is sent; one is made when it is left out."""

    url: HookUrl
    events: Events = []
    tasks: Patterns = []
    secret: Annotated[str, Field(min_length=16, max_length=500)] | None = None


class HookChange(Body):
    url: HookUrl | None = None
    events: Events | None = None
    tasks: Patterns | None = None
    enabled: Flag | None = None


class HookView(View):
    id: str
    url: str
    events: list[str]
    tasks: list[str]
    enabled: bool
    created: datetime
    secret: str | None = Field(None, description="In the answer that made it, and never again.")


class HookList(View):
    value: list[HookView]


class DeliveryView(View):
    number: int
    hook: str
    event_id: str
    body: dict[str, Any]
    state: str
    attempts: int
    next_at: datetime | None = None
    status: int
    error: str
    created: datetime
    done: datetime | None = None


class DeliveryList(View):
    value: list[DeliveryView]
    next_cursor: str | None


class AuditEntry(View):
    number: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


class AuditList(View):
    value: list[AuditEntry]
    next_cursor: str | None


class RetentionBody(Body):
    days: Annotated[StrictInt, Field(ge=0, le=36500)] | None = None


class LossView(View):
    """Something that goes: `kind` is run, logs, upload or stray; `size` are bytes of files."""

    kind: str
    name: str
    why: str
    size: Count


class RetentionView(View):
    value: list[LossView]
    dry_run: bool


class VersionView(View):
    version: str
    name: str
    role: RoleName
    scopes: list[str]
