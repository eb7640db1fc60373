"""The view for programs: every event and every log line as one JSON object a line on stdout, nothing else there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Self

from taskengine.cli.view.face import Pipe
from taskengine.runs.event import Event, plain, to_json

STREAMS = {1: "stdout", 2: "stderr"}
#: a line without an end is handed on in pieces of this size, marked `partial`, so that memory stays bounded
LONGEST = 1 << 20

_encode = json.JSONEncoder(ensure_ascii=False).encode


class JsonView:
    """Also a LogSink: a line of output becomes {"event": "log", "step": ..., "stream": ..., "text": ...}."""

    def __init__(self, out: Pipe, *, now: Callable[[], datetime]) -> None:
        self._out = out
        self._now = now
        self._lock = threading.Lock()
        self._tails: dict[tuple[str, int], bytearray] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            for key in list(self._tails):
                self._flush(key)

    def end(self, step: str) -> None:
        with self._lock:
            for key in [key for key in self._tails if key[0] == step]:
                self._flush(key)

    def event(self, event: Event) -> None:
        with self._lock:
            self._put(_encode(to_json(event)) + "\n")

    def say(self, text: str, level: str = "info") -> None:
        from taskengine.runs.event import Notice

        self.event(Notice(at=self._now(), message=text, level=level if level == "info" else "warning"))

    def interrupted(self) -> None:
        self.say("interrupted: stopping")

    def rescue(self) -> None:
        """Nothing to give back."""

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self._lock:
            tail = self._tails.setdefault((step, stream), bytearray())
            tail += data
            end = tail.rfind(b"\n")
            if end >= 0:
                whole = bytes(tail[:end])
                del tail[: end + 1]
                self._put(self._log(step, stream, whole.split(b"\n")))
            if len(tail) > LONGEST:
                piece = bytes(tail)
                tail.clear()
                self._put(self._log(step, stream, [piece], partial=True))

    def _flush(self, key: tuple[str, int]) -> None:
        tail = self._tails.pop(key)
        if tail:
            self._put(self._log(*key, [bytes(tail)]))

    def _log(self, step: str, stream: int, lines: list[bytes], *, partial: bool = False) -> str:
        """The lines as objects. Put together by hand: there may be millions, and only their text differs."""
        name = STREAMS.get(stream, str(stream))
        head = _encode({"event": "log", "at": plain(self._now()), "step": step, "stream": name, "text": ""})[:-3]
        tail = ', "partial": true}\n' if partial else "}\n"
        return "".join([f"{head}{_encode(line.decode('utf-8', 'replace'))}{tail}" for line in lines])

    def _put(self, text: str) -> None:
        if text:
            self._out.write(text.encode("utf-8", "replace"))
