"""A worker's life: it registers, proves that it is fit, takes runs while it has room for them, and keeps its leases.

Three kinds of threads: one that asks for work, one that sends heartbeats, and for each run one that carries it out and
one that sends its feed. Speaks to the service through `WorkerApi` only. Must not know Docker.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from taskengine.ambient import Ambient
from taskengine.client.transport import Gone, NotFound
from taskengine.client.workers import LeasedRun, Registered, Registration, WorkerApi
from taskengine.errors import RunnerError, TaskEngineError, Unreachable
from taskengine.runner import Cancel
from taskengine.worker.carry import Machine, carry_out
from taskengine.worker.health import Checkup, Health
from taskengine.worker.sender import Sender
from taskengine.worker.spool import Lease, Spool, left_behind

#: a worker that could not renew stops its runs so many seconds before their leases end
_MARGIN = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
#: seconds between two looks at the engine and the disk
_CHECKUP = 15.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a worker is made of. `prove` carries out a small run of its own and raises when the machine cannot do what
    runs need. `sweep` removes from the engine what runs have left there that are over, or were lost with the engine;
    it asks by a run's key which are to be kept."""

    api: WorkerApi
    machine: Machine
    about: Registration
    folder: Path
    checkup: Checkup
    prove: Callable[[], None]
    sweep: Callable[[Callable[[str], bool]], object]
    say: Say
    ambient: Ambient = field(default_factory=Ambient.system)


@dataclass
class _Running:
    leased: LeasedRun
    spool: Spool
    cancel: Cancel
    sender: Sender
    thread: threading.Thread | None = None
    #: set when the service gave the run to somebody else, or this worker leaves it for its next life
    abandoned: bool = False
    renewed: float = 0.0


