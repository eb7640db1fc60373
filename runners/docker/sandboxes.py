"""Finds each step a network namespace that is there already: its lane's, or one that a step has done with.

Lanes come first: their sandboxes are started ahead of their steps' turns and carry the names of all of them. Any other
step takes a sandbox that stands free and is renamed for it. Where many steps wait to be started, a few more sandboxes
are made, which those steps then use in turn. A step for which there is none takes a namespace of its own: nobody waits
for a namespace to become free. So that a name always means one address, a sandbox gives up its old names before its
next step starts, and never carries the name of a step that went elsewhere.

Knows steps' ids and networks, not containers of steps.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import field
from typing import Protocol

from runners.docker.lanes import Lane
from runners.docker.once import Crew
from taskengine.lightclass import dataclass


class Keeper(Protocol):
    """Makes sandboxes on the engine, renames and removes them. Each call blocks, and raises what the engine refuses."""

    def start_sandbox(self, number: int, network: str, names: Iterable[str]) -> str:
        """Returns the id of the container; `number` is this sandbox's alone."""

    def rename_sandbox(self, container: str, network: str, names: Iterable[str]) -> None:
        """The old names mean nothing any more when this returns, and the address may be another."""

    def remove_sandbox(self, container: str) -> None: ...


@dataclass(eq=False, slots=True)
class _Sandbox:
    """`step` is the one that has it now, if any. While it is `changing`, its names are neither the old nor the new."""

    container: str
    network: str
    names: tuple[str, ...]
    step: str | None
    changing: bool = False


@dataclass(eq=False, slots=True)
class _Course:
    """What became of a lane: its sandbox once that is begun, whom it serves (`names`), and who went elsewhere before
    (`direct`). `held` is the sandbox's container once a step has joined it."""

    lane: Lane
    sandbox: Future[str] | None = None
    names: tuple[str, ...] = ()
    direct: set[str] = field(default_factory=set)
    held: str = ""

    def begin(self) -> Future[str] | None:
        """Settle the names of the sandbox; None when there is nobody left to use it."""
        self.names = tuple(step for step in self.lane.steps if step not in self.direct)
        self.sandbox = Future() if self.names else None
        return self.sandbox


