"""Remembers on disk which images of an engine are a worker's own doing: pulled by its runs, or built by them.

An engine may have been there before the worker, with images of others. So a name that it knew already, and that is not
in this book, is never written into it: what is not here is nobody's to remove. A book that cannot be written or read
costs nothing but images that stay. Thread-safe. Must not know the engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

#: how exact `used` is: not each step is worth a write
_EXACT = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An image. `name` is empty for one that was built without any; `used` is when a run last needed it."""

    name: str
    image_id: str
    how: str
    used: datetime

    @property
    def key(self) -> str:
        return f"{self.name}|{self.image_id}"


class ImageBook:
    """One worker's book, in one file. `now` is the clock of the day."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._entries = _read(path)

    def made(self, name: str, image_id: str, how: str, *, before: str | None) -> None:
        """A run has pulled or built the image. `before` is the id of what had its name until then, None for nothing."""
        if not image_id:
            return
        with self._lock:
            if before is not None and not self._knows(name, before):
                return  # the name is somebody else's, and so is what it stands for
            entry = Entry(name=name, image_id=image_id, how=how, used=self._now())
            self._entries[entry.key] = entry
            self._write()

    def used(self, name: str, image_id: str) -> None:
        """A run needs the image, whoever brought it."""
        with self._lock:
            known = self._entries.get(f"{name}|{image_id}")
            if known is not None and self._now() - known.used > _EXACT:
                self._entries[known.key] = replace(known, used=self._now())
                self._write()

    def forget(self, entry: Entry) -> None:
        """It is gone, or has become somebody else's. One that was used since stays."""
        with self._lock:
            if self._entries.get(entry.key) == entry:
                del self._entries[entry.key]
                self._write()

    def entries(self) -> tuple[Entry, ...]:
        """All of them, the longest unused first."""
        with self._lock:
            return tuple(sorted(self._entries.values(), key=lambda entry: (entry.used, entry.key)))

    def is_stale(self, entry: Entry) -> bool:
        """Whether it was used since it was read, or is not in the book any more."""
        with self._lock:
            return self._entries.get(entry.key) != entry

    def _knows(self, name: str, image_id: str) -> bool:
        return f"{name}|{image_id}" in self._entries

    def _write(self) -> None:
        staging = self._path.with_suffix(".new")
        text = json.dumps([{**asdict(e), "used": e.used.isoformat()} for e in self._entries.values()])
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
            staging.replace(self._path)
        except OSError:  # a full disk fails no run; the next write tells all of it again
            with contextlib.suppress(OSError):
                staging.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Entry]:
    try:
        said = json.loads(path.read_bytes())
        entries = [
            Entry(
                name=str(one["name"]), image_id=str(one["image_id"]), how=str(one["how"]),
                used=datetime.fromisoformat(one["used"]),
            )
            for one in said
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {entry.key: entry for entry in entries if entry.used.tzinfo is not None}
