"""Which waiting run starts next, and why the others do not yet. Pure: what waits and what runs in, names out.

The order is: priority (higher first), then fair share between owners (whose fewest runs run; among equals, who was
served least recently), then age. A run is passed over, and not in anybody's way, while

- its time has not come (`not_before`: delayed, or it backs off after an infrastructure error),
- its concurrency group is full,
- its owner or its task is at its cap,
- the worker that asks is not one for it (pool, platform, labels) or is full.

Positions are what this order would be if every run could start: each start counts for its owner, as it would in truth.
Must not know a database, a clock or HTTP.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from taskengine.service.model import WorkerState


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A run that waits: what its turn depends on. `number` is its age: smaller is older."""

    id: str
    number: int
    owner: str
    task: str = ""
    priority: int = 0
    group: str = ""
    group_limit: int = 1
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    not_before: datetime | None = None
    attempt: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A run in a worker's hands."""

    id: str
    owner: str
    task: str = ""
    group: str = ""
    worker: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """How many runs may run at once: of any one owner and of any one task (None: as many as there are workers), and of
    those that are named."""

    owner: int | None = None
    task: int | None = None
    owners: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)

    def of_owner(self, name: str) -> int | None:
        return self.owners.get(name, self.owner)

    def of_task(self, name: str) -> int | None:
        return self.tasks.get(name, self.task) if name else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A worker, as a place where runs can be. `why_not` says for people why it takes none, when it does not."""

    id: str
    name: str = ""
    pool: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    capacity: int = 2
    state: WorkerState = WorkerState.READY
    why_not: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """Where a waiting run stands: `position` counts from 1, `reason` is one sentence for people."""

    run: str
    position: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What runs, counted in every way that matters."""

    owners: Counter[str]
    tasks: Counter[str]
    workers: Counter[str]
    groups: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, running: Iterable[Running]) -> Crowd:
        owners: Counter[str] = Counter()
        tasks: Counter[str] = Counter()
        workers: Counter[str] = Counter()
        groups: dict[str, list[str]] = {}
        for run in running:
            owners[run.owner] += 1
            tasks[run.task] += 1
            workers[run.worker] += 1
            if run.group:
                groups.setdefault(run.group, []).append(run.id)
        return cls(owners=owners, tasks=tasks, workers=workers, groups=groups)


def pick(
    waiting: Iterable[Waiting], running: Iterable[Running], served: Mapping[str, int], caps: Caps, place: Place,
    now: datetime,
) -> Waiting | None:  # fmt: skip
    """The run that `place` starts next; None when there is none for it. `served` is each owner's last turn."""
    crowd = Crowd.of(running)
    if place.state is not WorkerState.READY or crowd.workers[place.id] >= place.capacity:
        return None
    able = (
        run
        for run in waiting
        if fits(run, place)
        and not _too_early(run, now)
        and not _group_full(run, crowd)
        and not _capped(run, crowd, caps)
    )
    return min(
        able,
        key=lambda run: (-run.priority, crowd.owners[run.owner], served.get(run.owner, 0), run.number),
        default=None,
    )


def order(waiting: Iterable[Waiting], running: Iterable[Running], served: Mapping[str, int]) -> list[Waiting]:
    """All that waits, in the order in which it would start if everything could."""
    counts = Crowd.of(running).owners
    turns = dict(served)
    turn = max(turns.values(), default=0)
    found: list[Waiting] = []
    by_priority: dict[int, dict[str, list[Waiting]]] = {}
    for run in sorted(waiting, key=lambda run: -run.number):
        by_priority.setdefault(run.priority, {}).setdefault(run.owner, []).append(run)
    for priority in sorted(by_priority, reverse=True):
        queues = by_priority[priority]
        heap = [(counts[owner], turns.get(owner, 0), runs[-1].number, owner) for owner, runs in queues.items()]
        heapq.heapify(heap)
        while heap:
            *_, owner = heapq.heappop(heap)
            runs = queues[owner]
            found.append(runs.pop())
            counts[owner] += 1
            turn += 1
            turns[owner] = turn
            if runs:
                heapq.heappush(heap, (counts[owner], turn, runs[-1].number, owner))
    return found


