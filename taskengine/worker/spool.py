"""A run's feed on this worker's disk: all that the run says, until the service has it, and through the worker's death.

The spool is written before anything is sent, so that a service that is away costs nothing but time, and a worker that
is killed finds, when it is back, what it had said. It is a LogSink, and a listener for events. Must not know HTTP.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from taskengine.ambient import Ambient
from taskengine.errors import InvalidInput, RunnerError
from taskengine.runs.decode import event_of
from taskengine.runs.event import Event, StepStarted, to_json
from taskengine.runs.feed import Frame, FrameKind, event_frame, frames, log_frames

_FEED, _LEASE = "feed", "lease.json"
_BLOCK = 1 << 20


class Lease(NamedTuple):
    """Which run this is, as the service named it: enough to ask for it again after a restart. Holds no secret."""

    run: str
    attempt: int
    epoch: int


class Spool:
    """Thread-safe. `folder` is this run's own, made when it is not there; what is in it already is gone on with."""

    def __init__(self, folder: Path, lease: Lease, ambient: Ambient) -> None:
        self.folder = folder
        self.lease = lease
        self._ambient = ambient
        self._changed = threading.Condition()
        self._sealed = False
        self._skip: dict[tuple[str, int], int] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(folder / _FEED, flags, 0o600)
        try:
            self._size = self._mend()
            _write_lease(folder / _LEASE, lease)
        except BaseException:
            os.close(self._file)
            raise

    def _mend(self) -> int:
        """Cut off the frame that a killed process was about to write; returns where the feed ends."""
        end = max((end for end, _ in self._frames()), default=0)
        os.ftruncate(self._file, end)
        return end

    def _frames(self) -> Iterator[tuple[int, Frame]]:
        data, base = b"", 0
        while block := os.pread(self._file, _BLOCK, base + len(data)):
            data += block
            used = 0
            for end, frame in frames(data):
                used = end
                yield base + end, frame
            data, base = data[used:], base + used

    # what was said before

    def events(self) -> Iterator[Event]:
        """The events so far that this version understands, oldest first."""
        for _, frame in self._frames():
            if frame.kind is FrameKind.EVENT and (event := event_of(frame.event)) is not None:
                yield event

    def skip_what_was_said(self) -> None:
        """From now on, drop of each step's output what the feed has of its newest attempt: a container that is
        adopted says it all again."""
        said: dict[tuple[str, int], int] = {}
        for _, frame in self._frames():
            if frame.kind is FrameKind.LOG:
                key = (frame.step, frame.stream)
                said[key] = said.get(key, 0) + len(frame.payload)
            elif isinstance(event := event_of(frame.event), StepStarted):
                said = {key: size for key, size in said.items() if key[0] != event.step}
        with self._changed:
            self._skip = said

    def forget(self, step: str) -> None:
        """A step's attempt is made anew: nothing of its output was said before."""
        with self._changed:
            self._skip = {key: size for key, size in self._skip.items() if key[0] != step}

    # what is said now

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, StepStarted):
            self.forget(event.step)
        self._append(event_frame(event.at, to_json(event)))

    def write(self, step: str, stream: int, data: bytes) -> None:
        """Take output, already masked."""
        with self._changed:
            if left := self._skip.get((step, stream), 0):
                self._skip[step, stream] = max(0, left - len(data))
                data = data[left:]
        if data:
            self._append(log_frames(self._ambient.now(), step, stream, data))

    def _append(self, data: bytes) -> None:
        with self._changed:
            try:
                written = os.write(self._file, data)
                while written < len(data):
                    written += os.write(self._file, data[written:])
            except OSError as error:
                os.ftruncate(self._file, self._size)
                raise RunnerError(
                    f"the worker cannot keep the run's log: {(error.strerror or str(error)).lower()}",
                    hint=f"make room on the disk of {self.folder}",
                ) from error
            self._size += len(data)
            self._changed.notify_all()

    # sending on

    def wait(self, offset: int, seconds: float) -> bool:
        """Wait until there is something after `offset`; False when time is over or nothing more will be said."""
        with self._changed:
            self._changed.wait_for(lambda: self._size > offset or self._sealed, seconds)
            return self._size > offset

    def read(self, offset: int, most: int) -> bytes:
        """Whole frames from `offset` on, at most `most` bytes unless one frame alone is longer."""
        want = most
        while True:
            with self._changed:  # so that nobody closes the file meanwhile
                end = self._size
                data = os.pread(self._file, min(want, end - offset), offset)
            whole = max((at for at, _ in frames(data)), default=0)
            if whole or offset + len(data) >= end:
                return data[:whole]
            want *= 2

    @property
    def size(self) -> int:
        with self._changed:
            return self._size

    def seal(self) -> None:
        """No more is said; whoever waits for more is told."""
        with self._changed:
            self._sealed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of the file. What was said stays on the disk."""
        self.seal()
        with self._changed:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def remove(self) -> None:
        """Everything has arrived, or nobody wants it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _write_lease(path: Path, lease: Lease) -> None:
    staging = path.with_suffix(".new")
    staging.write_text(json.dumps(lease._asdict()))
    staging.replace(path)


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Be the only process that goes on with the spools of a folder. Raises InvalidInput where another one does."""
    with folder.with_suffix(".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput(
                f"a worker called {name} runs on this machine already", hint="stop it, or give this one another name"
            ) from None
        yield


def left_behind(folder: Path) -> Iterator[tuple[Path, Lease | None]]:
    """The spools of an earlier life of this worker; None for one that does not say which run it was."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return
    for name in names:
        try:
            said = json.loads((folder / name / _LEASE).read_bytes())
            yield folder / name, Lease(run=str(said["run"]), attempt=int(said["attempt"]), epoch=int(said["epoch"]))
        except (OSError, ValueError, KeyError, TypeError):
            yield folder / name, None
