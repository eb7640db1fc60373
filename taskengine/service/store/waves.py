"""Waves of rebuilds: what was planned, how far each of their tasks is, and what they began with.

Whoever changes a wave holds the waves' lock (`lock`) first, so that of several services one at a time does. A member
that may start and has no run yet is one that somebody has to queue. Must not know what leads to a wave, nor its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, exists, func, or_, select

from taskengine.errors import NotFound
from taskengine.service.model import Document
from taskengine.service.store.database import alone
from taskengine.service.store.rows import UNFINISHED, clean, place_of_cursor
from taskengine.service.store.tables import run_images, runs, wave_members, waves
from taskengine.service.store.tasks import matches

OPEN, OVER = "open", "over"
STARTED = "started"
_LOCK = 0x41435257
_CHUNK = 500
_members = wave_members.c


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredWave:
    """`images` are the changes that it takes in, the oldest first, `plan` what is worth knowing of the whole; both are
    plain data. `event` is the one that began it."""

    number: int
    event: int
    state: str
    opened: datetime
    ended: datetime | None
    images: tuple[Document, ...]
    plan: Document


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMember:
    """A task of a wave. `run` is empty until there is one, `reason` says why it ended as it did."""

    task: str
    level: int
    parents: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    state: str
    run: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A member whose run is over. `status` is empty when the run is gone altogether."""

    task: str
    run: str
    number: int
    status: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """An image that a run pushed; `name` is its full name with the tag."""

    name: str
    registry: str
    repository: str
    tag: str
    digest: str


def lock(conn: Connection) -> None:
    """Until this transaction ends, nobody else changes waves. Take it before any row and before the queue's lock."""
    alone(conn, _LOCK)


def begin(
    conn: Connection, *, event: int, images: Sequence[Document], plan: Document, members: Iterable[StoredMember],
    now: datetime,
) -> int:  # fmt: skip
    """Opens a wave; its number."""
    values = {"event": event, "state": OPEN, "opened": now, "ended": None, "images": list(images), "plan": dict(plan)}
    made = conn.execute(waves.insert().values(**values)).inserted_primary_key
    number = int(made[0]) if made else 0
    add(conn, number, members)
    return number


def add(conn: Connection, number: int, members: Iterable[StoredMember]) -> None:
    """Further members."""
    rows = [
        {
            "wave": number, "task": one.task, "level": one.level, "parents": list(one.parents),
            "images": list(one.images), "state": one.state, "run": one.run, "reason": clean(one.reason, 1000),
        }
        for one in members
    ]  # fmt: skip
    if rows:
        conn.execute(wave_members.insert(), rows)


def extend(conn: Connection, number: int, *, images: Sequence[Document], plan: Document) -> None:
    """The wave takes further changes in."""
    conn.execute(waves.update().where(waves.c.number == number).values(images=list(images), plan=dict(plan)))


def change(conn: Connection, number: int, members: Iterable[StoredMember]) -> None:
    """What is new of members that are there."""
    rows = [
        {
            "w": number, "t": one.task, "n_level": one.level, "n_parents": list(one.parents),
            "n_images": list(one.images), "n_state": one.state, "n_run": one.run, "n_reason": clean(one.reason, 1000),
        }
        for one in members
    ]  # fmt: skip
    if rows:
        conn.execute(_CHANGE, rows)


def close(conn: Connection, number: int, *, now: datetime) -> None:
    """All of its members are over."""
    conn.execute(waves.update().where(waves.c.number == number).values(state=OVER, ended=now))


def get(conn: Connection, number: int) -> StoredWave:
    """Raises NotFound."""
    row = conn.execute(select(waves).where(waves.c.number == number)).first()
    if row is None:
        raise NotFound(f"there is no wave {number}", hint="acr-task waves list shows them")
    return _wave(row)


def open_ones(conn: Connection) -> list[StoredWave]:
    """The waves that are not over, the newest first."""
    return _read(conn, waves.c.state == OPEN)


def since(conn: Connection, moment: datetime) -> list[StoredWave]:
    """The waves that are open, or were opened since, the newest first."""
    return _read(conn, or_(waves.c.state == OPEN, waves.c.opened >= moment))


def members(conn: Connection, number: int, scopes: Sequence[str] = ()) -> list[StoredMember]:
    """By level and name; of tasks whose names match one of the patterns, if there are any."""
    statement = select(wave_members).where(_members.wave == number).order_by(_members.level, _members.task)
    if scopes:
        statement = statement.where(matches(conn, _members.task, scopes))
    return [_member(row) for row in conn.execute(statement)]