def spots(
    waiting: Iterable[Waiting], running: Iterable[Running], served: Mapping[str, int], caps: Caps,
    places: Sequence[Place], now: datetime,
) -> list[Spot]:  # fmt: skip
    """Position and reason of every run that waits, the first to start first."""
    present = list(running)
    crowd = Crowd.of(present)
    found: list[Spot] = []
    rooms: dict[tuple[object, ...], str] = {}
    for position, run in enumerate(order(waiting, present, served), start=1):
        reason = _hindrance(run, crowd, caps, now)
        if not reason:
            shape = (run.pool, run.platform, tuple(sorted(run.labels.items())))
            if shape not in rooms:
                rooms[shape] = _room(run, crowd, places)
            reason = rooms[shape]
        found.append(Spot(run=run.id, position=position, reason=reason or _in_line(position)))
    return found


def fits(run: Waiting, place: Place) -> bool:
    """Whether the place is one for the run at all, were it free."""
    return run.pool == place.pool and _platform_fits(run.platform, place) and _labels_fit(run.labels, place)


def _platform_fits(platform: str, place: Place) -> bool:
    """A run that names only an operating system, or no variant, takes any; a worker that tells none takes all."""
    if not platform or not place.platforms:
        return True
    wanted = platform.lower().split("/")
    return any(known.lower().split("/")[: len(wanted)] == wanted for known in place.platforms)


def _labels_fit(labels: Mapping[str, str], place: Place) -> bool:
    return all(place.labels.get(name) == value for name, value in labels.items())


def _too_early(run: Waiting, now: datetime) -> bool:
    return run.not_before is not None and run.not_before > now


def _group_full(run: Waiting, crowd: Crowd) -> bool:
    return bool(run.group) and len(crowd.groups.get(run.group, ())) >= run.group_limit


def _capped(run: Waiting, crowd: Crowd, caps: Caps) -> bool:
    return _at(caps.of_owner(run.owner), crowd.owners[run.owner]) or _at(caps.of_task(run.task), crowd.tasks[run.task])


def _at(cap: int | None, count: int) -> bool:
    return cap is not None and count >= cap


def _hindrance(run: Waiting, crowd: Crowd, caps: Caps, now: datetime) -> str:
    """What keeps a run back whatever the workers do; empty when nothing does."""
    if run.not_before is not None and run.not_before > now:
        at = run.not_before.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"tries again at {at}, after an infrastructure error" if run.attempt > 1 else f"not before {at}"
    if _group_full(run, crowd):
        holders = sorted(crowd.groups[run.group])
        names = ", ".join(holders[:3]) + (", ..." if len(holders) > 3 else "")
        return f"waits for group {run.group} ({len(holders)} of {run.group_limit} running: {names})"
    cap = caps.of_owner(run.owner)
    if cap is not None and crowd.owners[run.owner] >= cap:
        return f"owner {run.owner} is at its cap ({crowd.owners[run.owner]} of {cap} running)"
    cap = caps.of_task(run.task)
    if cap is not None and crowd.tasks[run.task] >= cap:
        return f"task {run.task} is at its cap ({crowd.tasks[run.task]} of {cap} running)"
    return ""


def _room(run: Waiting, crowd: Crowd, places: Sequence[Place]) -> str:
    """What the workers have to do with it; empty when one of them is free for the run."""
    alive = [place for place in places if place.state is not WorkerState.LOST]
    pool = [place for place in alive if place.pool == run.pool]
    if not pool:
        return f"no worker in pool {run.pool}" if run.pool else "no worker"
    able = [place for place in pool if _platform_fits(run.platform, place)]
    where = f" in pool {run.pool}" if run.pool else ""
    if not able:
        return f"no worker{where} for platform {run.platform}"
    able = [place for place in able if _labels_fit(run.labels, place)]
    if not able:
        wanted = ", ".join(f"{name}={value}" for name, value in sorted(run.labels.items()))
        return f"no worker{where} with labels {wanted}"
    ready = [place for place in able if place.state is WorkerState.READY]
    if not ready:
        first = able[0]
        return f"no worker{where} is ready: {first.name or first.id} is {first.state.value}" + (
            f" ({first.why_not})" if first.why_not else ""
        )
    taken = sum(min(crowd.workers[place.id], place.capacity) for place in ready)
    total = sum(place.capacity for place in ready)
    return f"waits for a free worker{where} ({taken} of {total} places taken)" if taken >= total else ""


def _in_line(position: int) -> str:
    return "is next" if position == 1 else f"waits its turn ({position - 1} before it)"
