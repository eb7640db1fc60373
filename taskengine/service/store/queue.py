"""The queue: runs go in, workers take them, and every run comes out. Which one is next is decided by `queueing`.

At most one worker holds a run. A lease is given in a transaction that nobody else is in (SQLite's one writer; a lock on
PostgreSQL), to a run that waits, and raises the run's epoch; whatever a worker sends names the epoch that it was given,
and changes nothing once the run has another. Each lease is an attempt of its own, so that no two workers ever share a
feed, a file or a name of a container.

Time is the caller's `now`. A lease is taken away by `expire` alone, and only a run that waits is ever given out, so no
jump of a clock can give a run to two workers. What a jump could do: backwards, leases last longer, so `expire` shortens
those that end beyond a full term; forwards, a lease would end while its worker is well. `service/keeper.py` sees jumps
and then gives every lease a full term. Should one be missed, the run backs off for longer (10 s) than the worker needs
to hear of it (a heartbeat, 5 s), and the worker's reports name an epoch that is over.

Must not know HTTP, nor feeds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, or_, select

from taskengine.errors import Conflict, InvalidInput, NotFound
from taskengine.runs.model import RunStatus
from taskengine.service import queueing
from taskengine.service.model import Document, Group, GroupPolicy, Lease, Run, RunRequest, Worker
from taskengine.service.store import ending, hooks, secrets, standing, uploads
from taskengine.service.store.database import alone
from taskengine.service.store.rows import ACTIVE, UNFINISHED, clean, run_id, run_of
from taskengine.service.store.tables import idempotency, late_reports, run_attempts, runs, workers

LEASE = timedelta(seconds=30)
#: how long a worker may go on with a run that was canceled, or is past its time limit, before it is taken away
OBEY = timedelta(minutes=2)
_QUEUE_LOCK = 0x41435251
_MOST_LATE = 100
_ROW = select(runs).where(runs.c.id == bindparam("run")).with_for_update()
_INSERT = runs.insert()
_ATTEMPT = run_attempts.insert()
_LEASE = (
    runs.update()
    .where(runs.c.number == bindparam("n"))
    .values(
        status=RunStatus.STARTED.value, worker=bindparam("w"), epoch=bindparam("e"), lease_until=bindparam("until"),
        updated=bindparam("now"), feed_size=0,
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """How a worker stands with a run that it believes to hold. `cancel` says why it shall stop; empty when not."""

    run: str
    epoch: int
    held: bool
    cancel: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A run that a time limit has changed, and what it is now."""

    run: str
    status: RunStatus
    why: str


def enqueue(
    conn: Connection, request: RunRequest, *, now: datetime, box: secrets.SecretBox, fingerprint: str = ""
) -> tuple[Run, bool]:
    """Queues a run; when the transaction is committed it is as safe as the database. The second value is False when
    `request.key` was there already, and the run is the one of then. `fingerprint` stands for the whole request.

    A run whose group is full and whose policy is to skip is not queued: it comes back as Canceled, and says so. One
    that replaces cancels all others of its group. Raises Conflict when the key was used for another request, and
    InvalidInput when the context is an upload that is not there in full."""
    alone(conn, _QUEUE_LOCK)  # so that groups, caps and numbers hold
    if request.key and (known := _known(conn, request, fingerprint)) is not None:
        return known, False
    upload = str(request.spec.get("context", ""))
    upload = upload.removeprefix("upload:") if upload.startswith("upload:") else ""
    if upload:
        uploads.use(conn, upload, owner=request.owner, now=now)
    number = standing.count(conn, "run")
    name = run_id(number)
    conn.execute(_INSERT, _columns(request, number, name, upload, now))
    if request.key:
        conn.execute(
            idempotency.insert().values(
                owner=request.owner, key=request.key, fingerprint=fingerprint, run=name, created=now
            )
        )
    row = row_of(conn, name)
    if _apply_group(conn, request, row, now):
        return run_of(row_of(conn, name)), True
    secrets.put(conn, box, "run", name, request.secrets, now=now)
    hooks.announce(conn, row, RunStatus.QUEUED, now=now)
    return run_of(row), True