def places_of(conn: Connection, numbers: Iterable[int], tasks: Iterable[str]) -> dict[tuple[int, str], StoredMember]:
    """How these tasks stand in these waves, as far as they are in them."""
    inside = list(dict.fromkeys(numbers))
    found = {}
    for some in _chunks(tasks) if inside else ():
        statement = select(wave_members).where(_members.wave.in_(inside), _members.task.in_(some))
        for row in conn.execute(statement):
            found[row.wave, row.task] = _member(row)
    return found


def ready(conn: Connection, *, most: int) -> list[tuple[int, str]]:
    """Members that may start and have no run yet, by wave and level."""
    statement = select(_members.wave, _members.task).join(waves, waves.c.number == _members.wave)
    statement = statement.where(waves.c.state == OPEN, _members.run == "", _members.state == STARTED)
    statement = statement.order_by(_members.wave, _members.level, _members.task).limit(most)
    return [(row.wave, row.task) for row in conn.execute(statement)]


def started(conn: Connection, number: int, queued: Mapping[str, str]) -> None:
    """Notes the runs of members that were ready, by task."""
    rows = [{"w": number, "t": task, "n_run": run} for task, run in queued.items()]
    if rows:
        conn.execute(_STARTED, rows)


def ready_of(conn: Connection, number: int, tasks: Iterable[str]) -> set[str]:
    """Which of these members may start and have no run yet."""
    found: set[str] = set()
    for some in _chunks(tasks):
        mine = (_members.wave == number, _members.task.in_(some), _members.state == STARTED, _members.run == "")
        found.update(conn.execute(select(_members.task).where(*mine)).scalars())
    return found


def with_ends(conn: Connection) -> list[int]:
    """The waves that have members whose runs are over, of which nobody has taken note."""
    statement = select(_members.wave).distinct().select_from(_LEFT.join(waves, waves.c.number == _members.wave))
    statement = statement.where(waves.c.state == OPEN, *_ENDED).order_by(_members.wave)
    return list(conn.execute(statement).scalars())


def ends(conn: Connection, number: int) -> list[Ended]:
    """The members of a wave whose runs are over, of which nobody has taken note."""
    statement = select(_members.task, _members.run, runs.c.number, runs.c.status, runs.c.message)
    statement = statement.select_from(_LEFT).where(*_ENDED, _members.wave == number)
    return [
        Ended(
            task=row.task, run=row.run, number=row.number or 0, status=row.status or "", message=row.message or ""
        )
        for row in conn.execute(statement.order_by(_members.level, _members.task))
    ]  # fmt: skip


def unbegun(conn: Connection, number: int) -> set[str]:
    """Members that may start, and whose runs are queued at most."""
    statement = select(_members.task).select_from(_LEFT).where(_members.wave == number, _members.state == STARTED)
    waiting = or_(_members.run == "", and_(runs.c.status == "Queued", runs.c.attempt == 1))
    return set(conn.execute(statement.where(waiting)).scalars())


def pushes(conn: Connection, names: Iterable[str]) -> dict[str, list[Pushed]]:
    """What each of these runs pushed, by the run's id: of each name the last one."""
    found: dict[str, dict[str, Pushed]] = {}
    for some in _chunks(names):
        statement = select(runs.c.id, run_images).join(run_images, run_images.c.number == runs.c.number)
        statement = statement.where(runs.c.id.in_(some)).order_by(runs.c.number, run_images.c.position)
        for row in conn.execute(statement):
            one = _pushed(row)
            found.setdefault(row.id, {})[one.name] = one
    return {run: list(images.values()) for run, images in found.items()}


def pushed_before(conn: Connection, image: Pushed, number: int) -> str:
    """The digest that the newest run before this one pushed under the same name; empty when none did."""
    c = run_images.c
    same = (c.registry == image.registry, c.repository == image.repository, c.tag == image.tag, c.number < number)
    found = conn.execute(select(c.digest).where(*same).order_by(c.number.desc(), c.position.desc()).limit(1))
    return str(found.scalar() or "")


def makers(conn: Connection, registry: str, repository: str, tag: str, digest: str) -> list[tuple[int, str]]:
    """The waves, and their members, whose runs pushed this very content under this name."""
    c = run_images.c
    tags = (tag, "") if tag == "latest" else (tag,)
    same = (c.registry == registry, c.repository == repository, c.tag.in_(tags), c.digest == digest)
    statement = select(_members.wave, _members.task).join(runs, runs.c.id == _members.run)
    statement = statement.join(run_images, c.number == runs.c.number).where(*same).distinct()
    return [(row.wave, row.task) for row in conn.execute(statement)]


