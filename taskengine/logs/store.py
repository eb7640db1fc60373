"""Keeps a run's output in a folder: the raw bytes of each step in a file of its own, and, if asked, their order.

`<step>.log` holds a step's bytes, stdout and stderr as they arrived; `order.jsonl` has one entry per write, so that
the merged log can be read back byte for byte. Files are for their owner only. Comes after the mask.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

_ORDER = "order.jsonl"


class Piece(NamedTuple):
    step: str
    stream: int
    data: bytes


class FileLog:
    """A LogSink that writes into `folder`, which is made when it is not there. `close` it when the run is over.

    Files of an earlier run are replaced. A disk that is full stops the logging, not the run: `failure` says why.
    """

    def __init__(self, folder: Path, *, keep_order: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = threading.Lock()
        self._order = _open(folder / _ORDER, anew=True) if keep_order else None
        self._files: dict[str, BufferedWriter] = {}
        self._begun: set[str] = set()
        self.failure = ""

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self._lock:
            if self.failure:
                return
            try:
                self._write(step, stream, data)
            except OSError as error:
                self._fail(self._folder / file_name(step), error)

    def _write(self, step: str, stream: int, data: bytes) -> None:
        file = self._files.get(step)
        if file is None:
            file = self._files[step] = _open(self._folder / file_name(step), anew=step not in self._begun)
            self._begun.add(step)
        if self._order is not None:
            entry = {"step": step, "stream": stream, "at": file.tell(), "size": len(data)}
            self._order.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        file.write(data)

    def end(self, step: str) -> None:
        """Let go of a step's file; it is opened again should the step have more to say."""
        with self._lock:
            file = self._files.pop(step, None)
            if file is not None:
                self._close(self._folder / file_name(step), file)

    def close(self) -> None:
        with self._lock:
            for step, file in self._files.items():
                self._close(self._folder / file_name(step), file)
            self._files.clear()
            if self._order is not None:
                self._close(self._folder / _ORDER, self._order)

    def _close(self, path: Path, file: BufferedWriter) -> None:
        """What was still in the buffer may be what finds the disk full."""
        try:
            file.close()
        except OSError as error:
            self._fail(path, error)
            with contextlib.suppress(OSError):
                file.raw.close()

    def _fail(self, path: Path, error: OSError) -> None:
        if not self.failure:
            self.failure = f"{path}: {(error.strerror or str(error)).lower()}"


def read(folder: Path) -> Iterator[Piece]:
    """All that was written, in the order in which it was (only where the order was kept)."""
    with (folder / _ORDER).open("rb") as order:
        for line in order:
            entry = json.loads(line)
            with (folder / file_name(entry["step"])).open("rb") as file:
                file.seek(entry["at"])
                yield Piece(entry["step"], entry["stream"], file.read(entry["size"]))


def file_name(step: str) -> str:
    """A file name for a step id, whatever the id holds; different ids have different names."""
    safe = quote(step, safe="")
    if len(safe) > 150:
        safe = f"{safe[:100]}-{sha256(step.encode()).hexdigest()}"
    return f"{safe}.log"


def _open(path: Path, *, anew: bool) -> BufferedWriter:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if anew else 0)
    return os.fdopen(os.open(path, flags, 0o600), "ab")
