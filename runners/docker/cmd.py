"""Carries out one attempt at a `cmd` step: container made, attached, started, read to its end, its exit code taken.

The engine is asked for the exit code only after the last byte of output was read, and the container is removed behind
the step's back, so that neither costs the next step time.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Any

from runners.docker import stream
from runners.docker.adopt import Orphan, read_log
from runners.docker.container import Config
from runners.docker.engine import Engine
from runners.docker.exits import Exits
from runners.docker.failure import StepFailed, explanation, fail, start_failure
from runners.docker.refused import failed, refused
from taskengine.errors import RunnerError
from taskengine.lightclass import dataclass
from taskengine.runner import Attempt, Cancel
from taskengine.runs.model import Reason, StepResult

#: seconds a container has to end by itself after SIGTERM before it is killed
GRACE = 2
#: seconds after which a canceled step gives up on an engine that does not answer
_GIVE_UP = 10
#: the system call that waits for signals, as x86-64, arm64 and their 32-bit programs number it. Where a number is
#: another call's, a program merely gets its grace
_SIGNAL_WAITS = frozenset({"128", "137", "177", "421"})


@dataclass(frozen=True, kw_only=True)
class Job:
    """A container to be run: its name, whether it stays, and what to do once it is made.

    `config` says what it is asked to be. It is called when the container's turn to start has come, with the number of
    those that still wait for theirs, so that it can use what has become free meanwhile. `leave` is called when the
    container has ended or could not be started, and not when nobody knows.
    """

    config: Callable[[int], Config]
    name: str
    keep: bool = False
    before_start: Callable[[Config], None] = field(default=lambda _: None)
    leave: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Started:
    container: str
    config: Config
    sock: Any


class Slots:
    """Bounds how many do a thing at once, and knows how many wait for their turn. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self.waiting = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        with self._lock:
            self.waiting += 1
        with self._free:
            with self._lock:
                self.waiting -= 1
            yield


