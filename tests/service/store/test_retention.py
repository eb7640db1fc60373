"""What goes when its time is up, and what stays."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from taskengine.errors import NotFound
from taskengine.service.store import audit, queue, retention, runs
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.retention import Rules
from taskengine.service.store.signals import Signals
from taskengine.service.store.uploads import UploadFolder
from tests.service.support import AT, BOX, enqueue, finished, later, lease, output, request, worker

DAY = 86400.0
LATE = later(31 * DAY)


class Service:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.feeds = Feeds(database, folder / "runs", Signals())
        self.uploads = UploadFolder(database, folder / "uploads")
        self.folder = folder

    def run(self, **more: object) -> str:
        with self.database.write() as conn:
            queue.enqueue(conn, request(**more), now=AT, box=BOX)
            held = lease(conn)
        self.feeds.append("w1", held.run.id, held.epoch, 0, output("a", "x" * 100) + finished(held.run.id), now=AT)
        return held.run.id

    def plan(self, rules: Rules = Rules()) -> list[retention.Loss]:  # noqa: B008
        return retention.plan(self.database, self.feeds, self.uploads, rules, now=LATE)

    def carry_out(self, rules: Rules = Rules()) -> list[retention.Loss]:  # noqa: B008
        return retention.carry_out(self.database, self.feeds, self.uploads, rules, now=LATE)


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Service:
    with database.write() as conn:
        worker(conn)
    return Service(database, tmp_path)


def test_old_runs_go_with_their_logs_and_each_is_noted(service: Service) -> None:
    old = service.run(key="k")
    with service.database.write() as conn:
        waiting = enqueue(conn).id
    (planned,) = service.plan()
    assert (planned.kind, planned.name, planned.why) == ("run", old, "finished more than 30 days ago, and not archived")
    assert planned.size > 100
    assert service.plan() == [planned], "a plan changes nothing"
    assert service.carry_out() == [planned]
    assert service.plan() == service.carry_out() == []
    assert not (service.folder / "runs" / old).exists()
    with service.database.write() as conn:
        with pytest.raises(NotFound):
            runs.get(conn, old)
        assert runs.steps(conn, old) == []
        assert runs.get(conn, waiting).id == waiting
        (entry,), _ = audit.page(conn)
        assert (entry.actor, entry.action, entry.object) == ("service", "run.delete", f"runs/{old}")
        again, new = queue.enqueue(conn, request(key="k"), now=LATE, box=BOX)
    assert new
    assert again.id == "ca3", "a number is never used twice"


def test_archived_runs_stay(service: Service) -> None:
    kept = service.run()
    with service.database.write() as conn:
        runs.archive(conn, kept, True, now=AT)
    assert service.carry_out() == []
    assert list(service.feeds.text(kept, 1)) == [b"x" * 100]


def test_a_run_that_is_archived_after_the_plan_was_made_stays(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = service.run()
    planned = service.plan()
    with service.database.write() as conn:
        runs.archive(conn, kept, True, now=AT)
    monkeypatch.setattr(retention, "plan", lambda *_, **__: planned)
    assert service.carry_out() == []


def test_logs_may_go_before_their_runs(service: Service) -> None:
    run = service.run()
    rules = Rules(runs=None, logs=timedelta(days=7))
    (planned,) = service.plan(rules)
    assert (planned.kind, planned.name) == ("logs", run)
    assert service.carry_out(rules) == [planned]
    assert service.carry_out(rules) == []
    with service.database.read() as conn:
        assert runs.get(conn, run).status.is_final
    assert list(service.feeds.text(run, 1)) == []


def test_rules_of_none_keep_for_good(service: Service) -> None:
    service.run()
    assert service.carry_out(Rules(runs=None, logs=None, deliveries=None, audit=None)) == []


def test_files_that_a_crash_left_go_when_they_are_old(service: Service) -> None:
    for name, age in (("runs/ca99", 2), ("runs/ca98", 0)):
        folder = service.folder / name
        folder.mkdir()
        (folder / "feed").write_text("x")
        moment = LATE.timestamp() - age * 3600
        os.utime(folder, (moment, moment))
    assert [(loss.kind, loss.name) for loss in service.carry_out()] == [("stray", "runs/ca99")]
    assert not (service.folder / "runs" / "ca99").exists()
    assert (service.folder / "runs" / "ca98").exists()
