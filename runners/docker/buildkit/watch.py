"""Follows a build while it runs: decodes BuildKit's status stream, hands it on, and remembers what the end will need.

Knows the wire's messages, and no engine: it reads any iterator of them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from .failure import exit_code_of
from .model import Progress, VertexLog, VertexStatus, VertexUpdate
from .tally import is_import

_KEPT_LINES = 20
_KEPT_BYTES = 16 * 1024


class Watch:
    """One build's progress. `follow` runs in a thread of its own; everything else may be asked from any other."""

    def __init__(self, progress: Callable[[Progress], None]) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._vertexes: dict[str, VertexUpdate] = {}
        self._logs: dict[str, deque[bytes]] = {}
        self.seen = threading.Event()

    def follow(self, responses: Iterable[Any]) -> None:
        for response in responses:
            self.seen.set()
            for item in decode(response):
                self._remember(item)
                self._progress(item)

    def _remember(self, item: Progress) -> None:
        with self._lock:
            if isinstance(item, VertexUpdate):
                self._vertexes[item.digest] = item
            elif isinstance(item, VertexLog):
                kept = self._logs.setdefault(item.vertex, deque())
                kept.append(item.data[-_KEPT_BYTES:])
                while sum(map(len, kept)) - len(kept[0]) > _KEPT_BYTES:
                    kept.popleft()

    def vertexes(self) -> tuple[VertexUpdate, ...]:
        with self._lock:
            return tuple(self._vertexes.values())

    def last_lines(self, vertex: str) -> tuple[str, ...]:
        with self._lock:
            text = b"".join(self._logs.get(vertex, ())).decode("utf-8", "replace")
        return tuple(text.splitlines()[-_KEPT_LINES:])

    def culprit(self) -> VertexUpdate | None:
        """The vertex that made the build fail: others end with it, canceled, and are not to blame."""
        failed = [v for v in self.vertexes() if v.error and not is_import(v)]
        to_blame = [v for v in failed if "context canceled" not in v.error] or failed
        return next((v for v in to_blame if exit_code_of(v.error) is not None), to_blame[0] if to_blame else None)


def decode(response: Any) -> Iterator[Progress]:
    """The items of one status message, vertexes first, so that what the others refer to is known."""
    for v in response.vertexes:
        yield VertexUpdate(
            digest=v.digest,
            name=_text(v.name),
            inputs=tuple(v.inputs),
            cached=v.cached,
            started=_time(v, "started"),
            completed=_time(v, "completed"),
            error=_text(v.error),
        )
    for s in response.statuses:
        yield VertexStatus(
            id=_text(s.ID),
            vertex=s.vertex,
            name=_text(s.name),
            current=s.current,
            total=s.total,
            timestamp=_time(s, "timestamp"),
            started=_time(s, "started"),
            completed=_time(s, "completed"),
        )
    for log in response.logs:
        yield VertexLog(vertex=log.vertex, stream=log.stream, data=log.msg, timestamp=_time(log, "timestamp"))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _time(message: Any, name: str) -> datetime | None:
    stamp = getattr(message, name)
    if stamp is None:
        return None
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)