class Containers:
    """Starts and stops the containers of steps. `starts` bounds how many are being started at once: more than the
    engine's processors can serve only make each of them slower. Thread-safe."""

    def __init__(
        self,
        api: Engine,
        *,
        exits: Exits,
        starts_at_once: int,
        discard: Callable[[str], None],
        spent: Callable[[str, str], None],
    ) -> None:
        self._api = api
        self._spent = spent
        self._exits = exits
        self._starts = Slots(starts_at_once)
        self._discard = discard

    def run(self, step: str, job: Job, attempt: Attempt) -> StepResult:
        """Run a container to its end. The output goes to the attempt's log, complete and in order."""
        started = self._start(job, attempt.cancel)
        container, sock = started.container, started.sock
        unlisten = attempt.cancel.listen(lambda: self._stop_soon(container, sock))
        try:
            self._read(step, started, attempt)
            code = self._code(container, attempt.cancel)
            if code is None:
                return StepResult(ok=False, reason=Reason.CANCELED, message="stopped")
            job.leave()
            return self._result(container, code, attempt.cancel)
        finally:
            unlisten()
            stream.close(sock)
            if not job.keep:
                self._spent(step, container)

    def adopt(self, step: str, orphan: Orphan, attempt: Attempt, *, keep: bool) -> StepResult:
        """Go on with a container that a process which died had started, as `run` would have done."""
        container = orphan.container
        unlisten = attempt.cancel.listen(lambda: self._stop_soon(container, None))
        try:
            self._read_again(step, orphan, attempt)
            code = self._code(container, attempt.cancel)
            if code is None:
                return StepResult(ok=False, reason=Reason.CANCELED, message="stopped")
            return self._result(container, code, attempt.cancel)
        finally:
            unlisten()
            if not keep:
                self._spent(step, container)

    def follow(self, step: str, orphan: Orphan, attempt: Attempt) -> tuple[str, threading.Thread]:
        """Follow the output of a detached container that a process which died had started."""

        def read() -> None:
            with contextlib.suppress(OSError):
                self._read_again(step, orphan, attempt)

        follower = threading.Thread(target=read, name=f"follow-{step}", daemon=True)
        follower.start()
        return orphan.container, follower

    def _read_again(self, step: str, orphan: Orphan, attempt: Attempt) -> None:
        write = attempt.log.write
        try:
            read_log(self._api, orphan, lambda fd, data: write(step, fd, data))
        except OSError:
            if not attempt.cancel.is_set:
                raise

    def detach(self, step: str, job: Job, attempt: Attempt) -> tuple[str, threading.Thread]:
        """Start a container that goes on by itself; returns its id and the thread that follows its output."""
        started = self._start(job, attempt.cancel)

        def follow() -> None:
            try:
                with contextlib.suppress(OSError):
                    self._read(step, started, attempt)
            finally:
                stream.close(started.sock)

        follower = threading.Thread(target=follow, name=f"follow-{step}", daemon=True)
        follower.start()
        return started.container, follower

    def _start(self, job: Job, cancel: Cancel) -> _Started:
        with self._starts.one():
            _go_on(cancel)
            config = job.config(self._starts.waiting)
            try:
                _go_on(cancel)
                container, sock = self._start_now(job, config)
            except StepFailed:
                job.leave()
                raise
        return _Started(container=container, config=config, sock=sock)

    def _start_now(self, job: Job, config: Config) -> tuple[str, Any]:
        container, sock = "", None
        try:
            container = self._api.create_container_from_config(config, job.name)["Id"]
            sock = self._api.attach_socket(
                container, params={"stdout": 1, "stderr": 1, "stream": 1, "logs": 0, "stdin": 0}
            )
            job.before_start(config)
            self._api.start(container)
        except BaseException as error:
            if sock is not None:
                stream.close(sock)
            if container:
                self._discard(container)
            if isinstance(error, refused()):
                raise start_failure(explanation(error), config["Image"]) from error
            raise
        return container, sock

    def _read(self, step: str, started: _Started, attempt: Attempt) -> None:
        write = attempt.log.write
        readable, tty = stream.readable(started.sock), bool(started.config.get("Tty"))
        try:
            stream.copy(readable, lambda fd, data: write(step, fd, data), tty=tty)
        except OSError:
            if not attempt.cancel.is_set:
                raise

    def _code(self, container: str, cancel: Cancel) -> int | None:
        """The exit code of a container that has ended; None when that is not known any more and nobody wants it."""
        try:
            code = self._exits.code(container)
            if code is None:
                # no limit: a step may close its output and go on; its time limit stops the container, which ends this
                code = int(self._api.wait(container, timeout=None)["StatusCode"])
        except failed() as error:
            if cancel.is_set:
                return None
            raise RunnerError(
                f"lost sight of a container: {explanation(error)}", hint="did the Docker Engine stop or restart?"
            ) from error
        return code

    def _result(self, container: str, code: int, cancel: Cancel) -> StepResult:
        if cancel.is_set:
            return StepResult(ok=False, exit_code=code, reason=Reason.CANCELED, message="stopped")
        if code == 0:
            return StepResult(ok=True, exit_code=0)
        return self._failure(container, code)

    def _failure(self, container: str, code: int) -> StepResult:
        state: dict[str, Any] = {}
        if code == 137:
            with contextlib.suppress(*refused()):
                state = self._api.inspect_container(container)["State"]
        if state.get("OOMKilled"):
            return StepResult(
                ok=False, exit_code=code, reason=Reason.OUT_OF_MEMORY, message="killed: out of memory",
                hint="give the step more with --memory in front of its image, or let it use less",
            )  # fmt: skip
        return StepResult(
            ok=False, exit_code=code, reason=Reason.EXIT_CODE, message=f"exit status {code}", hint=_exit_hint(code)
        )

    def _stop_soon(self, container: str, sock: Any) -> None:
        """Stop the container without holding up whoever asks; a dead engine must not hold the step either."""

        def stop() -> None:
            self.stop(container)
            finished.set()

        def guard() -> None:
            if not finished.wait(GRACE + _GIVE_UP):
                stream.close(sock)

        finished = threading.Event()
        threading.Thread(target=stop, name="stop", daemon=True).start()
        threading.Thread(target=guard, name="stop-guard", daemon=True).start()

    def stop(self, container: str) -> None:
        """Stop a container: SIGTERM, or the signal that it was told to be stopped by; `GRACE` seconds; SIGKILL. Quiet
        when it is gone or the engine is.

        A program that is the first of its container and does not ask for the signal never gets it: where that can be
        seen, nobody waits for it.
        """
        with contextlib.suppress(*failed()):
            found = self._api.inspect_container(container)
            number = stop_signal(str((found.get("Config") or {}).get("StopSignal") or ""))
            process = Path(f"/proc/{int(found['State']['Pid'])}")
            deaf = number is not None and is_deaf(process, container, number)
            self._api.stop(container, timeout=0 if deaf else GRACE)


def _go_on(cancel: Cancel) -> None:
    if cancel.is_set:
        raise fail(Reason.CANCELED, "canceled before its container was started")


def stop_signal(name: str) -> signal.Signals | None:
    """The signal that stops a container, out of its STOPSIGNAL (`SIGINT`, `INT`, `2`); None for one not known here."""
    name = name.strip().upper()
    try:
        if name.isdecimal():
            return signal.Signals(int(name))
        return signal.Signals[f"SIG{name.removeprefix('SIG')}"] if name else signal.SIGTERM
    except (KeyError, ValueError):
        return None


def is_deaf(process: Path, container: str, number: signal.Signals) -> bool:
    """Whether the first process of a container is known neither to catch a signal nor to wait for it, as `--init` and
    programs like tini do with all of them. False when it cannot be seen: on a far engine, whose process numbers mean
    nothing here (the control group tells whether it is the container's)."""
    try:
        if container not in (process / "cgroup").read_text():
            return False
        fields = dict(line.partition(":")[::2] for line in (process / "status").read_text().splitlines())
        heard = int(fields["SigCgt"].strip(), 16) | int(fields["SigBlk"].strip(), 16)
        # what a process waits for counts neither as caught nor, meanwhile, as blocked
        waits = (process / "syscall").read_text().partition(" ")[0] in _SIGNAL_WAITS
    except (OSError, KeyError, ValueError):
        return False
    return not waits and not heard & (1 << (number - 1))


_SIGNALS = {137: "killed (SIGKILL)", 139: "crashed (SIGSEGV)", 143: "terminated (SIGTERM)", 134: "aborted (SIGABRT)"}


def _exit_hint(code: int) -> str:
    if code == 127:
        return "127 usually means: command not found"
    if code == 126:
        return "126 usually means: the file is not executable"
    return f"{code} means that the program was {_SIGNALS[code]}" if code in _SIGNALS else ""
