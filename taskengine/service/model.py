"""What the service knows: tasks, runs on their way, workers, tokens. Plain data; no database, no HTTP, no clock.

Documents (`Task.document`, `Run.spec`) are plain JSON data in the form of the API, which is ACR's own
(azure-mgmt-containerregistry 10, Task and Run, without the `properties` envelope). Nothing secret is in them: a secret
value is replaced by its absence and kept, encrypted, in the store's secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from taskengine.runs.model import RunStatus

Document = Mapping[str, Any]


class Role(Enum):
    """What a token's holder may do. `worker` is for workers alone: it may carry out runs and nothing else."""

    ADMIN = "admin"
    OPERATOR = "operator"
    DEVELOPER = "developer"
    READER = "reader"
    WORKER = "worker"


class RunType(Enum):
    """How a run came to be (SDK: RunType)."""

    QUICK_BUILD = "QuickBuild"
    QUICK_RUN = "QuickRun"
    AUTO_BUILD = "AutoBuild"
    AUTO_RUN = "AutoRun"


class GroupPolicy(Enum):
    """What happens to a run whose concurrency group is full: it waits; or it takes the place of the group's waiting
    and running runs, which are canceled; or it is not queued at all."""

    QUEUE = "queue"
    REPLACE = "replace"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A concurrency group: at most `limit` runs of all that name it run at once."""

    name: str
    limit: int = 1
    policy: GroupPolicy = GroupPolicy.QUEUE


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A stored task. `revision` counts its changes from 1; a change made on an older revision is refused."""

    name: str
    document: Document
    revision: int = 1
    enabled: bool = True
    owner: str = ""
    created: datetime
    updated: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What is asked for when a run is queued, already validated.

    `spec` is what a worker needs to carry the run out, but for secrets (see runs/spec.py). `secrets` are kept
    encrypted, by name, until the run is over. `cause` is the chain of what led to it, newest first, as plain data.
    `key` makes asking again harmless: the same key gives the same run.
    """

    type: RunType
    spec: Document
    owner: str
    task: str = ""
    priority: int = 0
    group: Group | None = None
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    cause: tuple[Document, ...] = ()
    key: str = ""
    not_before: datetime | None = None
    expires: datetime | None = None
    timeout: int = 3600
    max_attempts: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run as the store has it.

    `number` grows with each run and is what pages are cut by; `id` is its short name (`ca1`). `attempt` counts from 1
    and grows only when an infrastructure error made it start anew. `epoch` is the fencing number of its newest lease:
    a report that carries an older one changes nothing. `feed_size` are the bytes of its feed that are safe here.
    """

    number: int
    id: str
    type: RunType
    status: RunStatus
    spec: Document
    owner: str
    task: str = ""
    priority: int = 0
    group: Group | None = None
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    cause: tuple[Document, ...] = ()
    created: datetime
    not_before: datetime | None = None
    expires: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    updated: datetime
    timeout: int = 3600
    attempt: int = 1
    max_attempts: int = 3
    worker: str = ""
    epoch: int = 0
    lease_until: datetime | None = None
    cancel_reason: str = ""
    wait_reason: str = ""
    message: str = ""
    hint: str = ""
    feed_size: int = 0
    record: Document | None = None
    images: tuple[Document, ...] = ()
    archived: bool = False


class WorkerState(Enum):
    """`starting` until it has proved what it can do; `unfit` while its engine or its disk is not well; `lost` when it
    was not heard of for longer than its leases last."""

    STARTING = "starting"
    READY = "ready"
    UNFIT = "unfit"
    DRAINING = "draining"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker as the service sees it. `capacity` is how many runs it takes at once; `health` is plain data for
    people: engine, disk, versions, why it is unfit."""

    id: str
    name: str
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    capacity: int = 2
    version: str = ""
    state: WorkerState = WorkerState.STARTING
    health: Document = field(default_factory=dict)
    registered: datetime
    seen: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A run in a worker's hands until `until`, under the fencing number `epoch`."""

    run: Run
    epoch: int
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """Who calls. `scopes` are patterns of task names (`*`, `team-a-*`) that it may see and touch; none means all.
    `worker` is the name of the one worker that a token of this role speaks for; empty until its first use."""

    id: str
    name: str
    role: Role
    scopes: tuple[str, ...] = ()
    worker: str = ""
    created: datetime
    expires: datetime | None = None
