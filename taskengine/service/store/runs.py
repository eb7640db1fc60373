"""Runs as they are read: one, a page of them, their steps, images and attempts. What changes them is in queue.py.

Lists stay fast with a long history: the numbers of a page are found in indexes alone, and only its rows are read. Must
not know HTTP, nor how runs come to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from taskengine.errors import NotFound
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import RunStatus
from taskengine.service.model import Document, Run, RunType
from taskengine.service.store.rows import place_of_cursor, run_of
from taskengine.service.store.tables import late_reports, run_attempts, run_images, run_steps, runs
from taskengine.service.store.tasks import matches


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which runs; what is None or empty leaves out none. `image` is a reference, whose tag or digest counts when it has
    one. `since` and `until` bound when a run was queued. `scopes` are patterns of task names; with them, of the runs
    without a task those of the owner `own` are meant."""

    task: str | None = None
    statuses: tuple[RunStatus, ...] = ()
    types: tuple[RunType, ...] = ()
    image: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    owner: str | None = None
    archived: bool | None = None
    scopes: tuple[str, ...] = ()
    own: str = ""


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
    numbers = _find(conn, wanted, top + 1, place_of_cursor(cursor) if cursor else None)
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


def _find(conn: Connection, wanted: Filter, most: int, below: int | None) -> list[int]:
    """Numbers of the newest runs that are wanted. Each statement walks one index, newest first, and stops early."""
    lead = _lead(wanted)
    where = _conditions(conn, wanted, lead)
    number = runs.c.number
    if lead != "image":
        if wanted.image:
            made = (
                select(run_images.c.number).where(run_images.c.number == number, *more) for more in _images_like(wanted)
            )
            where.append(or_(*(one.exists() for one in made)))
        statement = select(number).where(*where)
        if below is not None:
            statement = statement.where(number < below)
        return list(conn.execute(statement.order_by(number.desc()).limit(most)).scalars())
    found: set[int] = set()
    number = run_images.c.number
    for image in _images_like(wanted):
        statement = select(number).where(*image).distinct()
        if where:
            statement = statement.join(runs, runs.c.number == number).where(*where)
        if below is not None:
            statement = statement.where(number < below)
        found.update(conn.execute(statement.order_by(number.desc()).limit(most)).scalars())
    return sorted(found, reverse=True)[:most]


def _lead(wanted: Filter) -> str:
    """The column whose index is walked: the one that leaves fewest. Most runs succeed, so other ends leave few."""
    image = wanted.image or ""
    if "@" in image or ":" in image.rpartition("/")[2]:
        return "image"
    rare = wanted.statuses and RunStatus.SUCCEEDED not in wanted.statuses
    leads = (
        ("task", wanted.task is not None), ("owner", wanted.owner is not None), ("status", rare), ("image", image),
        ("status", wanted.statuses),
    )  # fmt: skip
    return next((name for name, given in leads if given), "")


def _conditions(conn: Connection, wanted: Filter, lead: str) -> list[ColumnElement[bool]]:
    def column(name: str) -> ColumnElement[str]:
        """On SQLite, which knows nothing of how often a value is there, the index of no other column is of use."""
        found: ColumnElement[str] = runs.c[name]
        return found if name == lead or conn.dialect.name != "sqlite" else found + ""

    c = runs.c
    where: list[ColumnElement[bool]] = []
    if wanted.task is not None:
        where.append(column("task") == wanted.task)
    if wanted.owner is not None:
        where.append(column("owner") == wanted.owner)
    if wanted.statuses:
        where.append(column("status").in_([one.value for one in wanted.statuses]))
    if wanted.types:
        where.append(c.type.in_([kind.value for kind in wanted.types]))
    if wanted.since is not None:
        where.append(c.created >= wanted.since)
    if wanted.until is not None:
        where.append(c.created <= wanted.until)
    if wanted.archived is not None:
        where.append(c.archived == wanted.archived)
    if wanted.scopes:
        bound = and_(c.task != "", matches(conn, c.task, wanted.scopes))
        where.append(or_(bound, and_(c.task == "", c.owner == wanted.own)))
    return where


def _images_like(wanted: Filter) -> list[list[ColumnElement[bool]]]:
    """What an image must be: `repo`, `host/repo:tag`, `repo@sha256:...`; any of the lists. A name without a host is any
    registry's, as ACR's own filter has it."""
    reference = ImageReference.parse(wanted.image or "", default_tag=False)
    c = run_images.c
    more: list[ColumnElement[bool]] = []
    if reference.host_written:
        more.append(c.registry == reference.domain)
    if reference.tag:
        more.append(c.tag == reference.tag)
    if reference.digest:
        more.append(c.digest == reference.digest)
    names = {reference.path} if reference.host_written else {reference.path, reference.path_written}
    return [[c.repository == name, *more] for name in sorted(names)]
