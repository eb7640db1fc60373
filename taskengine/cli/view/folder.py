"""`--log-dir`: each step's output as a file of its own, byte for byte, both streams in the order they came."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO
from urllib.parse import quote

from taskengine.errors import InvalidInput


class FolderSink:
    """Files are open while their step talks. A disk that is full stops the logging, not the run."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"--log-dir {folder}: {(error.strerror or str(error)).lower()}") from error
        self._lock = threading.Lock()
        self._files: dict[str, IO[bytes]] = {}
        self._begun: set[str] = set()
        self.failure = ""

    def path(self, step: str) -> Path:
        """`<step>.log`; a step's id may hold what a file name may not."""
        return self._folder / f"{quote(step, safe='')[:200] or '_'}.log"

    def write(self, step: str, stream: int, data: bytes) -> None:  # noqa: ARG002 - the streams are one file
        with self._lock:
            if self.failure:
                return
            try:
                file = self._files.get(step)
                if file is None:
                    file = self._files[step] = self._open(step)
                file.write(data)
            except OSError as error:
                self.failure = f"{self.path(step)}: {(error.strerror or str(error)).lower()}"

    def end(self, step: str) -> None:
        with self._lock:
            file = self._files.pop(step, None)
            if file is not None:
                file.close()

    def close(self) -> None:
        for step in list(self._files):
            self.end(step)

    def _open(self, step: str) -> IO[bytes]:
        # A step that writes again (a retry, a detached one) goes on in its file; an earlier run's file is replaced.
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if step in self._begun else os.O_TRUNC)
        self._begun.add(step)
        return os.fdopen(os.open(self.path(step), flags, 0o600), "wb")
