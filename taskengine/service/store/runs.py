"""Runs as they are read: one, a page of them, their steps, images and attempts. What changes them is in queue.py.

Lists stay fast with a long history: the numbers of a page are found in indexes alone, and only its rows are read. Must
not know HTTP, nor how runs come to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from taskengine.errors import InvalidInput, NotFound
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import RunStatus
from taskengine.service.model import Document, Run, RunType
from taskengine.service.store.rows import run_of
from taskengine.service.store.tables import late_reports, run_attempts, run_images, run_steps, runs
from taskengine.service.store.tasks import matches


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which runs; what is None or empty leaves out none. `image` is a reference, whose tag or digest counts when it has
    one. `since` and `until` bound when a run was queued. `scopes` are patterns of task names."""

    task: str | None = None
    statuses: tuple[RunStatus, ...] = ()
    types: tuple[RunType, ...] = ()
    image: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    owner: str | None = None
    archived: bool | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPage:
    """`cursor` begins the next page; None on the last one."""

    runs: tuple[Run, ...]
    cursor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step of an attempt. `record` is its StepRecord as JSON, once it is over; before, id, type and needs."""

    id: str
    attempt: int
    position: int
    status: str
    log_size: int
    record: Document | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt at a run. `outcome` is empty while it is under way. `feed_size` are the bytes of its feed."""

    attempt: int
    worker: str
    epoch: int
    leased: datetime
    ended: datetime | None
    outcome: str
    feed_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LateReport:
    """What came from a worker that no longer held the run."""

    run: str
    worker: str
    epoch: int
    at: datetime
    what: str


def get(conn: Connection, run: str) -> Run:
    """Raises NotFound."""
    row = conn.execute(select(runs).where(runs.c.id == run)).first()
    if row is None:
        raise NotFound(f"there is no run {run}", hint="acr-task task list-runs shows them")
    return run_of(row, _images(conn, [row.number]).get(row.number, ()))


def page(conn: Connection, wanted: Filter = Filter(), *, top: int = 15, cursor: str | None = None) -> RunPage:
    """The newest first. Raises InvalidInput for a cursor that no page gave, and for an image that is no reference."""
    statement = _numbers(wanted).order_by(runs.c.number.desc()).limit(top + 1)
    if cursor:
        statement = statement.where(runs.c.number < _cursor(cursor))
    numbers = list(conn.execute(statement).scalars())
    shown = numbers[:top]
    return RunPage(runs=tuple(_fetch(conn, shown)), cursor=str(shown[-1]) if len(numbers) > top else None)


def steps(conn: Connection, run: str, attempt: int | None = None) -> list[Step]:
    """In file order; of the newest attempt that has any, unless told."""
    statement = select(run_steps).where(run_steps.c.run == run)
    if attempt is not None:
        statement = statement.where(run_steps.c.attempt == attempt)
    rows = conn.execute(statement.order_by(run_steps.c.attempt, run_steps.c.position)).all()
    newest = max((row.attempt for row in rows), default=0)
    return [
        Step(
            id=row.step, attempt=row.attempt, position=row.position, status=row.status, log_size=row.log_size,
            record=row.record,
        )
        for row in rows
        if row.attempt == newest
    ]  # fmt: skip


def attempts(conn: Connection, run: str) -> list[Attempt]:
    rows = conn.execute(select(run_attempts).where(run_attempts.c.run == run).order_by(run_attempts.c.attempt))
    return [
        Attempt(
            attempt=row.attempt, worker=row.worker, epoch=row.epoch, leased=row.leased, ended=row.ended,
            outcome=row.outcome, feed_size=row.feed_size,
        )
        for row in rows
    ]  # fmt: skip


def late(conn: Connection, run: str) -> list[LateReport]:
    """Late reports about a run, the oldest first."""
    rows = conn.execute(select(late_reports).where(late_reports.c.run == run).order_by(late_reports.c.number))
    return [LateReport(run=row.run, worker=row.worker, epoch=row.epoch, at=row.at, what=row.what) for row in rows]


def archive(conn: Connection, run: str, archived: bool, *, now: datetime) -> Run:
    """An archived run is kept for good. Raises NotFound."""
    if not conn.execute(runs.update().where(runs.c.id == run).values(archived=archived, updated=now)).rowcount:
        raise NotFound(f"there is no run {run}", hint="acr-task task list-runs shows them")
    return get(conn, run)


def _fetch(conn: Connection, numbers: Sequence[int]) -> Iterable[Run]:
    if not numbers:
        return []
    rows = conn.execute(select(runs).where(runs.c.number.in_(numbers)).order_by(runs.c.number.desc())).all()
    images = _images(conn, numbers)
    return [run_of(row, images.get(row.number, ())) for row in rows]


def _images(conn: Connection, numbers: Sequence[int]) -> dict[int, tuple[dict[str, Any], ...]]:
    found: dict[int, tuple[dict[str, Any], ...]] = {}
    rows = conn.execute(
        select(run_images).where(run_images.c.number.in_(numbers)).order_by(run_images.c.number, run_images.c.position)
    )
    for row in rows:
        image = {"registry": row.registry, "repository": row.repository, "tag": row.tag, "digest": row.digest}
        found[row.number] = (*found.get(row.number, ()), image)
    return found


def _numbers(wanted: Filter) -> Select[Any]:
    where: list[ColumnElement[bool]] = []
    if wanted.task is not None:
        where.append(runs.c.task == wanted.task)
    if wanted.owner is not None:
        where.append(runs.c.owner == wanted.owner)
    if wanted.statuses:
        where.append(runs.c.status.in_([status.value for status in wanted.statuses]))
    if wanted.types:
        where.append(runs.c.type.in_([kind.value for kind in wanted.types]))
    if wanted.since is not None:
        where.append(runs.c.created >= wanted.since)
    if wanted.until is not None:
        where.append(runs.c.created <= wanted.until)
    if wanted.archived is not None:
        where.append(runs.c.archived == wanted.archived)
    if wanted.scopes:
        where.append(matches(runs.c.task, wanted.scopes))
    if wanted.image:
        where.append(runs.c.number.in_(_with_image(wanted.image)))
    return select(runs.c.number).where(*where)


def _with_image(text: str) -> Select[Any]:
    """Numbers of the runs that made an image: `repo`, `host/repo:tag`, `repo@sha256:...`. A name without a host is any
    registry's, as ACR's own filter has it."""
    wanted = ImageReference.parse(text, default_tag=False)
    where: list[ColumnElement[bool]] = [run_images.c.repository.in_(sorted({wanted.path, wanted.path_written}))]
    if wanted.host_written:
        where = [run_images.c.registry == wanted.domain, run_images.c.repository == wanted.path]
    if wanted.tag:
        where.append(run_images.c.tag == wanted.tag)
    if wanted.digest:
        where.append(run_images.c.digest == wanted.digest)
    return select(run_images.c.number).where(*where)


def _cursor(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("this cursor is none that a page gave", hint="take nextCursor as it was given")
    return int(text)