def at_work(conn: Connection, tasks: Iterable[str]) -> list[tuple[int, str, str]]:
    """Of these tasks, those that an open wave is about to rebuild or is rebuilding: the wave, the task and its run,
    which is empty when it is not queued yet."""
    found = []
    for some in _chunks(tasks):
        statement = select(_members.wave, _members.task, _members.run).join(waves, waves.c.number == _members.wave)
        statement = statement.outerjoin(runs, runs.c.id == _members.run)
        mine = (waves.c.state == OPEN, _members.state == STARTED, _members.task.in_(some))
        going = or_(_members.run == "", runs.c.status.in_(UNFINISHED))
        found += [(row.wave, row.task, row.run) for row in conn.execute(statement.where(*mine, going))]
    return found


def page(
    conn: Connection, *, top: int = 15, cursor: str | None = None, state: str | None = None, scopes: Sequence[str] = ()
) -> tuple[list[StoredWave], str | None]:
    """The newest first, and the cursor of the next page; with `scopes` those with a task that matches one of them.
    Raises InvalidInput for a cursor that is none."""
    statement = select(waves).order_by(waves.c.number.desc()).limit(top + 1)
    if state is not None:
        statement = statement.where(waves.c.state == state)
    if cursor:
        statement = statement.where(waves.c.number < place_of_cursor(cursor))
    if scopes:
        mine = select(1).where(_members.wave == waves.c.number, matches(conn, _members.task, scopes))
        statement = statement.where(exists(mine))
    found = [_wave(row) for row in conn.execute(statement)]
    return found[:top], str(found[top - 1].number) if len(found) > top else None


def counts(conn: Connection, numbers: Iterable[int], scopes: Sequence[str] = ()) -> dict[int, dict[str, int]]:
    """How many members of each wave are in which state. `ready` are those that may start and have no run yet."""
    found: dict[int, dict[str, int]] = {number: {} for number in numbers}
    if not found:
        return found
    without = (_members.run == "").label("without")
    statement = select(_members.wave, _members.state, without, func.count().label("many"))
    statement = statement.where(_members.wave.in_(list(found)))
    if scopes:
        statement = statement.where(matches(conn, _members.task, scopes))
    for row in conn.execute(statement.group_by(_members.wave, _members.state, without)):
        name = "ready" if row.state == STARTED and row.without else row.state
        found[row.wave][name] = found[row.wave].get(name, 0) + row.many
    return found


def prune(conn: Connection, *, before: datetime) -> int:
    """Lets go of waves that were over before. Returns how many."""
    return conn.execute(waves.delete().where(waves.c.state == OVER, waves.c.ended < before)).rowcount


_LEFT = wave_members.outerjoin(runs, runs.c.id == _members.run)
_ENDED = (
    _members.state == STARTED,
    _members.run != "",
    or_(runs.c.status.is_(None), runs.c.status.not_in(UNFINISHED)),
)
_MINE = (_members.wave == bindparam("w"), _members.task == bindparam("t"))
_STARTED = wave_members.update().where(*_MINE).values(run=bindparam("n_run"))
_CHANGE = (
    wave_members.update()
    .where(*_MINE)
    .values(
        level=bindparam("n_level"), parents=bindparam("n_parents"), images=bindparam("n_images"),
        state=bindparam("n_state"), run=bindparam("n_run"), reason=bindparam("n_reason"),
    )
)  # fmt: skip


def _read(conn: Connection, where: ColumnElement[bool]) -> list[StoredWave]:
    return [_wave(row) for row in conn.execute(select(waves).where(where).order_by(waves.c.number.desc()))]


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    every = list(dict.fromkeys(names))
    for start in range(0, len(every), _CHUNK):
        yield every[start : start + _CHUNK]


def _pushed(row: Row[Any]) -> Pushed:
    name = f"{row.registry}/{row.repository}:{row.tag or 'latest'}"
    return Pushed(name=name, registry=row.registry, repository=row.repository, tag=row.tag, digest=row.digest)


def _wave(row: Row[Any]) -> StoredWave:
    found: Mapping[str, Any] = {name: getattr(row, name) for name in StoredWave.__slots__}
    return StoredWave(**{**found, "images": tuple(row.images)})


def _member(row: Row[Any]) -> StoredMember:
    return StoredMember(
        task=row.task, level=row.level, parents=tuple(row.parents), images=tuple(row.images), state=row.state,
        run=row.run, reason=row.reason,
    )  # fmt: skip
