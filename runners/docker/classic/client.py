"""One engine's classic builder: asks for a build, follows it, and says how it ended. Cancel closes the connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from runners.docker.buildkit.dial import Connect
from runners.docker.buildkit.failure import BuildCanceled, BuildFailed, BuildLost
from runners.docker.buildkit.guard import refuse_what_cannot_be_built
from runners.docker.buildkit.model import BuildOutcome, BuildRequest, Progress
from runners.docker.buildkit.source import Source, read_source
from taskengine.ambient import Ambient
from taskengine.errors import InvalidInput
from taskengine.runner import Cancel

from .exchange import Exchange, Refused
from .order import headers, query, refuse_what_needs_buildkit
from .pack import packed
from .report import Report

_LONGEST_S = 24 * 3600.0


class ClassicBuilder:
    """Thread-safe; each build has a connection of its own. `connect` opens one, `prefix` is the API's (`/v1.41`)."""

    def __init__(
        self,
        connect: Connect,
        *,
        prefix: str,
        guard: Callable[[bytes, BuildRequest], None] = refuse_what_cannot_be_built,
    ) -> None:
        self._connect = connect
        self._prefix = prefix
        self._guard = guard
        self._lock = threading.Lock()
        self._running: set[Exchange] = set()
        self._closed = False

    @property
    def platforms(self) -> tuple[str, ...]:
        """It builds for the engine's own platform, and does not say which that is."""
        return ()

    def read(self, request: BuildRequest) -> Source:
        """The Dockerfile above all, checked. Raises BuildFailed for what is wrong, or needs BuildKit."""
        source = read_source(request, self._guard)
        refuse_what_needs_buildkit(source.dockerfile, request)
        return source

    def build(
        self,
        request: BuildRequest,
        *,
        cancel: Cancel,
        progress: Callable[[Progress], None],
        source: Source | None = None,
    ) -> BuildOutcome:
        """Build and wait. Raises BuildFailed, BuildLost or BuildCanceled."""
        if cancel.is_set:
            raise BuildCanceled(cancel.reason or "canceled")
        source = source or self.read(request)
        name, body = packed(source, request)
        report = Report(progress, source.dockerfile, Ambient.system().now)
        deadline = request.deadline_s or _LONGEST_S
        late = threading.Event()
        try:
            exchange = Exchange(
                self._connect(), f"{self._prefix}/build?{query(request, name)}", headers(source.dockerfile, request)
            )
        except OSError as error:
            raise BuildLost(f"the engine does not take a build: {error}") from error

        def expire() -> None:
            late.set()
            exchange.close()

        timer = threading.Timer(deadline, expire)
        timer.daemon = True
        stop_listening = cancel.listen(exchange.close)
        with self._lock:
            self._running.add(exchange)
        try:
            timer.start()
            for message in exchange.run(body):
                report.take(message)
            return report.outcome()
        except Refused as error:
            raise BuildFailed(str(error)) from None
        except InvalidInput as error:
            raise BuildFailed(error.message, hint=error.hint) from None
        except (OSError, EOFError) as error:
            if late.is_set():
                raise BuildCanceled(f"the build took longer than {deadline:g} s") from None
            if cancel.is_set or self._closed:
                raise BuildCanceled(cancel.reason or "the client was closed") from None
            raise BuildLost(f"the engine or the connection to it went away during the build: {error}") from error
        finally:
            stop_listening()
            timer.cancel()
            exchange.close()
            with contextlib.suppress(ValueError):  # a generator that is running ends with the connection
                body.close()
            with self._lock:
                self._running.discard(exchange)

    def close(self) -> None:
        """Builds that run are canceled. May be called twice."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for exchange in running:
            exchange.close()
