"""What tasks stand on, and the images that are watched for it: kept true by tasks' changes and runs' ends."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text

from taskengine.errors import NotFound
from taskengine.runs.feed import event_frame
from taskengine.service.model import RunRequest, RunType
from taskengine.service.store import migrate, queue, taskimages, tasks, watches
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.signals import Signals
from taskengine.service.store.taskimages import Relation, TaskImage
from tests.service.support import AT, BOX, enqueue, finished, later, lease, worker

ALPINE = "docker.io/library/alpine:3"
APP = "registry.example.com/app:1"
AMD64 = "linux/amd64"


def uses(task: str, image: str = ALPINE, **more: Any) -> TaskImage:
    return TaskImage(task=task, relation=Relation.USES, image=image, platform=AMD64, kind="runtime", **more)


def make(conn: Connection, name: str, *images: TaskImage, watching: bool = True) -> None:
    tasks.create(conn, name, {"step": {}}, owner="ann", now=AT)
    scan = taskimages.scan_of(conn, name)
    assert scan is not None
    assert taskimages.put(conn, scan, images, revision=1, watching=watching, now=AT)


def check(conn: Connection, digest: str, now: datetime, *, next_at: datetime | None = None) -> bool:
    return _settle(conn, watches.get(conn, ALPINE), digest, now, next_at=next_at)


def _settle(
    conn: Connection, before: watches.Watch, digest: str, now: datetime, *, next_at: datetime | None = None
) -> bool:
    seen = {"digest": digest, "platforms": {}}
    return watches.settle(
        conn, before, seen=seen, checked=now, changed=now, next_at=next_at or later(600), failures=0, error=""
    )


def test_a_new_task_and_a_changed_one_are_to_be_looked_at(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web", uses("web"))
        tasks.create(conn, "new", {}, owner="ann", now=later(1))
        assert [scan.task for scan in taskimages.due(conn, now=later(1))] == ["new"]
        tasks.replace(conn, "web", {"step": {"a": 1}}, now=later(2))
        assert [scan.task for scan in taskimages.due(conn, now=later(2))] == ["new", "web"]
        assert taskimages.of_task(conn, "web") == [uses("web")]  # what was known stays until it is looked at


def test_a_change_during_the_look_at_a_task_is_not_lost(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web")
        tasks.replace(conn, "web", {"step": {"a": 1}}, now=later(1))
        (scan,) = taskimages.due(conn, now=later(1))
        tasks.replace(conn, "web", {"step": {"a": 2}}, now=later(1))  # at the very same moment
        taskimages.put(conn, scan, [uses("web")], revision=2, watching=True, now=later(1))
        assert [one.task for one in taskimages.due(conn, now=later(1))] == ["web"]
        (scan,) = taskimages.due(conn, now=later(1))
        tasks.replace(conn, "web", {"step": {"a": 3}}, now=later(1))
        taskimages.failed(conn, scan, "it broke", again=later(60))
        assert [one.task for one in taskimages.due(conn, now=later(1))] == ["web"]


def test_a_slow_look_at_an_older_task_does_not_stay_the_last_word(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web")
        tasks.replace(conn, "web", {"step": {"a": 1}}, now=later(1))
        (slow,) = taskimages.due(conn, now=later(1))
        tasks.replace(conn, "web", {"step": {"a": 2}}, now=later(2))
        (quick,) = taskimages.due(conn, now=later(2))
        taskimages.put(conn, quick, [uses("web", APP)], revision=3, watching=True, now=later(3))
        assert taskimages.due(conn, now=later(3)) == []
        taskimages.put(conn, slow, [uses("web")], revision=2, watching=True, now=later(4))
        assert [one.task for one in taskimages.due(conn, now=later(4))] == ["web"]


def test_what_could_not_be_read_is_looked_at_again_later(database: Database) -> None:
    with database.write() as conn:
        tasks.create(conn, "web", {}, owner="ann", now=AT)
        (scan,) = taskimages.due(conn, now=AT)
        taskimages.put(conn, scan, [], revision=1, watching=True, now=AT, error="no answer", again=later(60))
        assert taskimages.due(conn, now=later(59)) == []
        (again,) = taskimages.due(conn, now=later(60))
        assert (again.failures, again.error) == (1, "no answer")


def test_the_end_of_a_run_lets_its_task_be_looked_at_again(database: Database, tmp_path: Any) -> None:
    with database.write() as conn:
        make(conn, "web", uses("web"))
        request = RunRequest(type=RunType.AUTO_RUN, spec={"text": "steps: []"}, owner="ann", task="web")
        run = queue.enqueue(conn, request, now=AT, box=BOX)[0]
        worker(conn)
        held = lease(conn)
        assert taskimages.due(conn, now=later(9)) == []
    feeds = Feeds(database, tmp_path, Signals())
    feeds.append("w1", run.id, held.run.epoch, 0, finished(run.id), now=later(9))
    with database.read() as conn:
        assert [scan.task for scan in taskimages.due(conn, now=later(9))] == ["web"]


def test_what_a_run_pushes_is_due_at_once_for_those_who_stand_on_it(database: Database, tmp_path: Any) -> None:
    with database.write() as conn:
        make(conn, "web", uses("web", APP))
        watches.settle(
            conn, watches.get(conn, APP), seen={"digest": "sha256:a", "platforms": {}}, checked=AT, changed=AT,
            next_at=later(600), failures=0, error="",
        )  # fmt: skip
        run = enqueue(conn)
        worker(conn)
        held = lease(conn)
    feeds = Feeds(database, tmp_path, Signals())
    new = {"reference": APP, "digest": f"sha256:{'b' * 64}", "pushed": True}
    kept = {"reference": APP, "digest": f"sha256:{'c' * 64}", "pushed": False}
    size = feeds.append("w1", run.id, held.run.epoch, 0, image_event(kept), now=later(1))
    with database.read() as conn:
        assert watches.due(conn, now=later(1)) == []  # it stayed on the worker
    size = feeds.append("w1", run.id, held.run.epoch, size, image_event(new), now=later(2))
    with database.read() as conn:
        (due,) = watches.due(conn, now=later(2))
        assert due.told_by == {"kind": "own", "run": run.id}
    with database.write() as conn:
        _settle_app(conn, f"sha256:{'b' * 64}", later(3))
    feeds.append("w1", run.id, held.run.epoch, size, finished(run.id, images=[new]), now=later(4))
    with database.read() as conn:
        assert watches.due(conn, now=later(4)) == []  # told before


def image_event(image: dict[str, Any]) -> bytes:
    return event_frame(AT, {"event": "image", "step": "b", "image": image})


def _settle_app(conn: Connection, digest: str, now: datetime) -> None:
    watches.settle(
        conn, watches.get(conn, APP), seen={"digest": digest, "platforms": {}}, checked=now, changed=now,
        next_at=later(600), failures=0, error="",
    )  # fmt: skip


def test_a_task_that_goes_takes_along_what_it_stood_on(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web", uses("web"))
        tasks.delete(conn, "web")
        assert taskimages.scan_of(conn, "web") is None
        assert taskimages.all_images(conn) == []
        assert watches.due(conn, now=AT) == []
        assert watches.prune(conn) == 1
        taskimages.mark(conn, "web", now=AT)  # as a run of it that ends later does
        with pytest.raises(NotFound, match="no task watches"):
            watches.get(conn, ALPINE)


def test_an_image_is_watched_once_however_many_tasks_stand_on_it(database: Database) -> None:
    with database.write() as conn:
        for name in ("a", "b", "c"):
            make(conn, name, uses(name), TaskImage(task=name, relation=Relation.MAKES, image=APP))
        make(conn, "off", uses("off"), watching=False)
        found, cursor = watches.page(conn)
        assert [(one.image, one.tasks) for one in found] == [(ALPINE, 3)]
        assert cursor is None
        assert [one.task for one in taskimages.users(conn, ALPINE)] == ["a", "b", "c"]
        assert [one.task for one in taskimages.all_images(conn)] == ["a", "a", "b", "b", "c", "c"]
        assert watches.of_images(conn, [ALPINE, APP]).keys() == {ALPINE}


def test_an_image_that_only_tasks_without_the_trigger_stand_on_is_not_asked_about(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web", uses("web"))
        (scan,) = [taskimages.scan_of(conn, "web")]
        assert scan is not None
        taskimages.put(conn, scan, [uses("web")], revision=2, watching=False, now=AT)
        assert watches.due(conn, now=AT) == []
        assert watches.page(conn) == ([], None)


def test_of_two_that_see_the_same_news_one_is_first(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web", uses("web"))
        before = watches.get(conn, ALPINE)
        assert _settle(conn, before, "sha256:a", later(1))
        assert not _settle(conn, before, "sha256:a", later(1))
        assert not _settle(conn, before, "sha256:b", later(2))
        assert watches.get(conn, ALPINE).changes == 1


def test_a_notice_makes_the_image_due_unless_it_tells_what_is_known(database: Database) -> None:
    by = {"kind": "registry", "event": 7}
    with database.write() as conn:
        make(conn, "web", uses("web"))
        check(conn, "sha256:a", later(1))
        assert watches.due(conn, now=later(2)) == []
        assert watches.notice(conn, ALPINE, by=by, digest="sha256:a", now=later(2)) == "it is known already"
        assert watches.due(conn, now=later(2)) == []
        assert watches.notice(conn, ALPINE, by=by, digest="sha256:b", now=later(3)) == "its registry is asked at once"
        (due,) = watches.due(conn, now=later(3))
        assert due.told_by == by
        assert watches.notice(conn, APP, by=by, digest="", now=later(3)) == "no task watches it"


def test_what_was_told_of_is_asked_about_first(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web", *(uses("web", f"r.example/a:{n}") for n in range(3)))
        watches.notice(conn, "r.example/a:2", by={"kind": "own", "run": "ca1"}, digest="", now=later(1))
        assert [one.image[-1] for one in watches.due(conn, now=later(1))] == list("201")


def test_only_a_registrys_notice_shows_that_its_notifications_work(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web", uses("web"))
        watches.notice(conn, ALPINE, by={"kind": "own", "run": "ca1"}, digest="", now=later(1))
        assert watches.get(conn, ALPINE).told is None
        watches.notice(conn, ALPINE, by={"kind": "registry", "event": 1}, digest="", now=later(2))
        assert watches.get(conn, ALPINE).told == later(2)


def test_a_notice_that_comes_during_a_check_is_looked_into_after_it(database: Database) -> None:
    by = {"kind": "registry", "event": 7}
    with database.write() as conn:
        make(conn, "web", uses("web"))
        before = watches.get(conn, ALPINE)
        watches.notice(conn, ALPINE, by=by, digest="sha256:b", now=later(1))
        assert _settle(conn, before, "sha256:a", later(2))  # the check read the registry before the push
        (due,) = watches.due(conn, now=later(2))
        assert due.told_by == by
        assert check(conn, "sha256:b", later(3))
        assert watches.due(conn, now=later(3)) == []
        assert watches.get(conn, ALPINE).told_by == {}


def test_the_images_of_a_registry_that_rests_hold_up_no_others(database: Database) -> None:
    other = "quay.io/x_y/z:1"
    with database.write() as conn:
        make(conn, "web", uses("web"), uses("web", other))
        assert [one.image for one in watches.due(conn, now=AT, resting=["docker.io"])] == [other]
        assert [one.image for one in watches.due(conn, now=AT, resting=["quay_io"])] == [ALPINE, other]
        assert [one.image for one in watches.due(conn, now=AT, most=1)] == [ALPINE]


def test_watches_are_listed_by_name_in_pages_and_those_that_fail_alone(database: Database) -> None:
    with database.write() as conn:
        make(conn, "web", *(uses("web", f"r.example/a:{n}") for n in range(5)))
        found, cursor = watches.page(conn, top=3)
        rest, end = watches.page(conn, top=3, cursor=cursor)
        assert [one.image[-1] for one in (*found, *rest)] == list("01234")
        assert end is None
        watches.settle(
            conn, found[0], seen=None, checked=AT, changed=None, next_at=later(120), failures=1, error="no answer"
        )
        (failing,), _ = watches.page(conn, failing=True)
        assert (failing.image, failing.error, failing.changes) == ("r.example/a:0", "no answer", 0)


def test_tasks_from_before_are_looked_at_as_if_they_were_new(empty_url: str) -> None:
    old = Database.open(empty_url, migrate=False)
    try:
        migrate.upgrade(old, "0002")
        with old.write() as conn:
            conn.execute(
                text(
                    "INSERT INTO tasks (name, document, revision, enabled, owner, created, updated) "
                    "VALUES ('web', '{}', 3, true, 'ann', 0, 0)"
                )
            )
    finally:
        old.close()
    database = Database.open(empty_url)
    try:
        with database.write() as conn:
            (scan,) = taskimages.due(conn, now=AT)
            assert (scan.task, scan.revision) == ("web", 0)
            assert taskimages.put(conn, scan, [uses("web")], revision=3, watching=True, now=AT)
            assert taskimages.due(conn, now=AT) == []
    finally:
        database.close()
