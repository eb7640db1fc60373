"""Feeds of runs on the service's disk: appended by the worker that holds the run, followed by whoever reads.

DATA/runs/RUN/ATTEMPT/feed holds the bytes, and `runs.feed_size` says how many of them count: bytes go to the file
first, then the database is told, in the transaction that also does what their frames mean. What lies beyond that size
is of an append that did not come to its end; it is written over by the next one, or cut off at start.

A file is flushed to the disk when a step or the run ends in it. Between those, a power cut (not a crash) may take the
newest bytes, and the start finds the file shorter than the database says: the size is put back, and the worker, which
keeps its spool until the run's end is acknowledged, sends them again. What it sends twice is applied twice, harmlessly.

An index for each step (DATA/runs/RUN/ATTEMPT/index/STEP: offset and length in the feed, 8 bytes each, big-endian)
says where its output is, so that one step's log costs no more than its own bytes. It holds nothing that the feed does
not, and is made anew from it when it is not there. Must not know HTTP.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from taskengine.errors import Conflict, InvalidInput, NotFound
from taskengine.logs.store import file_name
from taskengine.runs.feed import LARGEST_PIECE, Frame, FrameKind, frames, whole
from taskengine.runs.model import RunStatus
from taskengine.service.store import queue, report
from taskengine.service.store.database import Database
from taskengine.service.store.rows import ACTIVE
from taskengine.service.store.signals import QUEUE, Signals
from taskengine.service.store.tables import run_attempts, runs
from taskengine.service.store.uploads import WrongOffset, disk_trouble

_RANGE = struct.Struct(">QQ")
_CHUNK = 4 * LARGEST_PIECE
#: how long a follower waits before it looks whether another process has appended
_LOOK_AGAIN = 1.0


class Fenced(Conflict):
    """The worker does not hold the run (any more): what it sent changed nothing, and was noted as a late report."""

    def __init__(self, run: str) -> None:
        super().__init__(f"this worker does not hold run {run}", hint="stop it and clean up")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedState:
    """`size` bytes of an attempt's feed are here; `over` when no more will come. The rest is the run's own."""

    size: int
    over: bool
    attempt: int
    status: RunStatus


class Feeds:
    """All feeds below `folder`. Threads may share it."""

    def __init__(self, database: Database, folder: Path, signals: Signals) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = database
        self._folder = folder
        self._signals = signals
        self._locks: dict[str, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()

    # ---- the worker's side

    def append(self, worker: str, run: str, epoch: int, offset: int, data: bytes, *, now: datetime) -> int:
        """Takes whole frames at `offset`, does what they mean, and returns where the copy ends now: those bytes are
        safe. All of it happens, or nothing.

        Raises Fenced for a worker that does not hold the run under this epoch, WrongOffset when the copy ends
        elsewhere, InvalidInput for bytes that are no whole frames, OutOfSpace, Unreachable."""
        with self._alone(run):
            with self._database.read() as conn:
                seen = _row(conn, run)
            row = self._check(seen, worker, run, epoch, offset, data, now)
            found = list(frames(data))
            if (found[-1][0] if found else 0) != len(data):
                raise InvalidInput("these bytes do not end with a whole frame", hint="send whole frames")
            place = self._place(run, row.attempt)
            ends = any(frame.kind is FrameKind.EVENT and _ends(frame) for _, frame in found)
            self._keep(place, offset, data, found, flush=ends)
            size = offset + len(data)

            def note(conn: Connection) -> report.Applied | None:
                row = _row(conn, run, lock=True)
                if row is None or not queue.holds(row, worker, epoch) or row.feed_size != offset:
                    return None
                conn.execute(runs.update().where(runs.c.number == row.number).values(feed_size=size, updated=now))
                mine = (run_attempts.c.run == run, run_attempts.c.attempt == row.attempt)
                conn.execute(run_attempts.update().where(*mine).values(feed_size=size))
                return report.apply(conn, row, (frame for _, frame in found), now=now)

            applied = self._database.transact(note)
            if applied is None:  # it was taken away while we wrote
                with self._database.read() as conn:
                    seen = _row(conn, run)
                self._check(seen, worker, run, epoch, offset, data, now)
                raise Conflict("the run changed meanwhile", hint="send it again")
        self._signals.tell(topic(run), *([QUEUE] if applied.run_ended else []))
        return size

    def _check(
        self, row: Row[Any] | None, worker: str, run: str, epoch: int, offset: int, data: bytes, now: datetime
    ) -> Row[Any]:
        if row is None:
            raise NotFound(f"there is no run {run}")
        if not queue.holds(row, worker, epoch):
            with self._database.write() as conn:
                queue.report_late(conn, run, worker, epoch, _told(offset, data), now=now)
            raise Fenced(run)
        if offset != row.feed_size:
            raise WrongOffset(row.feed_size)
        return row

    def _keep(self, place: Path, offset: int, data: bytes, found: list[tuple[int, Frame]], *, flush: bool) -> None:
        if not data:
            return
        try:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(place / "feed", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if os.fstat(handle).st_size < offset:
                    raise Conflict(
                        f"the service's copy of this feed is shorter than {offset} bytes: its disk has lost some",
                        hint="restart the service; it then asks for them again",
                    )
                _write(handle, data, offset)
                if flush:
                    os.fdatasync(handle)
            finally:
                os.close(handle)
            self._keep_index(place, offset, found)
        except OSError as error:
            raise disk_trouble(error, "log") from error

    def _keep_index(self, place: Path, base: int, found: list[tuple[int, Frame]]) -> None:
        folder = place / "index"
        folder.mkdir(exist_ok=True, mode=0o700)
        for step, entries in _ranges(base, found).items():
            handle = os.open(folder / file_name(step), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                end = os.fstat(handle).st_size // _RANGE.size * _RANGE.size  # half an entry is of a crash
                _write(handle, b"".join(_RANGE.pack(*entry) for entry in entries), end)
            finally:
                os.close(handle)

    # ---- the readers' side

    def state(self, run: str, attempt: int | None = None) -> FeedState:
        """How far an attempt's feed is; the present attempt's, unless told. Raises NotFound."""
        with self._database.read() as conn:
            row = _row(conn, run)
            if row is None:
                raise NotFound(f"there is no run {run}")
            wanted = attempt or row.attempt
            mine = (run_attempts.c.run == run, run_attempts.c.attempt == wanted)
            found = conn.execute(select(run_attempts).where(*mine)).first()
        status = RunStatus(row.status)
        over = status.is_final or wanted < row.attempt
        return FeedState(size=found.feed_size if found else 0, over=over, attempt=row.attempt, status=status)

    def wait(self, run: str, attempt: int, offset: int, timeout: float) -> FeedState:
        """Until the attempt's feed is longer than `offset`, or is over, or the run has moved on to another attempt, or
        `timeout` seconds are up. Raises NotFound."""
        deadline = _Clock(timeout)
        with self._signals.watch(topic(run)) as watch:
            while True:
                state = self.state(run, attempt)
                left = deadline.left()
                if state.size > offset or state.over or left <= 0 or self._signals.closed:
                    return state
                watch.wait(min(left, _LOOK_AGAIN))

    def read(self, run: str, attempt: int, offset: int = 0, most: int = _CHUNK) -> bytes:
        """Whole frames from `offset` on, where one begins: about `most` bytes (but never less than one frame), and only
        such as count. Raises NotFound."""
        size = self.state(run, attempt).size
        return _whole_frames(self._path(run, attempt), offset, size, most)

    def frames(self, run: str, attempt: int, offset: int = 0) -> Iterator[tuple[int, Frame]]:
        """The frames that are here from `offset` on, each with the offset of its end in the feed."""
        while data := self.read(run, attempt, offset):
            for end, frame in frames(data):
                yield offset + end, frame
            offset += len(data)

    def text(self, run: str, attempt: int, step: str | None = None) -> Iterator[bytes]:
        """The output that is here, in pieces: all steps' as it came, or one step's. Raises NotFound for the run."""
        if step is None:
            for _, frame in self.frames(run, attempt):
                if frame.kind is FrameKind.LOG:
                    yield frame.payload
            return
        size = self.state(run, attempt).size
        at = 0  # an append that was done again has its ranges twice
        for offset, length in self._index(run, attempt, step, size):
            end = min(offset + length, size)
            yield from self._pieces(run, attempt, step, max(at, offset), end)
            at = max(at, end)

    def _pieces(self, run: str, attempt: int, step: str, begin: int, end: int) -> Iterator[bytes]:
        while data := _whole_frames(self._path(run, attempt), begin, end, _CHUNK):
            begin += len(data)
            for _, frame in frames(data):
                if frame.kind is FrameKind.LOG and frame.step == step:
                    yield frame.payload

    def _index(self, run: str, attempt: int, step: str, size: int) -> Iterator[tuple[int, int]]:
        place = self._place(run, attempt)
        if size and not (place / "index").is_dir():
            self._reindex(place, size)
        with contextlib.suppress(FileNotFoundError):
            data = (place / "index" / file_name(step)).read_bytes()
            yield from _RANGE.iter_unpack(data[: len(data) // _RANGE.size * _RANGE.size])

    # ---- start, end

    def recover(self, *, now: datetime) -> list[str]:
        """At start, before anybody appends: cuts off what does not count, and where the disk has lost bytes that did,
        asks for them again by putting the size back. Returns the runs whose disk had lost some."""
        with self._database.read() as conn:
            rows = conn.execute(select(runs).where(runs.c.status.in_(ACTIVE))).all()
        short = []
        for row in rows:
            path = self._place(row.id, row.attempt) / "feed"
            real = path.stat().st_size if path.exists() else 0
            if real > row.feed_size:
                os.truncate(path, row.feed_size)
            elif real < row.feed_size:
                size = self._whole(path, real)
                if path.exists():
                    os.truncate(path, size)
                self._put_back(row, size, now)
                shutil.rmtree(path.parent / "index", ignore_errors=True)
                short.append(row.id)
        return short

    def _put_back(self, row: Row[Any], size: int, now: datetime) -> None:
        with self._database.write() as conn:
            mine = (runs.c.number == row.number, runs.c.epoch == row.epoch)
            conn.execute(runs.update().where(*mine).values(feed_size=size, updated=now))
            attempt = (run_attempts.c.run == row.id, run_attempts.c.attempt == row.attempt)
            conn.execute(run_attempts.update().where(*attempt).values(feed_size=size))

    def _whole(self, path: Path, size: int) -> int:
        at = 0
        with contextlib.suppress(InvalidInput):
            while data := _whole_frames(path, at, size, _CHUNK):
                at += len(data)
        return at

    def _reindex(self, place: Path, size: int) -> None:
        at = 0
        while data := _whole_frames(place / "feed", at, size, _CHUNK):
            self._keep_index(place, at, list(frames(data)))
            at += len(data)

    def remove(self, run: str) -> None:
        """All attempts' feeds of a run that is gone."""
        shutil.rmtree(self._place(run, 1).parent, ignore_errors=True)

    def stray(self) -> list[str]:
        """Folders of runs that the database does not know (any more)."""
        present = sorted(path.name for path in self._folder.iterdir())
        with self._database.read() as conn:
            return [name for name in present if _row(conn, name) is None]

    def sizes(self, run: str) -> int:
        """Bytes on the disk, of all attempts."""
        return sum(path.stat().st_size for path in self._place(run, 1).parent.rglob("*") if path.is_file())

    def _path(self, run: str, attempt: int) -> Path:
        return self._place(run, attempt) / "feed"

    def _place(self, run: str, attempt: int) -> Path:
        if not run.isascii() or not run.isalnum():
            raise NotFound(f"there is no run {run!r}")
        return self._folder / run / str(int(attempt))

    @contextlib.contextmanager
    def _alone(self, run: str) -> Iterator[None]:
        """One append at a time for each run; locks are kept while somebody wants them."""
        with self._guard:
            lock, count = self._locks.get(run, (threading.Lock(), 0))
            self._locks[run] = (lock, count + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                _, count = self._locks[run]
                if count == 1:
                    del self._locks[run]
                else:
                    self._locks[run] = (lock, count - 1)


def topic(run: str) -> str:
    """What is told when a run's feed or state has changed."""
    return f"run:{run}"


class _Clock:
    def __init__(self, seconds: float) -> None:
        import time

        self._monotonic = time.monotonic
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - self._monotonic()


def _row(conn: Connection, run: str, *, lock: bool = False) -> Row[Any] | None:
    statement = select(runs).where(runs.c.id == run)
    return conn.execute(statement.with_for_update() if lock else statement).first()


def _ends(frame: Frame) -> bool:
    return b".finished" in frame.payload[:200] and frame.event.get("event") in ("step.finished", "run.finished")


def _ranges(base: int, found: list[tuple[int, Frame]]) -> dict[str, list[tuple[int, int]]]:
    """Where each step's frames are, neighbours as one."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    begin = 0
    for end, frame in found:
        if frame.kind is FrameKind.LOG:
            mine = ranges.setdefault(frame.step, [])
            if mine and sum(mine[-1]) == base + begin:
                mine[-1] = (mine[-1][0], mine[-1][1] + end - begin)
            else:
                mine.append((base + begin, end - begin))
        begin = end
    return ranges


def _told(offset: int, data: bytes) -> str:
    """A late report, in a few words."""
    try:
        events = [frame.event.get("event", "?") for _, frame in frames(data) if frame.kind is FrameKind.EVENT]
    except (InvalidInput, ValueError, AttributeError):
        events = ["?"]
    return f"{len(data)} bytes at {offset}" + (f": {', '.join(map(str, events[:10]))}" if events else "")


def _whole_frames(path: Path, begin: int, end: int, most: int) -> bytes:
    """The whole frames between two places of a file: about `most` bytes, more when the first is longer. Empty when
    there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise disk_trouble(error, "log") from error
    try:
        while begin < end:
            data = os.pread(handle, min(most, end - begin), begin)
            if (taken := whole(data)) or most >= end - begin:
                return data[:taken]
            most *= 4
        return b""
    finally:
        os.close(handle)


def _write(handle: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, at)
        at += written
        view = view[written:]
