"""Remembers on disk which runs are under way, so that the next command can clean up after one that was killed.

A run's journal is one small file, locked (flock) for as long as the process lives: a journal whose lock can be had
belongs to a dead process. It is written before anything is made on the engine and deleted after all of it is gone.
Holds addresses and ids only, never a secret.

A run's own folder is locked in the same way. Where the data folder is gone together with its journals (that of a test
suite which was killed), the next run finds the folder by its name and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from runners.docker.connect import Endpoint
from taskengine.ambient import Ambient
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

#: the name of a run's own folder
_STRAY = pattern(r"acr-task-r[a-z0-9]{11}")
_STRAY_AGE = 3600.0


@dataclass(frozen=True, kw_only=True)
class Entry:
    run_id: str
    endpoint: Endpoint
    temp_dir: str


class Journal:
    """The journal of one run of this process. `temp_dir` is the run's own folder (mode 0700), removed with it."""

    def __init__(self, folder: Path, run_id: str, endpoint: Endpoint) -> None:
        self._folder = folder
        self._path = folder / f"{run_id}.json"
        self._entry = Entry(run_id=run_id, endpoint=endpoint, temp_dir=_short_temp_dir(run_id))
        self._file: IO[str] | None = None
        self._temp_lock = -1

    @property
    def temp_dir(self) -> Path:
        return Path(self._entry.temp_dir)

    def open(self) -> None:
        """Write and lock the journal, then make the folder. Raises OSError when the data folder is not writable."""
        self._folder.mkdir(parents=True, exist_ok=True)
        staging = self._path.with_suffix(".new")
        file = staging.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(asdict(self._entry), file)
        file.flush()
        staging.replace(self._path)  # appears whole and locked
        self._file = file
        shutil.rmtree(self.temp_dir, ignore_errors=True)  # of a process that died and whose run this goes on with
        self.temp_dir.mkdir(mode=0o700)
        self._temp_lock = os.open(self.temp_dir, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._temp_lock, fcntl.LOCK_EX)
        remove_strays(self.temp_dir.parent, Ambient.system().now().timestamp())

    def close(self) -> None:
        """Everything of the run is gone: forget it. Harmless when called again or before open."""
        if self._file is None:
            return
        shutil.rmtree(self.temp_dir, ignore_errors=True)
        self._unlock()
        self._path.unlink(missing_ok=True)
        self._file.close()
        self._file = None

    def abandon(self) -> None:
        """Something of the run could not be removed: leave the journal for the next command to try again."""
        if self._file is not None:
            self._unlock()
            self._file.close()
            self._file = None

    def _unlock(self) -> None:
        if self._temp_lock >= 0:
            os.close(self._temp_lock)
            self._temp_lock = -1


def remove_strays(base: Path, now: float) -> None:
    """Remove the folders of dead runs that no journal knows any more: ours, not locked, and an hour old at time `now`
    (seconds of the epoch), as a run that starts in this moment may not have its lock yet."""
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if _STRAY.fullmatch(entry.name) is not None:
                with contextlib.suppress(OSError):
                    _remove_stray(entry, now)


def _remove_stray(entry: os.DirEntry[str], now: float) -> None:
    found = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or now - found.st_mtime < _STRAY_AGE:
        return
    folder = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path, ignore_errors=True)
    finally:
        os.close(folder)


def _short_temp_dir(run_id: str) -> str:
    # a socket's path may have 107 bytes at most, so this cannot live below an arbitrary TMPDIR or data folder
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) if 0 < len(runtime) < 50 and Path(runtime).is_dir() else Path("/tmp")  # noqa: S108
    return str(base / f"acr-task-{run_id}")


def dead_runs(folder: Path) -> Iterator[tuple[Entry, Callable[[], None]]]:
    """The journals whose process is gone, each with a function that deletes it. Each stays locked while the caller
    deals with it; one that is not deleted stays for the next time."""
    try:
        paths = [Path(e.path) for e in os.scandir(folder) if e.name.endswith(".json")]
    except FileNotFoundError:
        return
    for path in paths:
        with contextlib.suppress(FileNotFoundError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its process lives
            if entry := _read(file):
                yield entry, functools.partial(_forget, path, entry)


def _forget(path: Path, entry: Entry) -> None:
    shutil.rmtree(entry.temp_dir, ignore_errors=True)
    path.unlink(missing_ok=True)


def _read(file: IO[str]) -> Entry | None:
    try:
        data = json.load(file)
        return Entry(run_id=data["run_id"], endpoint=Endpoint(**data["endpoint"]), temp_dir=data["temp_dir"])
    except (ValueError, KeyError, TypeError):
        return None