def lease(
    conn: Connection, worker: Worker, *, now: datetime, caps: queueing.Caps = queueing.Caps(),  # noqa: B008
    term: timedelta = LEASE, free: int | None = None,
) -> Lease | None:  # fmt: skip
    """Gives the worker its next run; None when there is none for it. `free` is how many it says it can take; it never
    gets more than its capacity."""
    if free is not None and free <= 0:
        return None
    alone(conn, _QUEUE_LOCK)  # so that groups, caps and numbers hold
    place, running = standing.place_of(worker), standing.running(conn)
    if sum(run.worker == worker.id for run in running) >= worker.capacity:
        return None
    chosen = queueing.pick(standing.heads(conn, now), running, standing.served(conn), caps, place, now)
    if chosen is None:
        return None
    row = row_of(conn, chosen.id)
    epoch, until = row.epoch + 1, now + term
    given = {"status": RunStatus.STARTED, "worker": worker.id, "epoch": epoch, "lease_until": until, "updated": now}
    conn.execute(_LEASE, {"n": row.number, "w": worker.id, "e": epoch, "until": until, "now": now})
    conn.execute(
        _ATTEMPT,
        {
            "run": row.id, "attempt": row.attempt, "worker": worker.id, "epoch": epoch, "leased": now, "outcome": "",
            "feed_size": 0,
        },
    )  # fmt: skip
    standing.serve(conn, row.owner)
    hooks.announce(conn, row, RunStatus.STARTED, now=now)
    return Lease(run=replace(run_of(row), **given, feed_size=0), epoch=epoch, until=until)


def hand_out(
    conn: Connection, box: secrets.SecretBox, worker: Worker, *, now: datetime,
    caps: queueing.Caps = queueing.Caps(), term: timedelta = LEASE, free: int | None = None,  # noqa: B008
) -> tuple[Lease, dict[str, str]] | None:  # fmt: skip
    """`lease`, with the run's secrets. A run whose secrets cannot be opened any more (their key is lost) ends as Error
    and says so, instead of coming back to every worker that asks; the next one is tried."""
    while (given := lease(conn, worker, now=now, caps=caps, term=term, free=free)) is not None:
        try:
            return given, secrets.get(conn, box, "run", given.run.id)
        except InvalidInput as error:
            row = row_of(conn, given.run.id)
            ending.finish(conn, row, RunStatus.ERROR, now=now, message=error.message, hint=error.hint or "")
    return None


def held(conn: Connection, worker: str, run: str, epoch: int) -> Lease | None:
    """The lease that a worker has on a run; None when it does not hold it under this epoch."""
    row = conn.execute(select(runs).where(runs.c.id == run)).first()
    if row is None or not holds(row, worker, epoch):
        return None
    return Lease(run=run_of(row), epoch=epoch, until=row.lease_until)


def holds(row: Row[Any], worker: str, epoch: int) -> bool:
    """Whether a run's row says that the worker holds it under this epoch."""
    return row.status in ACTIVE and row.worker == worker and row.epoch == epoch


def renew(
    conn: Connection, worker: str, leases: Iterable[tuple[str, int]], *, now: datetime, term: timedelta = LEASE
) -> list[Held]:
    """What the worker still holds gets a full term again. One that has run out but was not taken away yet is renewed
    too: nobody else can hold it. Renewing never shortens a lease."""
    asked = list(leases)
    if not asked:
        return []
    statement = select(runs).where(runs.c.id.in_([run for run, _ in asked])).order_by(runs.c.number)
    rows = {row.id: row for row in conn.execute(statement.with_for_update())}
    found = []
    for run, epoch in asked:
        row = rows.get(run)
        if row is None or not holds(row, worker, epoch):
            found.append(Held(run=run, epoch=epoch, held=False))
            continue
        mine = (runs.c.number == row.number, runs.c.epoch == epoch)
        conn.execute(runs.update().where(*mine).values(lease_until=now + term))
        found.append(Held(run=run, epoch=epoch, held=True, cancel=row.cancel_reason))
    return found


def renew_all(conn: Connection, *, now: datetime, term: timedelta = LEASE) -> int:
    """Gives every lease a full term, and every worker a fresh look: for a service that starts, since while there was
    none nobody could renew. Returns how many there were."""
    conn.execute(workers.update().where(workers.c.state != "lost").values(seen=now))
    return conn.execute(runs.update().where(runs.c.status.in_(ACTIVE)).values(lease_until=now + term)).rowcount


def give_back(conn: Connection, worker: str, run: str, epoch: int, why: str, *, now: datetime) -> bool:
    """A worker that goes gives a run back: it waits anew at once, and the attempt does not count. False when the worker
    does not hold it. A run that was canceled ends instead."""
    row = row_of(conn, run)
    if not holds(row, worker, epoch):
        return False
    break_off(conn, row, why, now=now, free=True)
    return True


