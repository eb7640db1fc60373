"""A service that dies while a wave is under way: nothing is lost and nothing doubled, whatever the instant."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskengine.runs.model import RunStatus
from taskengine.service.store import runs
from taskengine.service.store.database import Database
from tests.service.process import Process
from tests.triggers.wavehouse import ALPINE, House


class Killed(BaseException):
    """What no handler of ours catches, as the end of a process."""


class Mortal:
    """A database whose user dies within its `last` transaction, or right after it."""

    def __init__(self, database: Database, last: int, *, after: bool) -> None:
        self.died = False
        self._count, self._last, self._after = 0, last, after
        self._real = database
        self.database = copy.copy(database)
        self.database.transact = self._transact  # type: ignore[method-assign]

    def _transact(self, work: Callable[[Any], Any]) -> Any:
        self._count += 1
        if self._count < self._last or self.died:
            return self._real.transact(work)
        self.died = True
        if self._after:
            self._real.transact(work)
            raise Killed

        def die(conn: Any) -> None:
            work(conn)
            raise Killed

        return self._real.transact(die)


def rounds(house: House, work: Callable[[], None]) -> Iterator[None]:
    """The story of a diamond: all that waits is worked on, then all runs that are there end."""
    house.diamond()
    house.change(ALPINE, "1", "2")
    for _ in range(20):
        work()
        for run in house.runs():
            if run.status is RunStatus.QUEUED:
                house.end(run.id, f"{run.task}=2")
        yield
        if house.count_waves() and house.wave().state == "over":
            return
    raise AssertionError(house.states())


@pytest.mark.parametrize("after", [False, True], ids=["within a transaction", "right after one"])
def test_a_service_killed_at_any_transaction_loses_and_doubles_nothing(
    sqlite: Database, tmp_path: Path, after: bool
) -> None:
    from taskengine.service.store.tables import metadata

    last, died = 0, True
    while died:
        last += 1
        with sqlite.write() as conn:
            for table in reversed(metadata.sorted_tables):
                conn.execute(table.delete())
        house = House(sqlite, tmp_path)
        mortal = Mortal(sqlite, last, after=after)
        whole = house.services
        house.services = replace(whole, database=mortal.database)

        def work(house: House = house, whole: Any = whole) -> None:
            try:
                house.work()
            except Killed:
                house.services = whole
                house.later(minutes=2)  # what the dead one had taken for a minute is free again
                house.work()

        for _ in rounds(house, work):
            pass
        died = mortal.died
        assert sorted(house.tasks_run()) == ["bottom", "left", "right", "top"], f"killed at transaction {last}"
        assert house.tasks_run()[0] == "top"
        assert house.tasks_run()[-1] == "bottom"
        chain = [one.get("run") for one in house.runs()[-1].cause if one["kind"] == "wave"]
        assert chain == ["ca2", "ca3", "ca1"]
    assert last > 10


def test_real_services_under_kill_9_queue_every_run_once(database: Database, database_url: str, tmp_path: Path) -> None:
    house = House(database, tmp_path / "house")
    house.at = whole_now()
    parents = [f"p{number}" for number in range(10)]
    for name in parents:
        house.task(name, ALPINE)
    for number in range(60):
        house.task(f"c{number:02}", parents[number % 10], parents[(number + 3) % 10])
    house.change(ALPINE, "1", "2")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key").write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    (tmp_path / "data" / "secret.key").chmod(0o600)
    data, further = tmp_path / "data", {"ACR_TASK_DATABASE_URL": database_url}
    for target in (1, 4, 10, 33, 70):
        with (
            Process(data, "--no-worker", further=further) as one,
            Process(data, "--no-worker", further=further) as two,
        ):
            watch(house, lambda target=target: len(house.runs()) >= target, one)
            one.kill()
            two.kill()
        if target >= 10:
            for run in house.runs():
                if run.status is RunStatus.QUEUED and run.task in parents:
                    house.end(run.id, f"{run.task}=2")
    assert sorted(house.tasks_run()) == sorted([*parents, *(f"c{number:02}" for number in range(60))])
    for run in house.runs():
        if run.status is RunStatus.QUEUED:
            house.end(run.id, f"{run.task}=2")
    with Process(data, "--no-worker", further=further) as one:
        watch(house, lambda: house.wave().state == "over", one)
    with database.read() as conn:
        assert len(runs.page(conn, top=100).runs) == 70


def whole_now() -> Any:
    """The real clock, as the processes have it."""
    from taskengine.ambient import Ambient

    return Ambient.system().now()


def watch(house: House, done: Callable[[], bool], service: Process) -> None:
    """Until it is so; the service must be alive meanwhile."""
    import time

    end = time.monotonic() + 120
    while not done():
        assert service.process.poll() is None, service.errors
        assert time.monotonic() < end, (service.errors, house.states())
        time.sleep(0.01)
