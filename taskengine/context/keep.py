"""Keeps the fetched contexts of one run on disk, and makes sure that they go: at its end, or after its process died.

Each run's contexts have one folder and one lock beside the runs' journals, held for as long as the process lives: a
lock that can be had belongs to a dead process, and the next command removes its folder. What is removed follows from
the lock's name and not from anything written in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from taskengine.context.fetch import OciFetch, fetch
from taskengine.context.model import Access, Fetched, Limits, Notice, Stop
from taskengine.context.source import parse_context
from taskengine.errors import Interrupted

#: ends as a run's journal does, so that one look into the folder finds either
_LOCK = ".context.json"
_LIMITS = Limits()
_TICK = 0.05


class Contexts:
    """The fetched contexts of one run. Thread-safe; a context that is asked for twice is fetched once."""

    def __init__(
        self,
        name: str,
        *,
        folder: Path,
        journals: Path,
        access: Access,
        limits: Limits = _LIMITS,
        oci: OciFetch | None = None,
    ) -> None:
        self._folder = folder / name
        self._lock_path = journals / f"{name}{_LOCK}"
        self._access = access
        self._limits = limits
        self._oci = oci
        self._mutex = threading.Lock()
        self._lock_file: IO[str] | None = None
        self._closed = False
        self._by_text: dict[str, _Slot] = {}

    def fetch(
        self,
        text: str,
        *,
        stop: Stop | None = None,
        notice: Notice = lambda _text: None,
        stdin: IO[bytes] | None = None,
    ) -> Fetched:
        """The context that `text` names, on this disk until `close`. Raises as `fetch.fetch` does."""
        context = parse_context(text)
        with self._mutex:
            self._open()
            slot = self._by_text.setdefault(text, _Slot(self._folder / str(len(self._by_text))))
        with slot.mine(stop):
            if slot.fetched is None:
                slot.fetched = fetch(
                    context,
                    into=slot.folder,
                    access=self._access,
                    limits=self._limits,
                    stop=stop,
                    notice=notice,
                    stdin=stdin,
                    oci=self._oci,
                )
            return slot.fetched

    def close(self) -> None:
        """Remove everything that was fetched. Harmless when called again, or when nothing was."""
        with self._mutex:
            self._closed = True
            if self._lock_file is None:
                return
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                self._lock_path.unlink(missing_ok=True)
            self._lock_file.close()
            self._lock_file = None

    def _open(self) -> None:
        if self._closed:
            raise ValueError("these contexts are closed")
        if self._lock_file is not None:
            return
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        staging = self._lock_path.with_suffix(".new")
        file = staging.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        staging.replace(self._lock_path)  # appears locked
        self._lock_file = file
        self._folder.mkdir(mode=0o700, parents=True)


class _Slot:
    """One context: where it goes, and what is known of it once it is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mutex = threading.Lock()
        self.fetched: Fetched | None = None

    @contextlib.contextmanager
    def mine(self, stop: Stop | None) -> Iterator[None]:
        """Wait for whoever fetches it, for as long as nobody says stop."""
        while not self._mutex.acquire(timeout=_TICK):
            if stop is not None and stop.is_set:
                raise Interrupted("fetching the context was stopped")
        try:
            yield
        finally:
            self._mutex.release()


def sweep_contexts(folder: Path, journals: Path) -> tuple[str, ...]:
    """Remove the contexts of processes that are gone. Returns the names of the runs whose contexts they were."""
    try:
        locks = [Path(entry.path) for entry in os.scandir(journals) if entry.name.endswith(_LOCK)]
    except FileNotFoundError:
        return ()
    swept = []
    for path in locks:
        name = path.name.removesuffix(_LOCK)
        with contextlib.suppress(FileNotFoundError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process lives
            if name:
                shutil.rmtree(folder / name, ignore_errors=True)
            path.unlink(missing_ok=True)
            swept.append(name)
    return tuple(swept)
