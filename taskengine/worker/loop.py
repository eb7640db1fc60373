"""A worker's life: it registers, proves that it is fit, takes runs while it has room for them, and keeps its leases.

Its threads: one asks for work, one sends heartbeats, one looks at the machine, one stops what could not be renewed in
time; none of these waits for another, as an engine that hangs must cost no lease. Each run has one that carries it out
and one that sends its feed. Speaks to the service through `WorkerApi` only. Must not know Docker.
"""

from __future__ import annotations

import contextlib
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
from taskengine.runs.model import RunStatus
from taskengine.worker.carry import Machine, carry_out
from taskengine.worker.health import Checkup, Health
from taskengine.worker.sender import Sender
from taskengine.worker.spool import Lease, Spool, alone, left_behind
from taskengine.worker.tidying import Tidying

#: a worker that could not renew stops its runs so many seconds before their leases end, or when a sixth of them is
#: left: a lease is at least three heartbeats long, so two of them may always fail
_MARGIN, _LAST_PART = 5.0, 1 / 6
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
#: seconds between two looks at the engine and the disk: while all is well, and while it is not
_CHECKUP, _CHECKUP_UNFIT = 15.0, 1.0
#: seconds between two looks at the leases' ends
_WATCH = 1.0

_STOPPED = "the worker was stopped"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a worker is made of. `prove` carries out a small run of its own and raises when the machine cannot do what
    runs need. `sweep` removes from the engine what runs have left there that are over, or were lost with the engine;
    it asks by a run's key which are to be kept. `tidying` keeps the disk in bounds."""

    api: WorkerApi
    machine: Machine
    about: Registration
    folder: Path
    checkup: Checkup
    prove: Callable[[], None]
    sweep: Callable[[Callable[[str], bool]], object]
    say: Say
    tidying: Tidying | None = None
    ambient: Ambient = field(default_factory=Ambient.system)