def cancel(conn: Connection, run: str, reason: str, *, now: datetime) -> Run:
    """A run that waits is over at once; one that a worker holds is over when the worker has stopped it, or when its
    time to obey is up. One that is over stays as it is. Raises NotFound."""
    row = row_of(conn, run)
    if row.status == RunStatus.QUEUED.value:
        _note_cancel(conn, row, reason, now)
        ending.finish(conn, row, RunStatus.CANCELED, now=now, message=reason)
    elif row.status in ACTIVE and not row.cancel_reason:
        _note_cancel(conn, row, reason, now)
    return run_of(row_of(conn, run))


def time_limits(conn: Connection) -> dict[tuple[str, int], int]:
    """The time limit, in seconds, of every run that is running and was not told to stop, by name and epoch."""
    c = runs.c
    running = (c.status == RunStatus.RUNNING.value, c.cancel_reason == "")
    rows = conn.execute(select(c.id, c.epoch, c.timeout).where(*running))
    return {(row.id, row.epoch): row.timeout for row in rows}


def anything_due(conn: Connection, *, now: datetime, term: timedelta = LEASE, obey: timedelta = OBEY) -> bool:
    """Whether `expire` would find something, told by reading only."""
    c = runs.c
    waited = and_(c.status == RunStatus.QUEUED.value, c.expires <= now)
    lapsed = or_(
        c.lease_until <= now, c.lease_until > now + term, and_(c.cancel_reason != "", c.cancel_at <= now - obey)
    )
    return any(
        conn.execute(select(c.number).where(where).limit(1)).first() is not None
        for where in (waited, and_(c.status.in_(ACTIVE), lapsed))
    )


def expire(
    conn: Connection, *, now: datetime, term: timedelta = LEASE, obey: timedelta = OBEY,
    overdue: Collection[str] = (),
) -> list[Change]:  # fmt: skip
    """Everything that time does to runs: those that waited too long, leases that ran out, cancels that were not obeyed,
    and time limits that a worker did not keep (`overdue`). Any number of services may call it."""
    alone(conn, _QUEUE_LOCK)  # so that groups, caps and numbers hold
    found: list[Change] = []
    waited = (runs.c.status == RunStatus.QUEUED.value, runs.c.expires <= now)
    for row in conn.execute(select(runs).where(*waited).order_by(runs.c.number).with_for_update()).all():
        why = "it waited longer than its time to live"
        ending.finish(conn, row, RunStatus.CANCELED, now=now, message=why, hint="more workers would help")
        found.append(Change(run=row.id, status=RunStatus.CANCELED, why=why))
    held = select(runs).where(runs.c.status.in_(ACTIVE)).order_by(runs.c.number)
    for row in conn.execute(held.with_for_update()).all():
        if row.lease_until <= now:
            found.append(break_off(conn, row, f"worker {_worker_name(conn, row)} was not heard of in time", now=now))
        elif row.cancel_reason and row.cancel_at <= now - obey:
            ending.finish(conn, row, canceled_as(row), now=now, message=row.cancel_reason)
            found.append(Change(run=row.id, status=canceled_as(row), why="the worker did not stop it in time"))
        elif row.id in overdue and not row.cancel_reason:
            _note_cancel(conn, row, _time_limit(row), now)
            found.append(Change(run=row.id, status=RunStatus(row.status), why=_time_limit(row)))
        elif row.lease_until > now + term:
            conn.execute(runs.update().where(runs.c.number == row.number).values(lease_until=now + term))
    return found


def break_off(
    conn: Connection, row: Row[Any], why: str, *, now: datetime, free: bool = False, hint: str = "",
    record: Document | None = None,
) -> Change:  # fmt: skip
    """An infrastructure error ended an attempt: the run is tried again, or is over when it was canceled or has no
    attempts left. `row` is locked, and its lease was checked. A `free` attempt does not count."""
    if row.cancel_reason:
        ending.finish(conn, row, canceled_as(row), now=now, message=row.cancel_reason, record=record)
        return Change(run=row.id, status=canceled_as(row), why=row.cancel_reason)
    if free or row.attempt < row.max_attempts:
        ending.requeue(conn, row, why, now=now, free=free)
        return Change(run=row.id, status=RunStatus.QUEUED, why=why)
    tries = f"all {row.max_attempts} attempts ended so" if row.max_attempts > 1 else "it had but one attempt"
    ending.finish(
        conn, row, RunStatus.ERROR, now=now, message=f"infrastructure error: {why}",
        hint=hint or f"{tries}; see the workers' health", record=record,
    )  # fmt: skip
    return Change(run=row.id, status=RunStatus.ERROR, why=why)


def canceled_as(row: Row[Any]) -> RunStatus:
    """What a run that was told to stop ends as: Timeout when it was its time limit that told it."""
    return RunStatus.TIMEOUT if row.cancel_reason == _time_limit(row) else RunStatus.CANCELED


