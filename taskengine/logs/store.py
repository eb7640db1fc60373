"""Keeps a run's output in a folder: the raw bytes of each step in a file of its own, and the order they came in.

`<step>.log` holds a step's bytes, stdout and stderr as they arrived; `order.jsonl` has one entry per write, so that
the merged log can be read back byte for byte. Files are for their owner only. Comes after the mask.
"""

from __future__ import annotations

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
    """A LogSink that writes into `folder`, which is made when it is not there. `close` it when the run is over."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = threading.Lock()
        self._order = _open(folder / _ORDER)
        self._files: dict[str, BufferedWriter] = {}

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self._lock:
            file = self._files.get(step)
            if file is None:
                file = self._files[step] = _open(self._folder / file_name(step))
            at = file.tell()
            file.write(data)
            entry = {"step": step, "stream": stream, "at": at, "size": len(data)}
            self._order.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def end(self, step: str) -> None:
        """Let go of a step's file; it is opened again should the step have more to say."""
        with self._lock:
            file = self._files.pop(step, None)
            if file is not None:
                file.close()

    def close(self) -> None:
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()
            self._order.close()


def read(folder: Path) -> Iterator[Piece]:
    """All that was written, in the order in which it was."""
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


def _open(path: Path) -> BufferedWriter:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "ab")