class Sandboxes:
    """Thread-safe. `starts_at_once` is how many steps can have their turn at the same time, `most` how many sandboxes
    are made at most because further ones wait; those of lanes are not counted."""

    def __init__(self, keeper: Keeper, *, starts_at_once: int, most: int) -> None:
        self._keeper = keeper
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._networks: dict[str, str] = {}
        self._courses: dict[str, _Course] = {}
        self._coming: set[str] = set()  # steps that start at once and have not come yet
        self._pool: list[_Sandbox] = []
        self._starts_at_once = starts_at_once
        self._to_make = self._most = most
        # one at a time: a start keeps a processor busy that the running steps want
        self._ahead = Crew(1, "sandbox")

    # lanes

    def warm(self, lanes: Sequence[Lane]) -> None:
        """Say which steps may share, and begin to start the sandboxes of lanes that pay: a lane of one step that starts
        at once gains nothing from one, and one of two no more than it costs where the steps queue anyway.

        Of the lanes that start at once the first one's first step waits for its sandbox, which costs less than two
        namespaces; the others' first steps would wait too long and go elsewhere.
        """
        self._networks |= {step: lane.network for lane in lanes for step in lane.steps}
        self._coming |= {lane.steps[0] for lane in lanes if lane.at_once}
        pays = 3 if len(self._coming) > self._starts_at_once else 2
        promised = False
        for lane in lanes:
            if lane.at_once and len(lane.steps) < pays:
                continue
            course = _Course(lane)
            with self._changed:
                self._courses |= dict.fromkeys(lane.steps, course)
                if lane.at_once and not promised:
                    course.begin()
                elif lane.at_once:
                    course.direct.add(lane.steps[0])
                promised = promised or lane.at_once
            try:
                self._ahead.submit(self._start_ahead, course)
            except RuntimeError as error:  # the run ended meanwhile, or no thread is to be had
                if course.sandbox is not None:
                    course.sandbox.set_exception(error)

    def _start_ahead(self, course: _Course) -> None:
        lane = course.lane
        with self._changed:
            if course.sandbox is None and len(lane.steps) == 1 and self._free(lane.network) is not None:
                return  # what stands free serves as well
            future = course.sandbox or course.begin()
        if future is None:
            return
        try:
            future.set_result(self._keeper.start_sandbox(next(self._numbers), lane.network, course.names))
        except BaseException as error:  # noqa: BLE001 - its steps then go elsewhere
            future.set_exception(error)

    def await_lane(self, step: str) -> None:
        """Return when the step's sandbox is there, if one was begun for it."""
        with self._changed:
            future = self._begun(step)
        if future is not None:
            with contextlib.suppress(CancelledError):
                future.exception()

    def _begun(self, step: str) -> Future[str] | None:
        course = self._courses.get(step)
        return course.sandbox if course is not None and step not in course.direct else None

    # a step's turn

    def take(self, step: str, *, queue: int = 0) -> str | None:
        """The container whose network namespace the step joins from now on, until it leaves; None: it has its own.

        `queue` is how many steps wait to be started. Blocks while a sandbox is renamed or made for this step.
        """
        if step not in self._networks:
            return None
        with self._changed:
            self._coming.discard(step)
            queue = max(queue, len(self._coming) - self._starts_at_once + 1)
            course, future = self._courses.get(step), self._begun(step)
            if course is not None and future is None:
                course.direct.add(step)
        if course is not None and future is not None:
            with contextlib.suppress(Exception):  # see _start_ahead
                course.held = future.result()
                return course.held
        return self._reuse(step) or self._make(step, queue)

    def _reuse(self, step: str) -> str | None:
        with self._changed:
            # a sandbox that this step had before may just be losing its name
            self._changed.wait_for(lambda: not any(s.changing and step in s.names for s in self._pool))
            found = self._free(self._networks[step], step)
            if found is None:
                return None
            found.step = step
            if step in found.names:
                return found.container
            found.changing = True
        try:
            self._keeper.rename_sandbox(found.container, found.network, (step,))
        except Exception:  # noqa: BLE001 - whatever the engine cannot do, the step can do without
            self._drop(found)
            return None
        with self._changed:
            found.names, found.changing = (step,), False
            self._changed.notify_all()
        return found.container

    def _free(self, network: str, step: str = "") -> _Sandbox | None:
        """One that nobody has, best the one that carries the step's name."""
        free = [s for s in self._pool if s.step is None and s.network == network]
        return next((s for s in free if step in s.names), free[0] if free else None)

    def _drop(self, sandbox: _Sandbox) -> None:
        """Remove one that cannot be renamed, names and all, and make no more that could not be either."""
        with contextlib.suppress(Exception):  # the run's clean-up asks again
            self._keeper.remove_sandbox(sandbox.container)
        with self._changed:
            self._pool.remove(sandbox)
            self._to_make = 0
            self._changed.notify_all()

    def _make(self, step: str, queue: int) -> str | None:
        """One more for the pool, if so many wait that each will be used again."""
        with self._changed:
            if self._to_make <= 0 or queue <= 2 * (self._most - self._to_make):
                return None
            self._to_make -= 1
        network = self._networks[step]
        try:
            container = self._keeper.start_sandbox(next(self._numbers), network, (step,))
        except Exception:  # noqa: BLE001 - a step's own namespace may still be had
            with self._changed:
                self._to_make = 0
            return None
        with self._changed:
            self._pool.append(_Sandbox(container, network, (step,), step))
        return container

    def leave(self, step: str) -> None:
        """The step's container has ended. Not to be called when that is not certain: its sandbox is then never used
        again."""
        with self._changed:
            for sandbox in self._pool:
                if sandbox.step == step:
                    sandbox.step = None
            course = self._courses.get(step)
            if course is None or not course.held or step != course.names[-1]:
                return
            for each in course.lane.steps:  # it was the last one
                del self._courses[each]
            self._pool.append(_Sandbox(course.held, course.lane.network, course.names, None))

    def close(self, *, wait: bool = True) -> None:
        """Start no more ahead; return when none is being started."""
        self._ahead.close(drop=True, wait=wait)
        with self._changed:
            begun = {course.sandbox for course in self._courses.values() if course.sandbox is not None}
        for future in begun:
            future.cancel()  # promised and never begun
