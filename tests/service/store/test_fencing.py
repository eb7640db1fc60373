"""At most one worker ever holds a run: random interleavings on SQLite, many threads on PostgreSQL.

The model knows only what a real worker knows: the answers that it got, and its own steady clock. A worker believes that
it holds a run from the answer to its lease until it is told otherwise, or has not renewed for (lease - 5 s), when it
stops by itself. At no time may two workers believe to hold the same run.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskengine.ambient import Ambient
from taskengine.runs.model import RunStatus
from taskengine.service.keeper import Keeper
from taskengine.service.model import WorkerState
from taskengine.service.store import queue, runs, workers
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds, Fenced
from taskengine.service.store.signals import Signals
from tests.service.support import AT, enqueue, finished, later, started, worker

NAMES = ("w1", "w2", "w3")
MARGIN = 5.0


@dataclass
class Belief:
    """What a worker believes of a run that it was given."""

    epoch: int
    renewed: float  # by the steady clock
    attempt: int
    sent: int = 0
    canceled: bool = False


@dataclass
class Clocks:
    day: datetime = AT
    steady: float = 0.0
    ambient: Ambient = field(init=False)

    def __post_init__(self) -> None:
        self.ambient = Ambient(now=lambda: self.day, monotonic=lambda: self.steady, new_id=lambda: "x")


class OneHolder(RuleBasedStateMachine):
    """A service with a keeper, three workers, and everything that can go wrong between them."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.database = Database.open(f"sqlite:///{self.folder}/s.db")
        self.clocks = Clocks()
        self.signals = Signals()
        self.feeds = Feeds(self.database, self.folder / "runs", self.signals)
        self.beliefs: dict[str, dict[str, Belief]] = {name: {} for name in NAMES}
        self.executed: Counter[tuple[str, int]] = Counter()
        self.ended: dict[str, RunStatus] = {}
        with self.database.write() as conn:
            for name in NAMES:
                worker(conn, name, capacity=2)
        self.restart()

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            shutil.rmtree(self.folder)

    # ---- the service

    @rule()
    def restart(self) -> None:
        self.keeper = Keeper(self.database, self.signals, self.clocks.ambient)
        self.keeper.start()
        self.feeds.recover(now=self.clocks.day)

    @rule()
    def tick(self) -> None:
        self.keeper.tick()

    @rule(jump=st.sampled_from([-86400, -40, -3, 3, 40, 86400]))
    def the_clock_jumps(self, jump: int) -> None:
        self.clocks.day += timedelta(seconds=jump)

    @rule(seconds=st.sampled_from([1, 4, 9, 24, 31]))
    def time_goes_by(self, seconds: int) -> None:
        """The service ticks each second; workers stop by themselves what they could not renew."""
        for _ in range(seconds):
            self.clocks.day += timedelta(seconds=1)
            self.clocks.steady += 1
            for mine in self.beliefs.values():
                for run in [run for run, one in mine.items() if self.clocks.steady - one.renewed >= 30 - MARGIN]:
                    del mine[run]
            self.keeper.tick()
            self.at_most_one_worker_holds_a_run()

    # ---- people

    @rule(owner=st.sampled_from(["ann", "bob"]), in_group=st.booleans(), attempts=st.integers(1, 3))
    def enqueue(self, owner: str, in_group: bool, attempts: int) -> None:
        with self.database.write() as conn:
            enqueue(conn, owner, now=self.clocks.day, max_attempts=attempts, group="g" if in_group else None)

    @rule(number=st.integers(1, 4))
    def cancel(self, number: int) -> None:
        with self.database.write() as conn:
            if any(run.number == number for run in runs.page(conn, top=100).runs):
                queue.cancel(conn, f"ca{number}", "asked", now=self.clocks.day)

    # ---- workers

    @rule(name=st.sampled_from(NAMES), answered=st.booleans())
    def lease(self, name: str, answered: bool) -> None:
        """The answer may be lost: then nobody carries the run out, until the lease runs out."""
        with self.database.write() as conn:
            workers.beat(conn, name, WorkerState.READY, {}, now=self.clocks.day)
            given = queue.lease(conn, workers.get(conn, name), now=self.clocks.day)
        if given is None:
            return
        self.executed[given.run.id, given.run.attempt] += 1
        if answered:
            self.beliefs[name][given.run.id] = Belief(
                epoch=given.epoch, renewed=self.clocks.steady, attempt=given.run.attempt
            )

    @rule(name=st.sampled_from(NAMES), answered=st.booleans())
    def heartbeat(self, name: str, answered: bool) -> None:
        mine = self.beliefs[name]
        with self.database.write() as conn:
            told = queue.renew(conn, name, [(run, one.epoch) for run, one in mine.items()], now=self.clocks.day)
        if not answered:
            return
        for one in told:
            if one.held:
                mine[one.run].renewed = self.clocks.steady
                mine[one.run].canceled = bool(one.cancel)
            else:
                del mine[one.run]

    @precondition(lambda self: any(self.beliefs.values()))
    @rule(data=st.data(), end=st.sampled_from(["", "Succeeded", "Failed", "Error"]), answered=st.booleans())
    def report(self, data: st.DataObject, end: str, answered: bool) -> None:
        held = [(name, run) for name in NAMES for run in self.beliefs[name]]
        name, run = data.draw(st.sampled_from(held))
        belief = self.beliefs[name][run]
        frames = finished(run, end) if end else started(run, "a")
        try:
            size = self.feeds.append(name, run, belief.epoch, belief.sent, frames, now=self.clocks.day)
        except Fenced:
            del self.beliefs[name][run]
            return
        if end or not answered:
            del self.beliefs[name][run]  # it is over, or the worker died before it heard
        else:
            belief.sent = size

    @rule(name=st.sampled_from(NAMES))
    def worker_dies(self, name: str) -> None:
        self.beliefs[name].clear()

    # ---- what holds at all times

    @invariant()
    def at_most_one_worker_holds_a_run(self) -> None:
        if hasattr(self, "beliefs"):
            held = Counter(run for mine in self.beliefs.values() for run in mine)
            assert all(count == 1 for count in held.values()), held

    @invariant()
    def an_attempt_is_given_out_once(self) -> None:
        if hasattr(self, "executed"):
            assert all(count == 1 for count in self.executed.values()), self.executed

    @invariant()
    def what_is_over_stays_as_it_is(self) -> None:
        if not hasattr(self, "database"):
            return
        with self.database.read() as conn:
            present = {run.id: run for run in runs.page(conn, top=100).runs}
        for run, status in self.ended.items():
            assert present[run].status is status
        self.ended |= {run.id: run.status for run in present.values() if run.status.is_final}
        assert (
            sum(
                run.group is not None and run.status in (RunStatus.STARTED, RunStatus.RUNNING)
                for run in present.values()
            )
            <= 1
        )


