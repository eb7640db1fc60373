"""The keeper: what time does to runs and workers, and what a clock that jumps does not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from taskengine.ambient import Ambient
from taskengine.runs.model import RunStatus
from taskengine.service.keeper import Keeper
from taskengine.service.model import WorkerState
from taskengine.service.store import queue, runs, workers
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds, topic
from taskengine.service.store.signals import QUEUE, Signals
from tests.service.support import AT, enqueue, lease, started, worker


class Clocks:
    def __init__(self) -> None:
        self.day: datetime = AT
        self.steady = 0.0
        self.ambient = Ambient(now=lambda: self.day, monotonic=lambda: self.steady, new_id=lambda: "x")

    def go(self, seconds: float) -> None:
        self.day += timedelta(seconds=seconds)
        self.steady += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def keeper(sqlite: Database, signals: Signals, clocks: Clocks) -> Keeper:
    made = Keeper(sqlite, signals, clocks.ambient)
    made.start()
    return made


def state(database: Database) -> RunStatus:
    with database.read() as conn:
        return runs.get(conn, "ca1").status


def hold(database: Database, **more: object) -> int:
    with database.write() as conn:
        worker(conn)
        enqueue(conn, **more)
        return lease(conn).epoch


def test_a_lease_that_runs_out_wakes_followers_and_workers(
    sqlite: Database, keeper: Keeper, clocks: Clocks, signals: Signals
) -> None:
    hold(sqlite)
    clocks.go(29)
    assert keeper.tick() == []
    clocks.go(2)
    with signals.watch(QUEUE) as waiting, signals.watch(topic("ca1")) as following:
        (change,) = keeper.tick()
        assert waiting.wait(0)
        assert following.wait(0)
    assert (change.run, change.status) == ("ca1", RunStatus.QUEUED)
    with sqlite.read() as conn:
        assert workers.get(conn, "w1").state is WorkerState.LOST


@pytest.mark.parametrize("jump", [-86400, -100, 31, 86400])
def test_a_clock_that_jumps_takes_no_lease_away(sqlite: Database, keeper: Keeper, clocks: Clocks, jump: float) -> None:
    hold(sqlite)
    clocks.go(1)
    keeper.tick()
    clocks.day += timedelta(seconds=jump)
    clocks.go(1)
    assert keeper.tick() == []
    assert state(sqlite) is RunStatus.STARTED
    for _ in range(29):
        clocks.go(1)
        assert keeper.tick() == []
    clocks.go(2)
    assert [change.status for change in keeper.tick()] == [RunStatus.QUEUED], "a dead worker's is, a full term later"


def test_a_service_that_was_away_lets_workers_keep_their_runs(sqlite: Database, clocks: Clocks) -> None:
    epoch = hold(sqlite)
    clocks.go(3600)
    keeper = Keeper(sqlite, Signals(), clocks.ambient)
    assert keeper.start() == 1
    assert keeper.tick() == []
    with sqlite.write() as conn:
        assert queue.renew(conn, "w1", [("ca1", epoch)], now=clocks.day)[0].held


def test_a_run_past_its_time_limit_is_told_to_stop_and_then_ends_as_timeout(
    sqlite: Database, keeper: Keeper, clocks: Clocks, tmp_path: Path
) -> None:
    epoch = hold(sqlite, timeout=300)
    Feeds(sqlite, tmp_path / "runs", Signals()).append("w1", "ca1", epoch, 0, started("ca1", "a"), now=AT)

    def go(seconds: int) -> None:
        for _ in range(0, seconds, 10):
            clocks.go(10)
            with sqlite.write() as conn:
                queue.renew(conn, "w1", [("ca1", epoch)], now=clocks.day)
            keeper.tick()

    keeper.tick()
    go(420)
    assert state(sqlite) is RunStatus.RUNNING
    go(10)
    with sqlite.read() as conn:
        assert runs.get(conn, "ca1").cancel_reason == "the run took longer than its time limit of 300 s"
    go(120)
    assert state(sqlite) is RunStatus.TIMEOUT


def test_a_tick_with_nothing_to_do_writes_nothing(
    sqlite: Database, keeper: Keeper, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(sqlite)
    clocks.go(1)
    keeper.tick()
    clocks.go(1)
    monkeypatch.setattr(sqlite, "write", lambda: pytest.fail("it wrote"))
    assert keeper.tick() == []
