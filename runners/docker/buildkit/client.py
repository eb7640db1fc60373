"""BuildKit of one engine, for one run: the face that the Docker runner sees.

Knows when to try again and what to tidy up. What speaks gRPC is loaded with the first use, not with this module.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskengine.errors import RunnerError, Unreachable
from taskengine.runner import Cancel

from .dial import Dial, EngineRefused
from .failure import BuildCanceled, BuildLost
from .guard import refuse_what_cannot_be_built
from .model import BuildOutcome, BuildRequest, Progress
from .source import Source, read_source

if TYPE_CHECKING:
    from .channel import Channel
    from .receive import Load

_ANSWER_S = 10.0


Guard = Callable[[bytes, BuildRequest], None]


class BuildKit:
    """Thread-safe; several builds may run at once, each with a session of its own, over one channel.

    `guard` sees every Dockerfile before the engine does, and raises what build() then raises. `load` is for a BuildKit
    that is not the engine's own: it is given each image as an archive, to bring it to the engine.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        guard: Guard = refuse_what_cannot_be_built,
        load: Load | None = None,
        name: str = "the engine",
    ) -> None:
        self._dial = dial
        self._guard = guard
        self._load = load
        self._name = name
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._closed = False
        self._asking = threading.Lock()
        self._available: bool | None = None
        self._platforms: tuple[str, ...] = ()

    def available(self) -> bool:
        """Whether this engine builds with BuildKit: Docker since 18.09 does, Podman does not. Asked once."""
        with self._asking:
            if self._available is None:
                self._available = self._ask()
            return self._available

    @property
    def platforms(self) -> tuple[str, ...]:
        """What the engine can build for ("linux/amd64", ...), its own platform first."""
        return self._platforms if self.available() else ()

    def _ask(self) -> bool:
        channel = self._open()
        from .link import CallError, Status

        try:
            workers = list(channel.workers(timeout=_ANSWER_S))
        except EngineRefused:
            return False
        except (OSError, CallError) as error:
            if isinstance(error, CallError) and error.status is Status.UNIMPLEMENTED:
                return False
            raise Unreachable(
                f"{self._name} cannot be asked for BuildKit: {error}", hint=f"is {self._name} running?"
            ) from error
        self._platforms = tuple(dict.fromkeys(p for worker in workers for p in worker["platforms"]))
        return bool(workers)

    def warm_up(self) -> None:
        """Load what a build needs."""
        from . import solve  # noqa: F401

    def read(self, request: BuildRequest) -> Source:
        """What `build` would read first: the Dockerfile above all, checked. Raises BuildFailed for what is wrong."""
        return read_source(request, self._guard)

    def build(
        self,
        request: BuildRequest,
        *,
        cancel: Cancel,
        progress: Callable[[Progress], None],
        source: Source | None = None,
    ) -> BuildOutcome:
        """Build and wait. Raises BuildFailed, BuildLost or BuildCanceled; `progress` is called from another thread.

        `source` is what `read` gave for this request, or for one that differs in labels and names only.

        A build that is lost is asked for once more, with a new session: what was done already is in the cache.
        """
        if cancel.is_set:
            raise BuildCanceled(cancel.reason or "canceled")
        if source is None:
            source = self.read(request)
        channel = self._open()
        from .solve import Attempt

        attempt = Attempt(
            channel=channel, dial=self._dial, source=source, cancel=cancel, progress=progress, load=self._load
        )
        for last in (False, True):
            try:
                return attempt.run(request)
            except Exception as error:
                if cancel.is_set or self._closed:
                    raise BuildCanceled(cancel.reason or "the client was closed") from error
                if last or not isinstance(error, BuildLost):
                    raise
        raise AssertionError("unreachable")

    def _open(self) -> Channel:
        with self._lock:
            if self._closed:
                raise RunnerError("BuildKit's client is closed")
            if self._channel is None:
                from .channel import Channel

                self._channel = Channel(self._dial)
            return self._channel

    def close(self) -> None:
        """Leave nothing behind; builds that run are canceled. May be called twice, and before anything was built."""
        with self._lock:
            self._closed = True
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
