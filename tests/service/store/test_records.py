"""Workers, duties, the audit log: small records, on both databases."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from taskengine.errors import InvalidInput, NotFound
from taskengine.service.model import WorkerState
from taskengine.service.store import audit, duties, tokens, workers
from taskengine.service.store.database import Database
from taskengine.service.store.signals import Signals
from tests.service.support import AT, later, worker

TERM = timedelta(seconds=30)


def test_a_worker_that_comes_back_keeps_its_id_and_proves_itself_anew(database: Database) -> None:
    with database.write() as conn:
        first = workers.register(conn, name="one", new_id="r1", now=AT, platforms=["linux/amd64"], labels={"a": "b"})
        workers.drain(conn, first.id, True)
        assert workers.beat(conn, first.id, WorkerState.READY, {"disk": 1}, now=AT).state is WorkerState.DRAINING
        again = workers.register(conn, name="one", new_id="r2", now=later(9), pool="big", capacity=7)
    assert (again.id, again.pool, again.capacity, again.state) == ("r1", "big", 7, WorkerState.STARTING)
    assert (again.registered, again.seen) == (AT, later(9))


def test_a_worker_that_is_silent_is_lost_until_it_is_heard_of(database: Database) -> None:
    with database.write() as conn:
        worker(conn, "one")
        worker(conn, "two", now=later(20))
        assert not workers.any_silent(conn, now=later(30), after=TERM)
        assert [one.name for one in workers.mark_lost(conn, now=later(31), after=TERM)] == ["one"]
        assert workers.mark_lost(conn, now=later(31), after=TERM) == []
        assert [one.state.value for one in workers.list_all(conn)] == ["lost", "ready"]
        assert workers.beat(conn, "one", WorkerState.READY, {}, now=later(40)).state is WorkerState.READY
        workers.mark_lost(conn, now=later(99), after=TERM)
        assert workers.forget(conn, now=later(99), after=timedelta(seconds=70)) == ["two"]


def test_a_worker_that_is_not_there_is_told(sqlite: Database) -> None:
    with sqlite.write() as conn:
        for call in (
            lambda: workers.get(conn, "x"),
            lambda: workers.drain(conn, "x", True),
            lambda: workers.beat(conn, "x", WorkerState.READY, {}, now=AT),
        ):
            with pytest.raises(NotFound):
                call()


def test_a_duty_is_one_services_until_it_is_silent(database: Database) -> None:
    def take(holder: str, at: float) -> bool:
        with database.write() as conn:
            return duties.take(conn, "retention", holder, now=later(at), term=TERM)

    assert take("a", 0)
    assert not take("b", 29)
    assert take("a", 29)
    assert not take("b", 58)
    assert take("b", 59)
    assert not take("a", 60)
    assert take("b", -10000), "a clock that was wrong does not keep a duty for ever"


def test_of_services_that_ask_at_once_one_gets_the_duty(database: Database) -> None:
    got: list[bool] = []

    def ask(holder: str) -> None:
        got.append(database.transact(lambda conn: duties.take(conn, "timers", holder, now=AT, term=TERM)))

    threads = [threading.Thread(target=ask, args=(f"s{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == [False] * 5 + [True]


def test_the_audit_log_is_read_newest_first_in_pages(database: Database) -> None:
    with database.write() as conn:
        for n in range(5):
            audit.note(conn, "ann" if n % 2 else "bob\0", "task.create", f"tasks/t{n}", now=later(n), size=n)
        first, cursor = audit.page(conn, top=3)
        rest, end = audit.page(conn, top=3, cursor=cursor)
        assert [entry.object for entry in (*first, *rest)] == [f"tasks/t{n}" for n in (4, 3, 2, 1, 0)]
        assert end is None
        assert first[0].detail == {"size": 4}
        assert [entry.object for entry in audit.page(conn, actor="ann", since=later(2))[0]] == ["tasks/t3"]
        assert audit.page(conn, action="other")[0] == audit.page(conn, object_="x")[0] == []
        with pytest.raises(InvalidInput, match="cursor"):
            audit.page(conn, cursor="x")
        assert audit.prune(conn, now=later(3), keep=timedelta(seconds=1)) == 2


def test_a_signal_is_not_missed_between_a_look_and_a_wait() -> None:
    signals = Signals()
    with signals.watch("a") as watch, signals.watch("b") as other:
        signals.tell("a", "nobody")
        assert watch.wait(0)
        assert not watch.wait(0)
        assert not other.wait(0)
        signals.close()
        assert not other.wait(60), "everybody wakes when the service ends"
    assert signals._topics == {}


def test_services_and_workers_that_start_at_once_make_one_admin_and_one_worker(postgresql: Database) -> None:
    made: list[str | None] = []
    ids: list[str] = []

    def start(n: int) -> None:
        made.append(postgresql.transact(lambda conn: tokens.first_admin(conn, now=AT)))
        ids.append(postgresql.transact(lambda conn: workers.register(conn, name="one", new_id=f"r{n}", now=AT)).id)

    threads = [threading.Thread(target=start, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(text is not None for text in made) == 1
    assert len(ids) == 6
    assert len(set(ids)) == 1
