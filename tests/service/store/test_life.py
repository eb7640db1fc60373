"""A run's whole life, through every part of the store, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskengine.runs.model import RunStatus
from taskengine.service.store import queue, runs, secrets
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds, Fenced
from taskengine.service.store.signals import Signals
from tests.service.support import (
    AT,
    BOX,
    enqueue,
    finished,
    later,
    lease,
    output,
    started,
    step_finished,
    step_started,
    worker,
)  # fmt: skip


def test_a_run_is_queued_leased_reported_and_over(database: Database, tmp_path: Path) -> None:
    feeds = Feeds(database, tmp_path / "runs", Signals())
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn, secrets={"set:a": "x"})
    assert (run.id, run.status) == ("ca1", RunStatus.QUEUED)
    with database.write() as conn:
        held = lease(conn, now=later(1))
        assert secrets.get(conn, BOX, "run", run.id) == {"set:a": "x"}
    assert (held.run.status, held.epoch, held.run.worker) == (RunStatus.STARTED, 1, "w1")

    begin = started(run.id, "a", "b", at=later(2)) + step_started("a") + output("a", "hello\n")
    size = feeds.append("w1", run.id, held.epoch, 0, begin, now=later(3))
    with database.read() as conn:
        now = runs.get(conn, run.id)
        assert [step.status for step in runs.steps(conn, run.id)] == ["running", "pending"]
    assert (now.status, now.started, now.feed_size) == (RunStatus.RUNNING, later(2), len(begin))

    image = {"reference": "reg.example:5000/app:v1", "digest": "sha256:" + "a" * 64, "pushed": True}
    end = step_finished("a") + output("b", "more\n") + step_finished("b") + finished(run.id, images=[image])
    size = feeds.append("w1", run.id, held.epoch, size, end, now=later(4))
    with database.read() as conn:
        over = runs.get(conn, run.id)
        assert [(step.status, step.log_size) for step in runs.steps(conn, run.id)] == [
            ("succeeded", 6),
            ("succeeded", 5),
        ]
        assert secrets.get(conn, BOX, "run", run.id) == {}
        (attempt,) = runs.attempts(conn, run.id)
    assert (over.status, over.finished, over.lease_until) == (RunStatus.SUCCEEDED, later(4), None)
    assert [(image["registry"], image["repository"], image["tag"]) for image in over.images] == [
        ("reg.example:5000", "app", "v1")
    ]
    assert (attempt.outcome, attempt.feed_size) == ("Succeeded", size)
    assert b"".join(feeds.text(run.id, 1)) == b"hello\nmore\n"
    assert b"".join(feeds.text(run.id, 1, "b")) == b"more\n"


def test_what_comes_when_the_run_is_over_is_a_late_report(database: Database, tmp_path: Path) -> None:
    feeds = Feeds(database, tmp_path / "runs", Signals())
    with database.write() as conn:
        worker(conn)
        run = enqueue(conn)
        held = lease(conn)
    size = feeds.append("w1", run.id, held.epoch, 0, finished(run.id), now=AT)
    with pytest.raises(Fenced):
        feeds.append("w1", run.id, held.epoch, size, finished(run.id, "Failed"), now=later(1))
    with database.read() as conn:
        assert runs.get(conn, run.id).status is RunStatus.SUCCEEDED
        (late,) = runs.late(conn, run.id)
        assert (late.worker, late.epoch, late.at) == ("w1", held.epoch, later(1))
        assert "run.finished" in late.what
        assert queue.held(conn, "w1", run.id, held.epoch) is None