TestOneHolder = OneHolder.TestCase
TestOneHolder.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_threads_of_two_services_never_share_a_run(postgresql: Database) -> None:
    """Two services, as two pools of connections, and six workers that ask as fast as they can."""
    other = Database.open(postgresql.engine.url.render_as_string(hide_password=False))
    count = 60
    given: list[tuple[str, int]] = []
    lock = threading.Lock()
    with postgresql.write() as conn:
        for n in range(6):
            worker(conn, f"w{n}", capacity=count)
        for n in range(count):
            enqueue(conn, f"o{n % 5}", group="g" if n % 10 == 0 else None)

    def ask(n: int) -> None:
        database = (postgresql, other)[n % 2]
        while True:
            with database.read() as conn:
                me = workers.get(conn, f"w{n}")
            lease = database.transact(partial(queue.lease, worker=me, now=AT))
            if lease is None:
                return
            with lock:
                given.append((lease.run.id, lease.epoch))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        other.close()
    assert len(given) == len(set(given)) == count - 5, "all but five of the group's six, each once"


def test_two_services_that_expire_at_once_requeue_a_run_once(postgresql: Database) -> None:
    with postgresql.write() as conn:
        worker(conn)
        for _ in range(5):
            enqueue(conn)
        me = worker(conn, "w2", capacity=5)
        for _ in range(5):
            assert queue.lease(conn, me, now=AT) is not None
    threads = [
        threading.Thread(target=lambda: postgresql.transact(lambda conn: queue.expire(conn, now=later(31))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with postgresql.read() as conn:
        assert {run.attempt for run in runs.page(conn).runs} == {2}


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_report_under_another_epoch_changes_nothing(sqlite: Database, tmp_path: Path, wrong: int) -> None:
    feeds = Feeds(sqlite, tmp_path / "runs", Signals())
    with sqlite.write() as conn:
        me = worker(conn)
        run = enqueue(conn)
        lease = queue.lease(conn, me, now=AT)
    assert lease is not None
    with pytest.raises(Fenced):
        feeds.append("w1", run.id, lease.epoch + wrong, 0, finished(run.id), now=AT)
    with sqlite.read() as conn:
        assert runs.get(conn, run.id) == lease.run
        assert len(runs.late(conn, run.id)) == 1


def test_a_worker_that_does_not_hear_cannot_fill_the_disk_with_late_reports(sqlite: Database) -> None:
    with sqlite.write() as conn:
        run = enqueue(conn)
        for _ in range(150):
            queue.report_late(conn, run.id, "w1", 1, "x", now=AT)
        assert len(runs.late(conn, run.id)) == 100
