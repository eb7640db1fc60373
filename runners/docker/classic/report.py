"""Turns what the classic builder prints into the progress that BuildKit gives as data: one step after another.

Docker and Podman print differently; both are understood. Pure but for the clock that it is handed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from runners.docker.buildkit.failure import BuildFailed, hint_for, plain
from runners.docker.buildkit.locate import line_of
from runners.docker.buildkit.model import BuildOutcome, Progress, VertexLog, VertexUpdate
from taskengine.lightpattern import pattern

_STEP = pattern(r"(?:Step (\d+)/(\d+) : |STEP (\d+)/(\d+): )(.*)")
_CACHED = pattern(r"\s*--->? Using cache")
_NOISE = pattern(r"\s*--->? |Removing intermediate container |COMMIT\b")
_BUILT = pattern(r"Successfully built (?:sha256:)?([0-9a-f]{12,64})\b")
_BARE_ID = pattern(r"(?:sha256:)?([0-9a-f]{64})\s*")
_CODE = pattern(r"(?:non-zero code: |exit status |exited with code )(\d+)")
_KEPT_LINES = 20


class Report:
    """One build. `take` is given each message of the engine; `outcome` what came of it."""

    def __init__(self, progress: Callable[[Progress], None], dockerfile: bytes, now: Callable[[], datetime]) -> None:
        self._progress = progress
        self._dockerfile = dockerfile
        self._now = now
        self._vertexes: list[VertexUpdate] = []
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._image = ""

    def take(self, message: Mapping[str, Any]) -> None:
        """Raises BuildFailed when the message says so."""
        if "error" in message or "errorDetail" in message:
            raise self._failed(message)
        if isinstance(aux := message.get("aux"), dict) and aux.get("ID"):
            self._image = str(aux["ID"])
        text = message.get("stream")
        if isinstance(text, str):
            for line in text.splitlines(keepends=True):
                self._line(line)

    def _line(self, line: str) -> None:
        if step := _STEP.match(line):
            self._begin(step[1] or step[3], step[2] or step[4], step[5].strip())
        elif _CACHED.match(line):
            self._update(cached=True)
        elif built := _BUILT.match(line) or _BARE_ID.fullmatch(line):
            self._image = self._image or built[1]
        elif self._vertexes and line.strip() and not _NOISE.match(line):
            self._lines.append(line.rstrip("\n"))
            self._progress(
                VertexLog(vertex=self._vertexes[-1].digest, stream=1, data=line.encode(), timestamp=self._now())
            )

    def _begin(self, number: str, of: str, words: str) -> None:
        self._finish()
        self._lines.clear()
        inputs = (self._vertexes[-1].digest,) if self._vertexes else ()
        vertex = VertexUpdate(
            digest=f"step-{number}", name=f"[{number}/{of}] {words}", inputs=inputs, started=self._now()
        )
        self._vertexes.append(vertex)
        self._progress(vertex)

    def _finish(self) -> None:
        if self._vertexes and self._vertexes[-1].completed is None:
            self._update(completed=self._now())

    def _update(self, **changes: Any) -> None:
        if self._vertexes:
            self._vertexes[-1] = replace(self._vertexes[-1], **changes)
            self._progress(self._vertexes[-1])

    def _failed(self, message: Mapping[str, Any]) -> BuildFailed:
        detail = message.get("errorDetail")
        detail = detail if isinstance(detail, dict) else {}
        error = message.get("error")
        text = str(detail.get("message") or (error if isinstance(error, str) else "") or "the build failed").strip()
        code = detail.get("code")
        if not code and (found := _CODE.search(text)):
            code = int(found[1])
        self._update(error=text, completed=self._now())
        name = self._vertexes[-1].name if self._vertexes else ""
        return BuildFailed(
            f"{name}: exit code {code}" if code and name else plain(text),
            hint=hint_for(text),
            exit_code=int(code) if code else None,
            vertex=name,
            line=line_of(self._dockerfile, message=text, vertex=name),
            log=tuple(self._lines),
        )

    def outcome(self) -> BuildOutcome:
        """Raises EOFError when the engine stopped talking before there was an image."""
        if not self._image:
            raise EOFError("the engine ended its answer without an image")
        self._finish()
        image = self._image if ":" in self._image or len(self._image) < 64 else f"sha256:{self._image}"
        return BuildOutcome(image_id=image, vertexes=tuple(self._vertexes))
