"""A worker's life when the service, the engine or the disk is away, and when it is told to go at an awkward moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskengine.ambient import Ambient
from taskengine.client.workers import Appended, Held, LeasedRun, Registered, Registration
from taskengine.errors import Interrupted, InvalidInput, Unreachable
from taskengine.runner import Cancel
from taskengine.runs.spec import RunSpec
from taskengine.worker import loop as loop_module
from taskengine.worker.carry import Machine
from taskengine.worker.health import Checkup, Watermarks
from taskengine.worker.loop import Parts, WorkerLoop
from taskengine.worker.spool import Lease, Spool

LEASED = LeasedRun(
    worker="w", run="ca1", attempt=1, epoch=1, spec=RunSpec(text="", context="upload:x"), secrets={}
)  # fmt: skip


class Service:
    """The service as a worker sees it. `away` makes it silent."""

    def __init__(self, *runs: LeasedRun, lease_seconds: float = 30.0) -> None:
        self.runs = list(runs)
        self.away = threading.Event()
        self.beats = threading.Semaphore(0)
        self.asked = threading.Event()
        self.taken = b""
        self.released: list[str] = []
        self.before_lease: Callable[[], None] = lambda: None
        self._seconds = lease_seconds

    def register(self, about: Registration) -> Registered:
        return Registered(id="w", lease_seconds=self._seconds, heartbeat_seconds=0.02)

    def heartbeat(
        self, worker: str, *, state: str, health: Mapping[str, Any], leases: Iterable[tuple[str, int]]
    ) -> tuple[tuple[Held, ...], bool]:
        self._answer()
        self.beats.release()
        return tuple(Held(run=run, epoch=epoch, held=True) for run, epoch in leases), False

    def lease(self, worker: str, *, free: int, seconds: float = 0.0) -> LeasedRun | None:
        self._answer()
        self.before_lease()
        if self.runs:
            return self.runs.pop()
        threading.Event().wait(0.02)  # the long poll
        return None

    def resume(self, worker: str, run: str, epoch: int) -> LeasedRun:
        self.asked.set()
        self._answer()
        return LEASED

    def release(self, worker: str, run: str, *, epoch: int, reason: str) -> None:
        self.released.append(run)

    def append(self, worker: str, run: str, *, epoch: int, offset: int, data: bytes) -> Appended:
        self._answer()
        self.taken += data
        return Appended(offset=len(self.taken))

    def _answer(self) -> None:
        if self.away.is_set():
            raise Unreachable("the service is away")


class Life:
    """One life of a worker, in a thread. A run of it goes on until it is canceled."""

    def __init__(
        self, service: Service, folder: Path, look: Callable[[], dict[str, Any]] = dict,
        uploaded: Callable[[LeasedRun, Path, Cancel], None] | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder / "runs"
        self.running, self.stopped = threading.Event(), threading.Event()
        self.said: list[str] = []
        machine = Machine(
            runner=None,  # type: ignore[arg-type]
            contexts=lambda name, logins: self,  # type: ignore[arg-type,return-value]
            uploaded=uploaded or self._uploaded,
            platform=lambda: "linux/amd64",
        )
        self.loop = WorkerLoop(
            Parts(
                api=service,  # type: ignore[arg-type]
                machine=machine, about=Registration(name="w"), folder=self.folder,
                checkup=Checkup(look, (), Watermarks()), prove=lambda: None, sweep=lambda keep: None,
                say=self.said.append,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self.loop.run, daemon=True)

    def _uploaded(self, leased: LeasedRun, into: Path, cancel: Cancel) -> None:
        self.running.set()
        assert cancel.wait(30)
        self.stopped.set()
        raise Interrupted("stopped")

    def close(self) -> None:
        """As Contexts has it."""

    def start(self) -> None:
        self._thread.start()

    def ended(self) -> bool:
        self._thread.join(20)
        return not self._thread.is_alive()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Life]]:
    made: list[Life] = []

    def begin(service: Service, **more: Any) -> Life:
        made.append(Life(service, tmp_path, **more))
        made[-1].start()
        return made[-1]

    yield begin
    for life in made:
        life.loop.stop()
        assert life.ended()


def test_a_lease_that_cannot_be_renewed_ends_the_run_here_and_never_cancels_it_there(
    live: Callable[..., Life],
) -> None:
    """The service renews all leases when it is back: the word of our own stop would be taken for a cancel."""
    service = Service(LEASED, lease_seconds=1.2)
    life = live(service)
    assert life.running.wait(20)
    service.away.set()
    assert life.stopped.wait(20)
    life.loop.drain()
    assert life.ended()
    service.away.clear()
    assert b"run.finished" not in service.taken
    assert not any(life.folder.iterdir())


def test_a_short_lease_is_kept_as_long_as_heartbeats_arrive(live: Callable[..., Life]) -> None:
    service = Service(LEASED, lease_seconds=3.0)
    life = live(service)
    assert life.running.wait(20)
    assert not life.stopped.wait(1.2)  # the watch looked at least once
    life.loop.stop()
    assert life.ended()
    assert b"run.finished" in service.taken


def test_a_worker_that_goes_while_the_service_is_away_keeps_what_it_was_doing(
    live: Callable[..., Life], tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / LEASED.key
    Spool(folder, Lease(run="ca1", attempt=1, epoch=1), Ambient.system()).close()
    service = Service()
    service.away.set()
    life = live(service)
    assert service.asked.wait(20)
    life.loop.leave()
    assert life.ended()
    assert (folder / "lease.json").exists()


def test_a_run_that_arrives_while_the_worker_is_stopped_is_given_back(live: Callable[..., Life]) -> None:
    service, begun = Service(LEASED), threading.Event()

    def stop() -> None:
        assert begun.wait(20)
        life.loop.stop()

    service.before_lease = stop
    life = live(service)
    begun.set()
    assert life.ended()
    assert service.released == ["ca1"]
    assert not life.running.is_set()


def test_a_run_that_cannot_be_kept_on_the_disk_is_given_back(live: Callable[..., Life], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / LEASED.key).write_text("no folder")
    service = Service(LEASED)
    life = live(service)
    for _ in range(200):
        if service.released:
            break
        assert service.beats.acquire(timeout=20)
    life.loop.drain()
    assert life.ended()
    assert service.released == ["ca1"]
    assert any("cannot keep the run's log" in text for text in life.said)


def test_an_engine_that_hangs_holds_up_no_heartbeat(live: Callable[..., Life], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_CHECKUP", 0.01)
    hangs, let_go, looks = threading.Event(), threading.Event(), iter(range(1000))

    def look() -> dict[str, Any]:
        if next(looks):  # the first shows that the worker is fit
            hangs.set()
            let_go.wait(20)
        return {}

    service = Service()
    life = live(service, look=look)
    assert hangs.wait(20)
    while service.beats.acquire(blocking=False):
        pass
    assert all(service.beats.acquire(timeout=10) for _ in range(3))
    let_go.set()
    life.loop.drain()
    assert life.ended()


def test_after_a_run_that_the_machine_may_have_failed_none_is_taken_before_it_was_looked_at(
    live: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is away for a moment would be given the whole queue, and each run an attempt less."""
    monkeypatch.setattr(loop_module, "_CHECKUP_UNFIT", 0.01)
    over, gone, back, looked = threading.Event(), threading.Event(), threading.Event(), threading.Semaphore(0)

    def look() -> dict[str, Any]:
        if gone.is_set() and not back.is_set():
            looked.release()
            raise Unreachable("the engine is away")
        return {}

    def fail(leased: LeasedRun, into: Path, cancel: Cancel) -> None:
        gone.set()
        over.set()
        raise Unreachable("the engine is away")

    service = Service()
    service.runs = [replace(LEASED, run=f"ca{number}") for number in range(1, 7)]
    life = live(service, look=look, uploaded=fail)
    assert over.wait(20)
    assert all(looked.acquire(timeout=20) for _ in range(3))
    assert len(service.runs) >= 4  # it takes two at once
    back.set()
    for _ in range(500):
        if not service.runs:
            break
        assert service.beats.acquire(timeout=20)
    assert not service.runs
    life.loop.drain()
    assert life.ended()


def test_two_processes_are_never_one_worker(live: Callable[..., Life], tmp_path: Path) -> None:
    life = live(Service(LEASED))
    assert life.running.wait(20)
    with pytest.raises(InvalidInput, match="a worker called w runs on this machine already"):
        Life(Service(), tmp_path).loop.run()
    life.loop.stop()
    assert life.ended()
    later = live(Service())
    later.loop.drain()
    assert later.ended()


def test_stopping_cancels_a_run_and_waits_for_its_end(live: Callable[..., Life]) -> None:
    service = Service(LEASED)
    life = live(service)
    assert life.running.wait(20)
    life.loop.stop()
    assert life.ended()
    assert b'"Canceled"' in service.taken
    assert not any(life.folder.iterdir())
