"""Turns what BuildKit tells about a build into the step's log and its progress events.

The log is BuildKit's own plain form, which people know from `docker build --progress=plain`:

    #5 [2/3] RUN make
    #5 ...output...
    #5 DONE 1.2s
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from runners.docker.buildkit.model import Progress, VertexLog, VertexStatus, VertexUpdate
from runners.docker.buildkit.tally import is_import
from taskengine.runner import Attempt
from taskengine.runs.event import StepProgress


class BuildLog:
    """Takes one build's progress from one thread. `close` ends a line that was left open."""

    def __init__(self, step: str, attempt: Attempt, now: Callable[[], datetime]) -> None:
        self._step = step
        self._attempt = attempt
        self._now = now
        self._numbers: dict[str, int] = {}
        self._said: dict[str, str] = {}
        self._open: tuple[str, int] | None = None

    def progress(self, update: Progress) -> None:
        if isinstance(update, VertexUpdate):
            self._vertex(update)
        elif isinstance(update, VertexLog):
            self._output(update)
        else:
            self._status(update)

    def _vertex(self, vertex: VertexUpdate) -> None:
        if vertex.started is None and not vertex.cached:
            return
        if is_import(vertex) and vertex.error:
            # a cache that is not there fails nothing; the step says once what became of it
            vertex = replace(vertex, error="", name=f"{vertex.name}: not there")
        status = _status(vertex)
        said = self._said.get(vertex.digest)
        if said == status or (said is not None and status == "started") or (said == "cached" and status == "done"):
            return  # BuildKit tells some vertexes again, each time it uses them
        if vertex.digest not in self._said:
            self._line(vertex.digest, vertex.name)
        self._said[vertex.digest] = status
        seconds = _seconds(vertex)
        if status != "started":
            word = {"cached": "CACHED", "done": f"DONE {seconds:.1f}s", "error": f"ERROR: {vertex.error}"}[status]
            self._line(vertex.digest, word)
        self._emit(vertex, status, seconds)

    def _emit(self, vertex: VertexUpdate, status: str, seconds: float) -> None:
        self._attempt.emit(
            StepProgress(
                at=self._now(), step=self._step, vertex=vertex.digest, name=vertex.name, status=status,
                inputs=vertex.inputs, duration=None if status == "started" else seconds, message=vertex.error,
            )
        )  # fmt: skip

    def _status(self, status: VertexStatus) -> None:
        self._attempt.emit(
            StepProgress(
                at=self._now(), step=self._step, vertex=status.vertex, name=status.name or status.id,
                status="done" if status.completed else "started", current=status.current, total=status.total,
            )
        )  # fmt: skip

    def _line(self, digest: str, text: str) -> None:
        self._end_line()
        self._write(1, f"#{self._number(digest)} {text}\n".encode())

    def _output(self, log: VertexLog) -> None:
        # every line of output carries its vertex's number, also when it comes in pieces
        mark = f"#{self._number(log.vertex)} ".encode()
        here = (log.vertex, log.stream)
        if self._open != here:
            self._end_line()
        data = log.data if self._open == here else mark + log.data
        ends = data.endswith(b"\n")
        body = data[:-1] if ends else data
        self._write(log.stream, body.replace(b"\n", b"\n" + mark) + (b"\n" if ends else b""))
        self._open = None if ends else here

    def _end_line(self) -> None:
        if self._open is not None:
            self._write(self._open[1], b"\n")
            self._open = None

    def _number(self, digest: str) -> int:
        return self._numbers.setdefault(digest, len(self._numbers) + 1)

    def _write(self, stream: int, data: bytes) -> None:
        self._attempt.log.write(self._step, stream, data)

    def close(self) -> None:
        self._end_line()


def _status(vertex: VertexUpdate) -> str:
    if vertex.error:
        return "error"
    if vertex.cached:
        return "cached"
    return "started" if vertex.completed is None else "done"


def _seconds(vertex: VertexUpdate) -> float:
    if vertex.started is None or vertex.completed is None:
        return 0.0
    return max(0.0, (vertex.completed - vertex.started).total_seconds())
