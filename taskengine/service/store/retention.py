"""What is kept for how long, and what goes: runs with their logs, uploads, deliveries, records of the past.

`plan` says what would go and why; `carry_out` does it, a few at a time, so that nobody waits long for the database. An
archived run stays; so does one that is not over. Every run that goes is noted in the audit log. Rows go first, files
after the commit: a file that a crash left behind belongs to nothing, and goes the next time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, or_, select

from taskengine.service.store import audit, ledger, repeats, statuses, waves
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.rows import UNFINISHED
from taskengine.service.store.tables import deliveries, idempotency, late_reports, runs, secrets, tokens
from taskengine.service.store.uploads import UploadFolder

_DAY = timedelta(days=1)
_AT_ONCE = 200
#: a folder or a file that nothing names may be of a call that is under way
_STRAY_AGE = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How long things are kept after they were over. None keeps for good."""

    runs: timedelta | None = 30 * _DAY
    logs: timedelta | None = 30 * _DAY
    deliveries: timedelta | None = 30 * _DAY
    audit: timedelta | None = 365 * _DAY


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Something that goes: `kind` is run, logs, upload or stray; `size` are bytes of files."""

    kind: str
    name: str
    why: str
    size: int = 0


def plan(database: Database, feeds: Feeds, uploads: UploadFolder, rules: Rules, *, now: datetime) -> list[Loss]:
    """All that would go now, the oldest first. Changes nothing."""
    found: list[Loss] = []
    with database.read() as conn:
        if rules.runs is not None:
            old = _finished(conn, now - rules.runs, limit=None)
            why = f"finished more than {_days(rules.runs)} ago, and not archived"
            found += [Loss(kind="run", name=name, why=why, size=feeds.size(name)) for _, name in old]
        gone = {loss.name for loss in found}
        if rules.logs is not None:
            why = f"the run finished more than {_days(rules.logs)} ago, and is not archived"
            old = [(number, name) for number, name in _finished(conn, now - rules.logs, limit=None) if name not in gone]
            sized = ((name, feeds.size(name)) for _, name in old)
            found += [Loss(kind="logs", name=name, why=why, size=size) for name, size in sized if size]
        expired = uploads.sweep(conn, now=now, dry=True)
    why = "not used for a day, and no unfinished run needs it"
    found += [Loss(kind="upload", name=one.id, why=why, size=one.received) for one in expired]
    return found


def carry_out(
    database: Database, feeds: Feeds, uploads: UploadFolder, rules: Rules, *, now: datetime, actor: str = "service"
) -> list[Loss]:
    """Lets go of what `plan` names, and of the small records whose time is up. Returns what went."""
    planned = plan(database, feeds, uploads, rules, now=now)
    gone: list[Loss] = []
    of_runs = [loss for loss in planned if loss.kind == "run"]
    for begin in range(0, len(of_runs), _AT_ONCE):
        gone += _remove_runs(database, feeds, of_runs[begin : begin + _AT_ONCE], now, actor)
    for loss in planned:
        if loss.kind == "logs":
            with database.write() as conn:
                audit.note(conn, actor, "logs.delete", f"runs/{loss.name}", now=now, why=loss.why, size=loss.size)
            feeds.remove(loss.name)
            gone.append(loss)
    with database.write() as conn:
        expired = uploads.sweep(conn, now=now)
        for one in expired:
            audit.note(conn, actor, "upload.delete", f"uploads/{one.id}", now=now, why="expired", size=one.received)
        _prune(conn, rules, now)
    uploads.discard([one.id for one in expired])
    gone += [loss for loss in planned if loss.kind == "upload" and loss.name in {one.id for one in expired}]
    return gone + _remove_strays(feeds, uploads, now)


def _finished(conn: Connection, before: datetime, *, limit: int | None) -> list[tuple[int, str]]:
    old = (runs.c.finished < before, runs.c.archived.is_(False), runs.c.status.not_in(UNFINISHED))
    statement = select(runs.c.number, runs.c.id).where(*old).order_by(runs.c.number)
    return [(row.number, row.id) for row in conn.execute(statement.limit(limit) if limit else statement)]


def _remove_runs(database: Database, feeds: Feeds, losses: list[Loss], now: datetime, actor: str) -> list[Loss]:
    names = [loss.name for loss in losses]
    with database.write() as conn:
        # what was archived since the plan was made, stays
        still = (runs.c.id.in_(names), runs.c.archived.is_(False), runs.c.status.not_in(UNFINISHED))
        present = set(conn.execute(select(runs.c.id).where(*still)).scalars())
        gone = [loss for loss in losses if loss.name in present]
        for table, column in ((idempotency, idempotency.c.run), (late_reports, late_reports.c.run)):
            conn.execute(delete(table).where(column.in_(present)))
        conn.execute(secrets.delete().where(secrets.c.kind == "run", secrets.c.owner.in_(present)))
        conn.execute(runs.delete().where(runs.c.id.in_(present)))
        for loss in gone:
            audit.note(conn, actor, "run.delete", f"runs/{loss.name}", now=now, why=loss.why, size=loss.size)
    for loss in gone:
        feeds.remove(loss.name)
    return gone


def _prune(conn: Connection, rules: Rules, now: datetime) -> None:
    if rules.deliveries is not None:
        old = (deliveries.c.state != "waiting", deliveries.c.done < now - rules.deliveries)
        conn.execute(deliveries.delete().where(*old))
        ledger.prune(conn, before=now - rules.deliveries)
        waves.prune(conn, before=now - rules.deliveries)
        statuses.prune(conn, before=now - rules.deliveries)
        repeats.prune(conn, before=now - rules.deliveries)
    if rules.audit is not None:
        audit.prune(conn, now=now, keep=rules.audit)
    if rules.runs is not None:
        keep = now - rules.runs
        conn.execute(tokens.delete().where(or_(tokens.c.revoked < keep, tokens.c.expires < keep)))


def _remove_strays(feeds: Feeds, uploads: UploadFolder, now: datetime) -> list[Loss]:
    why = "it belongs to nothing: a crash left it"
    old_runs, old_uploads = feeds.strays(now - _STRAY_AGE), uploads.strays(now - _STRAY_AGE)
    gone = [Loss(kind="stray", name=f"runs/{name}", why=why, size=feeds.size(name)) for name in old_runs]
    gone += [Loss(kind="stray", name=f"uploads/{name}", why=why) for name in old_uploads]
    for name in old_runs:
        feeds.remove(name)
    uploads.discard(old_uploads)
    return gone


def _days(span: timedelta) -> str:
    return f"{span.days} days" if span.days != 1 else "a day"