@dataclass
class _Running:
    leased: LeasedRun
    spool: Spool
    cancel: Cancel
    sender: Sender
    #: when its lease was last known to be renewed
    renewed: float
    #: set when it was carried out: what is left is to send what it said
    is_over: bool = False

    def lose(self, why: str) -> None:
        """It is not ours any more: nothing further is said of it, least of all that it was stopped here."""
        self.sender.lose(why)


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
        self._canceled = False
        self._doubts = self._dispelled = 0
        self._state = "starting"
        self._health = Health()

    # from outside

    def run(self) -> None:
        """Work until told to stop. Raises InvalidInput when the service does not take this worker at all, and when
        another process is this worker already."""
        self._parts.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(self._parts.folder, self._parts.about.name):
            if self._register():
                self._live()

    def _live(self) -> None:
        threads = [self._thread("heartbeat", self._beat), self._thread("leases", self._watch_leases)]
        try:
            self._resume()
            if self._prove():
                threads.append(self._thread("checkup", self._look_again))
                if self._parts.tidying is not None:
                    self._parts.tidying.begin()
                self._take()
        finally:
            if self._parts.tidying is not None:
                self._parts.tidying.end()
            self._wait_for_runs()
            with self._freed:
                self._stopping.set()
                self._freed.notify_all()
            for thread in threads:
                thread.join(timeout=15)
            self._farewell()

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def drain(self) -> None:
        """Take nothing new; `run` returns when what runs is over."""
        with self._freed:
            self._draining = True
            self._freed.notify_all()

    def leave(self) -> None:
        """Let go of what runs, at once: its containers go on, and the next life of this worker goes on with them."""
        self._stopping.set()
        self.drain()

    def stop(self) -> None:
        """Cancel what runs, clean up, and return from `run`."""
        with self._freed:
            self._draining = self._canceled = True
            running = list(self._runs.values())
            self._freed.notify_all()
        for run in running:
            run.cancel.set(_STOPPED)

    # the beginning

    def _register(self) -> bool:
        pause = _FIRST_PAUSE
        while not self._draining:
            try:
                self._me = self._api.register(self._parts.about)
            except Unreachable as error:
                pause = self._pause(error.message, pause)
            else:
                return True
        return False

    def _pause(self, why: str, seconds: float) -> float:
        """Wait before it is tried again, but not when the end has come; returns how long to wait the next time."""
        self._parts.say(f"{why}; trying again in {seconds:g} s")
        with self._freed:
            self._freed.wait_for(lambda: self._draining, seconds)
        return min(seconds * 2, _LONGEST_PAUSE)

    def _prove(self) -> bool:
        """Become ready: the machine has shown that it can do what a run needs."""
        pause = _FIRST_PAUSE
        while not self._draining:
            try:
                self._parts.prove()
            except TaskEngineError as error:
                self._health = Health(why=f"not fit for work: {error.message}", facts=self._health.facts)
                self._state = "unfit"
                pause = self._pause(self._health.why, pause)
            else:
                self._look()
                return True
        return False

    def _resume(self) -> None:
        """Go on with the runs of an earlier life that are still ours; remove what is left of the others."""
        for folder, lease in left_behind(self._parts.folder):
            leased = self._held(lease) if lease is not None else None
            if leased is None and self._stopping.is_set():
                return  # nobody said that it is lost: it is for the next life
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
        while free := self._room():
            try:
                leased = self._api.lease(self._id, free=free)
            except NotFound:
                self._register()  # the service was set up anew
            except TaskEngineError as error:
                pause = self._pause(error.message, pause)
            else:
                pause = _FIRST_PAUSE
                if leased is not None and self._draining:
                    self._give_back(leased, "the worker was told to stop")
                elif leased is not None:
                    self._begin(leased)

    def _give_back(self, leased: LeasedRun, why: str) -> None:
        with contextlib.suppress(TaskEngineError):  # or its lease will be over soon
            self._api.release(self._id, leased.run, epoch=leased.epoch, reason=why)

    def _room(self) -> int:
        """Wait until the machine is fit and there is room, for so many runs; 0 when nothing new is to be taken."""
        with self._freed:
            while not self._draining:
                free = self._parts.about.capacity - len(self._runs)
                if self._state == "ready" and self._doubts == self._dispelled and free > 0:
                    return free
                self._freed.wait(1.0)
        return 0

    def _begin(self, leased: LeasedRun) -> None:
        lease = Lease(run=leased.run, attempt=leased.attempt, epoch=leased.epoch)
        try:
            spool = Spool(self._parts.folder / leased.key, lease, self._parts.ambient)
        except OSError as error:
            why = f"the worker cannot keep the run's log: {(error.strerror or str(error)).lower()}"
            self._give_back(leased, why)
            self._pause(f"run {leased.run}: {why}", _LONGEST_PAUSE)  # it may be given out to us again
            return
        cancel = Cancel()

        def append(offset: int, data: bytes) -> int:
            done = self._api.append(self._id, leased.run, epoch=leased.epoch, offset=offset, data=data)
            if done.cancel:
                cancel.set(done.cancel)
            return done.offset

        sender = Sender(spool, append, offset=min(leased.feed_size, spool.size), on_lost=cancel.set)
        renewed = self._parts.ambient.monotonic()
        running = _Running(leased=leased, spool=spool, cancel=cancel, sender=sender, renewed=renewed)
        with self._lock:
            self._runs[leased.key] = running
            if self._canceled:  # `stop` was called while this one was on its way
                cancel.set(_STOPPED)
        sender.start()
        self._thread(f"run-{leased.run}", lambda: self._carry(running))

    def _carry(self, running: _Running) -> None:
        """The thread of one run."""
        try:
            record = carry_out(running.leased, running.spool, self._parts.machine, running.cancel, self._parts.ambient)
            running.is_over = True
            if record.status is RunStatus.ERROR:
                self._doubt()
            self._parts.say(f"run {running.leased.run}: {record.status.value}")
            running.sender.finish()
        except RunnerError as error:  # the spool cannot be written: what was said is still sent
            self._parts.say(f"run {running.leased.run}: {error.message}")
            running.sender.finish()
        except BaseException as error:  # noqa: BLE001 - one run must not take the worker with it
            self._parts.say(f"run {running.leased.run}: {type(error).__name__}: {error}")
            running.sender.stop()
        finally:
            if self._stopping.is_set() and not (running.sender.complete or running.sender.lost):
                running.spool.close()  # for the next life
            else:
                running.spool.remove()
            with self._freed:
                del self._runs[running.leased.key]
                self._freed.notify_all()

    # heartbeats

    def _beat(self) -> None:
        while not self._stopping.wait(self._me.heartbeat_seconds if self._me else _FIRST_PAUSE):
            try:
                self._heartbeat()
            except Exception as error:  # noqa: BLE001 - without heartbeats every lease is lost
                self._parts.say(f"the service's answer to a heartbeat is not understood: {error}")

    def _heartbeat(self) -> None:
        with self._lock:
            runs = {(run.leased.run, run.leased.epoch): run for run in self._runs.values()}
            state = "draining" if self._draining else self._state
            health = self._health
        facts = {**health.facts, "why": health.why, "running": len(runs)}
        if self._parts.tidying is not None:
            facts |= self._parts.tidying.facts
        now = self._parts.ambient.monotonic()
        try:
            held, drain = self._api.heartbeat(self._id, state=state, health=facts, leases=runs)
        except TaskEngineError:
            return  # the next one may arrive; what cannot be renewed in time is stopped
        for one in held:
            run = runs.get((one.run, one.epoch))
            if run is None:
                continue
            if not one.held:
                run.lose("the service has given the run to another worker")
                continue
            run.renewed = max(run.renewed, now)
            if one.cancel is not None:
                run.cancel.set(one.cancel or "canceled")
        if drain:
            self.drain()

    def _watch_leases(self) -> None:
        while not self._stopping.wait(_WATCH):
            self._stop_what_was_not_renewed()

    def _stop_what_was_not_renewed(self) -> None:
        """Nobody else may be given a run that still runs here: stop before the lease is over. One that was carried out
        is still sent: a service that was away takes it when it is back."""
        term = self._me.lease_seconds if self._me else 30.0
        lasts = term - min(_MARGIN, term * _LAST_PART)
        now = self._parts.ambient.monotonic()
        with self._lock:
            late = [run for run in self._runs.values() if not run.is_over and now - run.renewed > lasts]
        for run in late:
            if not run.sender.lost:
                self._parts.say(f"run {run.leased.run}: its lease could not be renewed, so it is stopped")
                run.lose("the lease could not be renewed")

    # the machine

    def _doubt(self) -> None:
        """The machine may have failed a run: it takes no other before it was looked at again. An engine that is away
        for a second must not be given the whole queue, and each of its runs an attempt less."""
        with self._freed:
            self._doubts += 1
            self._freed.notify_all()

    def _look_again(self) -> None:
        while not self._stopping.is_set():
            with self._freed:
                pause = _CHECKUP if self._state == "ready" else _CHECKUP_UNFIT
                self._freed.wait_for(lambda: self._doubts > self._dispelled or self._stopping.is_set(), pause)
                if self._stopping.is_set():
                    return
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - there is a next time
                self._parts.say(f"could not look at this machine: {type(error).__name__}: {error}")
                self._stopping.wait(_CHECKUP_UNFIT)

    def _look(self) -> None:
        doubts = self._doubts
        health = self._parts.checkup.look()
        state = "ready" if health.is_fit else "unfit"
        with self._freed:
            self._health, self._dispelled = health, doubts
            changed, self._state = state != self._state, state
            self._freed.notify_all()
        if health.is_fit or health.is_short:
            self._sweep()
        if self._parts.tidying is not None:
            self._parts.tidying.room(is_short=health.is_short)
        if changed:
            self._heartbeat()  # a worker that just became ready must not wait for its next beat to be given work
            self._parts.say("ready" if health.is_fit else f"takes no runs: {health.why}")

    def _sweep(self) -> None:
        """Remove what is left of runs that nobody goes on with: each that is to be gone on with has its spool."""
        try:
            self._parts.sweep(lambda key: (self._parts.folder / key).exists())
        except Exception as error:  # noqa: BLE001 - there is a next time, and heartbeats must go on
            self._parts.say(f"could not clean up: {error}")

    # the end

    def _wait_for_runs(self) -> None:
        with self._freed:
            while self._runs and not self._stopping.is_set():
                self._freed.wait(1.0)

    def _farewell(self) -> None:
        with self._lock:
            if self._runs:
                return
        with contextlib.suppress(TaskEngineError):
            self._api.heartbeat(self._id, state="draining", health={"why": "stopped"}, leases=[])

    @property
    def _id(self) -> str:
        if self._me is None:
            raise RunnerError("the worker is not registered yet")
        return self._me.id
