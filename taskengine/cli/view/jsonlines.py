"""The view for programs: every event and every log line as one JSON object a line on stdout, nothing else there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Self

from taskengine.cli.view.face import Pipe
from taskengine.logs.lines import Lines
from taskengine.runs.event import Event, LogLine, Notice, to_json

STREAMS = {1: "stdout", 2: "stderr"}
#: a line longer than this becomes several events
LONGEST = 1 << 20

_encode = json.JSONEncoder(ensure_ascii=False).encode
_TEXT = '"text": ""'


class JsonView:
    """Also a LogSink: lines of output become `log` events."""

    def __init__(self, out: Pipe, *, now: Callable[[], datetime]) -> None:
        self._out = out
        self._now = now
        self._lock = threading.Lock()
        self._lines = Lines(LONGEST)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            for (step, stream), rest in self._lines.end_all():
                self._log(step, stream, [rest])

    def end(self, step: str) -> None:
        with self._lock:
            for (_, stream), rest in self._lines.end(step):
                self._log(step, stream, [rest])

    def event(self, event: Event) -> None:
        with self._lock:
            self._put(_encode(to_json(event)) + "\n")

    def say(self, text: str, level: str = "info") -> None:
        self.event(Notice(at=self._now(), message=text, level=level if level == "info" else "warning"))

    def interrupted(self) -> None:
        self.say("interrupted: stopping")

    def rescue(self) -> None:
        """Nothing to give back."""

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self._lock:
            for text, is_whole in self._lines.feed(step, stream, data):
                if is_whole:
                    self._log(step, stream, text[:-1].split(b"\n"))
                else:
                    self._log(step, stream, [text], continues=True)

    def _log(self, step: str, stream: int, lines: list[bytes], *, continues: bool = False) -> None:
        """The lines as LogLine events. There may be millions, and only their text differs: the rest is made once."""
        name = STREAMS.get(stream, str(stream))
        empty = _encode(to_json(LogLine(at=self._now(), step=step, stream=name, text="", continues=continues)))
        head, _, tail = empty.rpartition(_TEXT)
        head, tail = head + _TEXT[:-2], tail + "\n"
        self._put("".join([f"{head}{_encode(line.decode('utf-8', 'replace'))}{tail}" for line in lines]))

    def _put(self, text: str) -> None:
        self._out.write(text.encode("utf-8", "replace"))
