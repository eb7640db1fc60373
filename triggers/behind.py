"""Finds tasks whose last run used an older image than the one that is known to be behind the tag by now.

That happens where nobody could tell them: the image changed while the run was at work, or before it was watched at all.
Must not know how to ask a registry, nor what follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from taskengine.runs.model import RunStatus
from taskengine.service.store import Connection, runs, taskimages, watches
from taskengine.service.store.taskimages import Relation, TaskImage
from triggers import imageevent
from triggers.imagechange import Change, Seen, changed
from triggers.imageevent import ImageEvent

_UNDER_WAY = (RunStatus.QUEUED, RunStatus.STARTED, RunStatus.RUNNING)


def is_behind(use: TaskImage, seen: Seen) -> bool:
    """Whether what a task's last run used is another image for its platform than what the tag stands for now."""
    if not use.digest:
        return False
    inner = use.platform_digest
    used = Seen(digest=use.digest, platforms={use.platform: inner} if inner not in ("", use.digest) else {})
    return isinstance(changed(used, seen, use.platform), Change)


def any_behind(conn: Connection, image: str, seen: Seen) -> bool:
    """Whether one of the tasks that the image may start is behind."""
    return any(is_behind(use, seen) for use in taskimages.users(conn, image))


def tell(conn: Connection, task: str, uses: Iterable[TaskImage], *, now: datetime) -> list[int]:
    """Events for the images that a task was just found to be behind of; one for each digest that it used, so that a
    worker that goes on using an old copy does not start it for ever. Nothing while a run of it is under way: that one
    may use the new image, and its end leads here again."""
    mine = {one.image: one for one in uses if one.relation is Relation.USES and one.digest}
    if not mine or runs.page(conn, runs.Filter(task=task, statuses=_UNDER_WAY), top=1).runs:
        return []
    told = []
    for image, watch in watches.of_images(conn, mine).items():
        seen = Seen.of_json(watch.seen) if watch.seen else None
        if seen is not None and is_behind(mine[image], seen):
            event = ImageEvent(
                source=imageevent.POLL,
                image=image,
                before=None,
                after=seen,
                key=f"behind:{image}:{seen.digest}:{watch.changes}:{task}:{mine[image].digest}",
            )
            told.append(imageevent.put(conn, event, now=now))
    return told
