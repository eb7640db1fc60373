"""The one face every runner shows, and the few things it is handed. Plain data in and out.

Life cycle, in this order, all calls blocking:

    prepare(plan)                 once; may start background work (pulls, sandboxes)
    run_step(step, ...)           one attempt; called from many threads at once, never twice at once for one step
    cleanup()                     once or more, also before or without a successful prepare, also after cancellation;
                                  removes all that this runner made for the run; never raises for what is gone already

A step that fails is a StepResult; an exception means that the runner itself failed (RunnerError, Unreachable).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Protocol

from taskengine.lightclass import dataclass
from taskengine.plan.model import Plan, PlannedStep
from taskengine.runs.event import Event
from taskengine.runs.model import StepResult


class Cancel:
    """A request to stop that can be waited for and listened to. Thread-safe; setting it twice is harmless.

    A child is set when its parent is, not the other way round.
    """

    def __init__(self, parent: Cancel | None = None) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._parent = parent
        self.reason = ""
        if parent is not None:
            parent.listen(self._from_parent)

    def _from_parent(self) -> None:
        self.set(self._parent.reason if self._parent is not None else "canceled")

    def set(self, reason: str = "canceled") -> None:
        with self._lock:
            if self._event.is_set():
                return
            self.reason = reason
            self._event.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until set or until the time is over; true when set."""
        return self._event.wait(seconds)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when set (at once if set already). Returns a function that takes the listener off again."""
        with self._lock:
            if not self._event.is_set():
                self._listeners.append(listener)
                return lambda: self._remove(listener)
        listener()
        return lambda: None

    def _remove(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def close(self) -> None:
        """Forget the parent, so that a short-lived child does not stay on its list."""
        if self._parent is not None:
            self._parent._remove(self._from_parent)


class LogSink(Protocol):
    """Where a step's output goes, byte for byte, in order. `stream` is 1 (stdout) or 2 (stderr). Thread-safe."""

    def write(self, step: str, stream: int, data: bytes) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a step. `number` counts from 1. When `cancel` is set the runner stops the step (grace, then
    kill) and returns a result with Reason.CANCELED; the caller knows whether it was a time limit."""

    number: int
    cancel: Cancel
    log: LogSink
    emit: Callable[[Event], None]
    #: True: what follows prepares the run and is not the step's own doing, its time stands still; False: it goes on
    hold: Callable[[bool], None] = lambda _: None
    #: this very attempt had begun in a process that died: what is left of it is taken over, its output from its first
    #: byte on; where nothing is left, the runner calls `anew` and makes the attempt from its beginning
    adopt: bool = False
    anew: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What a runner is told about a run besides its plan. Read-only for the runner.

    `context_dir` is the local folder whose content fills the workspace, None for no context; `context_identity` says
    what a folder that was fetched for this run holds, in words that are the same for the same files. `secrets` are
    the values to mask wherever the runner itself makes text. `build_secrets` are offered to builds by id.
    `build_args` go to every build beside those of its line: secret ones, which no plan may hold. `build_files` are
    files that a build line may name, by just these names, though the workspace does not hold them: a Dockerfile from
    elsewhere, its ignore file.
    """

    run_id: str
    registry: str = ""
    task_name: str = ""
    shared_volume: str = ""
    context_dir: str | None = None
    context_identity: str = ""
    platform: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    build_secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    build_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    #: SSH agents that build lines may name, by id: the path of a socket or of a private key. Never taken from a task.
    ssh: Mapping[str, str] = field(default_factory=dict)
    #: True: every step gets the engine's socket; None: only steps that run the `docker` or `buildx` image; False: none
    allow_docker_socket: bool | None = None
    #: the same for the registry logins of this machine
    allow_registry_logins: bool | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    #: labels for the images that are built, beside those of the base image; None: no labels but the author's own.
    #: Each must be the same for the same input, or no two builds would give the same image
    image_labels: Mapping[str, str] | None = None
    #: the run is to survive the death of this process: whatever is needed to go on with it is left on the engine
    durable: bool = False
    #: the run is gone on with: what a process that died has made for it is used again
    resumed: bool = False
    #: False: a step that asks for the engine's host (its folders, devices, namespaces, privileges) is refused
    allow_host_access: bool = True
    #: what each step may use at most, where it asks for nothing or for more: `cpus`, `memory` (bytes), `pids`
    step_limits: Mapping[str, float] = field(default_factory=dict)


class Runner(Protocol):
    """See the module's docstring for the contract."""

    def prepare(self, plan: Plan) -> None: ...

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult: ...

    def cleanup(self) -> None: ...
