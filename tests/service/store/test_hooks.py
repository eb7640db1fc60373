"""Outgoing webhooks: a delivery is put up with the change that it tells of, tried with pauses, and may be sent again."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from taskengine.errors import NotFound
from taskengine.runs.model import RunStatus
from taskengine.service.store import ending, hooks, queue, secrets
from taskengine.service.store.database import Database
from taskengine.service.store.hooks import PAUSES
from tests.service.support import AT, BOX, enqueue, later, lease, worker


def test_each_change_of_a_run_is_told_to_the_hooks_that_asked(database: Database) -> None:
    with database.write() as conn:
        worker(conn)
        every = hooks.create(conn, BOX, url="https://a.example/", secret="s", now=AT)
        ends = hooks.create(
            conn, BOX, url="https://b.example/", secret="s", now=AT, events=["run.finished"], tasks=["web-*"]
        )
        off = hooks.create(conn, BOX, url="https://c.example/", secret="s", now=AT)
        hooks.update(conn, off.id, enabled=False)
        for task in ("web-a", "db"):
            enqueue(conn, task=task)
            run = lease(conn).run
            ending.finish(conn, queue.row_of(conn, run.id), RunStatus.FAILED, now=later(9), message="exit code 7")
        told = {hook.id: [one.body["type"] for one in hooks.page(conn, hook.id)[0]] for hook in (every, ends, off)}
        (one,), _ = hooks.page(conn, ends.id)
    kinds = ["acr-task.run.finished", "acr-task.run.leased", "acr-task.run.queued"]
    assert told == {every.id: kinds * 2, ends.id: kinds[:1], off.id: []}
    assert one.body["specversion"] == "1.0"
    assert one.body["subject"] == "runs/ca1"
    assert one.body["data"] == {
        "runId": "ca1", "status": "Failed", "task": "web-a", "type": "QuickRun", "owner": "ann", "attempt": 1,
        "runErrorMessage": "exit code 7",
    }  # fmt: skip


def test_a_change_that_is_rolled_back_is_not_told(database: Database) -> None:
    with database.write() as conn:
        hook = hooks.create(conn, BOX, url="https://a.example/", secret="s", now=AT)

    def fail(conn: Connection) -> None:
        enqueue(conn)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.transact(fail)
    with database.read() as conn:
        assert hooks.page(conn, hook.id)[0] == []


def test_a_delivery_that_fails_is_tried_with_growing_pauses_until_it_is_dead(database: Database) -> None:
    with database.write() as conn:
        hook = hooks.create(conn, BOX, url="https://a.example/", secret="s", now=AT)
        enqueue(conn)
        now = AT
        for pause in PAUSES:
            (one,) = hooks.due(conn, now=now)
            assert hooks.due(conn, now=now) == [], "nobody else tries it meanwhile"
            hooks.told(conn, one.number, now=now, ok=False, status=500, error="it said 500")
            assert hooks.page(conn, hook.id)[0][0].next_at == now + pause
            now += pause
        (one,) = hooks.due(conn, now=now)
        hooks.told(conn, one.number, now=now, ok=False, error="no answer")
        (dead,), _ = hooks.page(conn, hook.id, state="dead")
        assert (dead.attempts, dead.error, dead.next_at) == (len(PAUSES) + 1, "no answer", None)
        hooks.replay(conn, hook.id, dead.number, now=now)
        (again,) = hooks.due(conn, now=now)
        hooks.told(conn, again.number, now=now, ok=True, status=204)
        (done,), _ = hooks.page(conn, hook.id)
        assert (done.state, done.status, done.attempts) == ("delivered", 204, 1)


def test_a_sender_that_dies_leaves_its_deliveries_to_another(sqlite: Database) -> None:
    with sqlite.write() as conn:
        hooks.create(conn, BOX, url="https://a.example/", secret="s", now=AT)
        enqueue(conn)
        assert len(hooks.due(conn, now=AT)) == 1
        assert hooks.due(conn, now=later(119)) == []
        assert len(hooks.due(conn, now=later(120))) == 1


def test_a_hook_is_changed_and_goes_with_all_that_is_its_own(database: Database) -> None:
    with database.write() as conn:
        hook = hooks.create(conn, BOX, url="https://a.example/", secret="signing", now=AT)
        enqueue(conn)
        assert hooks.update(conn, hook.id, url="https://z.example/", events=["run.finished"]).events == (
            "run.finished",
        )
        assert hooks.list_all(conn)[0].url == "https://z.example/"
        assert secrets.get(conn, BOX, "hook", hook.id) == {"secret": "signing"}
        hooks.delete(conn, hook.id)
        assert secrets.names(conn, "hook", hook.id) == []
        assert hooks.list_all(conn) == []
        for call in (
            lambda: hooks.get(conn, hook.id),
            lambda: hooks.page(conn, hook.id),
            lambda: hooks.replay(conn, hook.id, 1, now=AT),
        ):
            with pytest.raises(NotFound):
                call()
