"""Which tasks a change of an image reaches, read level by level, so that it costs what is reached, not what there is.

Only tasks that a new image may start are reached. Must not know what counts as a change, nor in which order to rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from taskengine.service.store.rows import ACTIVE
from taskengine.service.store.tables import runs, task_images, task_scans
from taskengine.service.store.taskimages import Relation

_CHUNK = 500
_c = task_images.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """A task's use of an image on one platform. The digests are those that its last recorded run used, empty for not
    known. `settled`: no run of the task is under way, and all that are over were taken in."""

    task: str
    platform: str = ""
    digest: str = ""
    platform_digest: str = ""
    settled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """For each task that is reached what it makes, and for each image who stands on it; each in the order of names."""

    makes: dict[str, list[str]] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)


def uses_of(conn: Connection, image: str) -> list[Use]:
    """Who stands on an image, by task and platform."""
    statement = select(task_images, task_scans.c.due).join(task_scans, task_scans.c.task == _c.task)
    mine = (_c.image == image, _c.relation == Relation.USES.value, task_scans.c.watching)
    rows = conn.execute(statement.where(*mine).order_by(_c.task, _c.platform)).all()
    if not rows:
        return []
    busy = set(conn.execute(select(runs.c.task).where(runs.c.status.in_(ACTIVE))).scalars())
    return [
        Use(
            task=row.task, platform=row.platform, digest=row.digest, platform_digest=row.platform_digest,
            settled=row.due is None and row.task not in busy,
        )
        for row in rows
    ]  # fmt: skip


def makers_of(conn: Connection, image: str) -> list[str]:
    """Who makes an image, whether or not a new image may start it."""
    mine = (_c.image == image, _c.relation == Relation.MAKES.value)
    return list(conn.execute(select(_c.task).where(*mine).order_by(_c.task)).scalars())


def users_of(conn: Connection, images: Iterable[str]) -> dict[str, list[str]]:
    """Who stands on each of these images, by name."""
    found: dict[str, list[str]] = {image: [] for image in images}
    for some in _chunks(found):
        for task, image in conn.execute(_USERS.where(_c.image.in_(some))):
            found[image].append(task)
    return found


def reached(conn: Connection, images: Iterable[str]) -> Reached:
    """All that stands on these images, on what is made of them, and so on."""
    found = Reached()
    level = list(dict.fromkeys(images))
    while level:
        users = users_of(conn, level)
        found.users.update(users)
        fresh = sorted({task for names in users.values() for task in names} - found.makes.keys())
        found.makes.update({task: [] for task in fresh})
        below: dict[str, None] = {}
        for some in _chunks(fresh):
            for task, image in conn.execute(_MAKES.where(_c.task.in_(some))):
                found.makes[task].append(image)
                if image not in found.users:
                    below[image] = None
        level = list(below)
    return found


_USERS = (
    select(_c.task, _c.image)
    .join(task_scans, task_scans.c.task == _c.task)
    .where(_c.relation == Relation.USES.value, task_scans.c.watching)
    .distinct()
    .order_by(_c.task, _c.image)
)
_MAKES = select(_c.task, _c.image).where(_c.relation == Relation.MAKES.value).order_by(_c.task, _c.image)


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    every = list(names)
    for start in range(0, len(every), _CHUNK):
        yield every[start : start + _CHUNK]