def report_late(conn: Connection, run: str, worker: str, epoch: int, what: str, *, now: datetime) -> None:
    """Keeps what came from a worker that does not hold the run, to be seen. It changes nothing else. Of one run, the
    first hundred are kept: a worker that does not hear must not fill the disk."""
    known = conn.execute(select(func.count()).select_from(late_reports).where(late_reports.c.run == run)).scalar_one()
    if known < _MOST_LATE:
        values = {"run": run, "worker": worker, "epoch": epoch, "at": now, "what": clean(what, 1000)}
        conn.execute(late_reports.insert().values(**values))


#: position and reason of every run that waits
waiting = standing.waiting


# ---- within one transaction


def lock(conn: Connection) -> None:
    """Until this transaction ends, no run is queued and none is given out."""
    alone(conn, _QUEUE_LOCK)


def row_of(conn: Connection, run: str) -> Row[Any]:
    """A run's row, locked until the transaction ends. Raises NotFound."""
    row = conn.execute(_ROW, {"run": run}).first()
    if row is None:
        raise NotFound(f"there is no run {run}", hint="acr-task task list-runs shows them")
    return row


def _known(conn: Connection, request: RunRequest, fingerprint: str) -> Run | None:
    mine = (idempotency.c.owner == request.owner, idempotency.c.key == request.key)
    row = conn.execute(select(idempotency).where(*mine)).first()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise Conflict("this idempotency key was used for another request", hint="take a new key for a new request")
    return run_of(row_of(conn, row.run))


def _columns(request: RunRequest, number: int, name: str, upload: str, now: datetime) -> dict[str, Any]:
    group = request.group
    return {
        "number": number, "id": name, "type": request.type.value, "status": RunStatus.QUEUED.value,
        "task": request.task, "owner": request.owner, "priority": request.priority,
        "group_name": group.name if group else "", "group_limit": group.limit if group else 0,
        "group_policy": group.policy.value if group else "", "pool": request.pool, "labels": dict(request.labels),
        "platform": str(request.spec.get("platform", "")), "kind": standing.kind_of(request),
        "upload": upload, "spec": request.spec,
        "cause": list(request.cause), "created": now, "not_before": request.not_before, "expires": request.expires,
        "started": None, "finished": None, "updated": now, "timeout": request.timeout, "attempt": 1,
        "max_attempts": request.max_attempts, "worker": "", "epoch": 0, "lease_until": None, "cancel_reason": "",
        "cancel_at": None, "message": "", "hint": "", "feed_size": 0, "record": None, "archived": False,
    }  # fmt: skip


def _apply_group(conn: Connection, request: RunRequest, row: Row[Any], now: datetime) -> bool:
    """Does what the group's policy says; True when the run itself was skipped."""
    group = request.group
    if group is None or group.policy is GroupPolicy.QUEUE:
        return False
    if group.policy is GroupPolicy.REPLACE:
        for other in _group_runs(conn, group, but=row.number):
            cancel(conn, other, f"replaced by {row.id} in group {group.name}", now=now)
        return False
    why = would_skip(conn, group, but=row.number)
    if not why:
        return False
    _note_cancel(conn, row, why, now)
    ending.finish(conn, row, RunStatus.CANCELED, now=now, message=why)
    return True


def would_skip(conn: Connection, group: Group, *, but: int = 0) -> str:
    """Why one more run of this group would be skipped, without the run of number `but`; empty when it would not."""
    present = _group_runs(conn, group, but=but) if group.policy is GroupPolicy.SKIP else []
    if len(present) < group.limit:
        return ""
    return f"skipped: group {group.name} is full ({', '.join(present[:3])}{', ...' * (len(present) > 3)})"


def _group_runs(conn: Connection, group: Group, *, but: int) -> list[str]:
    """The runs of a group that wait or are under way."""
    others = (runs.c.group_name == group.name, runs.c.status.in_(UNFINISHED), runs.c.number != but)
    return list(conn.execute(select(runs.c.id).where(*others).order_by(runs.c.number)).scalars())


def _note_cancel(conn: Connection, row: Row[Any], reason: str, now: datetime) -> None:
    values = {"cancel_reason": clean(reason, 1000) or "canceled", "cancel_at": now, "updated": now}
    conn.execute(runs.update().where(runs.c.number == row.number).values(**values))


def _time_limit(row: Row[Any]) -> str:
    return f"the run took longer than its time limit of {row.timeout} s"


def _worker_name(conn: Connection, row: Row[Any]) -> str:
    return conn.execute(select(workers.c.name).where(workers.c.id == row.worker)).scalar() or str(row.worker)