class WorkerLoop:
    """One worker. `run` blocks until `stop` was called and all is over."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._api = parts.api
        self._me: Registered | None = None
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._runs: dict[str, _Running] = {}
        self._stopping = threading.Event()
        self._draining = False
        self._state = "starting"
        self._health = Health()
        self._looked = 0.0

    # from outside

    def run(self) -> None:
        """Work until told to stop. Raises InvalidInput when the service does not take this worker at all."""
        self._parts.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._register():
            return
        beats = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._resume()
        beats.start()
        try:
            if self._prove():
                self._take()
        finally:
            self._wait_for_runs()
            self._stopping.set()
            beats.join(timeout=15)
            self._farewell()

    def drain(self) -> None:
        """Take nothing new; `run` returns when what runs is over."""
        with self._freed:
            self._draining = True
            self._freed.notify_all()

    def leave(self) -> None:
        """Let go of what runs, at once: its containers go on, and the next life of this worker goes on with them."""
        with self._freed:
            self._draining = True
            for run in self._runs.values():
                run.abandoned = True
            self._freed.notify_all()
        self._stopping.set()

    def stop(self) -> None:
        """Cancel what runs, clean up, and return from `run`."""
        with self._freed:
            self._draining = True
            running = list(self._runs.values())
            self._freed.notify_all()
        for run in running:
            run.cancel.set("the worker was stopped")

    @property
    def is_ready(self) -> bool:
        return self._state == "ready"

    # the beginning

    def _register(self) -> bool:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set() and not self._draining:
            try:
                self._me = self._api.register(self._parts.about)
            except Unreachable as error:
                self._parts.say(f"{error.message}; trying again in {pause:g} s")
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return True
        return False

    def _prove(self) -> bool:
        """Become ready: the machine has shown that it can do what a run needs."""
        pause = _FIRST_PAUSE
        while not self._stopping.is_set() and not self._draining:
            try:
                self._parts.prove()
            except TaskEngineError as error:
                self._health = Health(why=f"not fit for work: {error.message}", facts=self._health.facts)
                self._state = "unfit"
                self._parts.say(f"{self._health.why}; trying again in {pause:g} s")
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self._look()
                return True
        return False

    def _resume(self) -> None:
        """Go on with the runs of an earlier life that are still ours; remove what is left of the others."""
        for folder, lease in left_behind(self._parts.folder):
            leased = self._held(lease) if lease is not None else None
            if leased is None:  # what it left on the engine goes with the next sweep
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._parts.say(f"going on with run {leased.run}")
            self._begin(leased)

    def _held(self, lease: Lease) -> LeasedRun | None:
        """The run of an old lease, if it is still ours. Waits for a service that is away: it may be coming back."""
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                return self._api.resume(self._id, lease.run, lease.epoch)
            except (Gone, NotFound):
                return None
            except Unreachable:
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except TaskEngineError as error:
                self._parts.say(f"run {lease.run} cannot be gone on with: {error.message}")
                return None
        return None

    # the middle

    def _take(self) -> None:
        pause = _FIRST_PAUSE
        while self._may_take():
            try:
                leased = self._api.lease(self._id, free=self._parts.about.capacity - len(self._runs))
            except NotFound:
                self._register()  # the service was set up anew
            except TaskEngineError as error:
                self._parts.say(f"{error.message}; trying again in {pause:g} s")
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                if leased is not None and self._draining:
                    self._give_back(leased)
                elif leased is not None:
                    self._begin(leased)

    def _give_back(self, leased: LeasedRun) -> None:
        try:
            self._api.release(self._id, leased.run, epoch=leased.epoch, reason="the worker was told to stop")
        except TaskEngineError:
            return  # its lease will be over soon

    def _may_take(self) -> bool:
        """Wait until there is room and the machine is fit; False when nothing new is to be taken any more."""
        with self._freed:
            while not self._draining:
                if self._state == "ready" and len(self._runs) < self._parts.about.capacity:
                    return True
                self._freed.wait(1.0)
        return False

    def _begin(self, leased: LeasedRun) -> None:
        lease = Lease(run=leased.run, attempt=leased.attempt, epoch=leased.epoch)
        spool = Spool(self._parts.folder / leased.key, lease, self._parts.ambient)
        running = _Running(leased=leased, spool=spool, cancel=Cancel(), sender=None)  # type: ignore[arg-type]

        def append(offset: int, data: bytes) -> int:
            done = self._api.append(self._id, leased.run, epoch=leased.epoch, offset=offset, data=data)
            if done.cancel:
                running.cancel.set(done.cancel)
            return done.offset

        def lost(why: str) -> None:
            running.abandoned = True
            running.cancel.set(why)

        running.sender = Sender(spool, append, offset=min(leased.feed_size, spool.size), on_lost=lost)
        running.renewed = self._parts.ambient.monotonic()
        running.thread = threading.Thread(target=self._carry, args=(running,), name=f"run-{leased.run}", daemon=True)
        with self._lock:
            self._runs[leased.key] = running
        running.sender.start()
        running.thread.start()

    def _carry(self, running: _Running) -> None:
        """The thread of one run."""
        try:
            record = carry_out(running.leased, running.spool, self._parts.machine, running.cancel, self._parts.ambient)
            self._parts.say(f"run {running.leased.run}: {record.status.value}")
            running.sender.finish()
        except RunnerError as error:  # the spool cannot be written: what was said is still sent
            self._parts.say(f"run {running.leased.run}: {error.message}")
            running.sender.finish()
        except BaseException as error:  # noqa: BLE001 - one run must not take the worker with it
            self._parts.say(f"run {running.leased.run}: {type(error).__name__}: {error}")
            running.sender.stop()
        finally:
            if running.sender.complete or running.sender.lost:
                running.spool.remove()
            else:
                running.spool.close()
            with self._freed:
                del self._runs[running.leased.key]
                self._freed.notify_all()

    # heartbeats

    def _beat(self) -> None:
        while not self._stopping.wait(self._me.heartbeat_seconds if self._me else _FIRST_PAUSE):
            self._look_now_and_then()
            self._heartbeat()

    def _heartbeat(self) -> None:
        with self._lock:
            leases = [(run.leased.run, run.leased.epoch) for run in self._runs.values()]
            runs = {(run.leased.run, run.leased.epoch): run for run in self._runs.values()}
            state = "draining" if self._draining else self._state
        facts = {**self._health.facts, "why": self._health.why, "running": len(runs)}
        now = self._parts.ambient.monotonic()
        try:
            held, drain = self._api.heartbeat(self._id, state=state, health=facts, leases=leases)
        except TaskEngineError:
            self._stop_what_was_not_renewed(now)
            return
        for one in held:
            run = runs.get((one.run, one.epoch))
            if run is None:
                continue
            if not one.held:
                run.abandoned = True
                run.cancel.set("the service has given the run to another worker")
                continue
            run.renewed = now
            if one.cancel is not None:
                run.cancel.set(one.cancel or "canceled")
        if drain:
            self.drain()

    def _stop_what_was_not_renewed(self, now: float) -> None:
        """Nobody else may be given a run that still runs here: stop before the lease is over."""
        lasts = (self._me.lease_seconds if self._me else 30.0) - _MARGIN
        with self._lock:
            late = [run for run in self._runs.values() if now - run.renewed > lasts]
        for run in late:
            if not run.cancel.is_set:
                self._parts.say(f"run {run.leased.run}: its lease could not be renewed, so it is stopped")
                run.abandoned = True
                run.cancel.set("the lease could not be renewed")

    def _look_now_and_then(self) -> None:
        if self._state in ("ready", "unfit") and self._parts.ambient.monotonic() - self._looked > _CHECKUP:
            self._look()

    def _look(self) -> None:
        self._looked = self._parts.ambient.monotonic()
        self._health = self._parts.checkup.look()
        state = "ready" if self._health.is_fit else "unfit"
        with self._freed:
            changed, self._state = state != self._state, state
            self._freed.notify_all()
        if self._health.is_fit:
            self._sweep()
        if changed:
            self._heartbeat()  # a worker that just became ready must not wait for its next beat to be given work
            self._parts.say("ready" if self._health.is_fit else f"takes no runs: {self._health.why}")

    def _sweep(self) -> None:
        """Remove what is left of runs that nobody goes on with: each that is to be gone on with has its spool."""
        try:
            self._parts.sweep(lambda key: (self._parts.folder / key).exists())
        except Exception as error:  # noqa: BLE001 - there is a next time, and heartbeats must go on
            self._parts.say(f"could not clean up: {error}")

    # the end

    def _wait_for_runs(self) -> None:
        with self._freed:
            while any(not run.abandoned for run in self._runs.values()) and not self._stopping.is_set():
                self._freed.wait(1.0)

    def _farewell(self) -> None:
        if not self._runs:
            try:
                self._api.heartbeat(self._id, state="draining", health={"why": "stopped"}, leases=[])
            except TaskEngineError:
                return

    @property
    def _id(self) -> str:
        if self._me is None:
            raise RunnerError("the worker is not registered yet")
        return self._me.id
