"""Feeds of runs: appended by the worker that holds the run, followed by whoever reads.

DATA/runs/RUN/ATTEMPT/feed holds the bytes, and `runs.feed_size` says how many of them count: bytes go to the file
first, then the database is told, in the transaction that also does what their frames mean. What lies beyond that size
is of an append that did not come to its end; it is written over by the next one, or cut off at start.

A file is flushed to the disk when a step or the run ends in it. Between those, a power cut (not a crash) may take the
newest bytes. Who finds the file shorter than the database says puts the size back, and the worker, which keeps its
spool until the run's end is acknowledged, sends them again; what is applied twice is so without harm. Must not know
HTTP.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from taskengine.errors import Conflict, InvalidInput, NotFound
from taskengine.runs.feed import Frame, FrameKind, frames
from taskengine.runs.model import RunStatus
from taskengine.service.store import queue, report
from taskengine.service.store.database import Database
from taskengine.service.store.feedfile import CHUNK, FeedFile, TooShort
from taskengine.service.store.rows import ACTIVE, clean
from taskengine.service.store.signals import QUEUE, Signals
from taskengine.service.store.tables import run_attempts, run_steps, runs
from taskengine.service.store.uploads import WrongOffset, disk_trouble

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
            row = self._checked(worker, run, epoch, offset, data, now)
            found = list(frames(data))
            if (found[-1][0] if found else 0) != len(data):
                raise InvalidInput("these bytes do not end with a whole frame", hint="send whole frames")
            if not found:
                return offset
            file = self._file(run, row.attempt)
            with _held(file):
                try:
                    file.put(offset, data, flush=any(_ends(frame) for _, frame in found))
                except TooShort:
                    raise WrongOffset(self._put_back(row, file, now)) from None
                except OSError as error:
                    raise disk_trouble(error, "log") from error
                applied = self._database.transact(
                    lambda conn: _note(conn, worker, run, epoch, offset, [frame for _, frame in found], len(data), now)
                )
            if applied is None:  # it was taken away while we wrote
                self._checked(worker, run, epoch, offset, data, now)
                raise Conflict("the run changed meanwhile", hint="send it again")
            with contextlib.suppress(OSError):  # the index is made from the feed when it is needed
                file.note(offset, found)
        self._signals.tell(topic(run), *([QUEUE] if applied.run_ended else []))
        return offset + len(data)

    def _checked(self, worker: str, run: str, epoch: int, offset: int, data: bytes, now: datetime) -> Row[Any]:
        with self._database.read() as conn:
            row = _row(conn, run)
        if row is None:
            raise NotFound(f"there is no run {run}")
        if not queue.holds(row, worker, epoch):
            with self._database.write() as conn:
                queue.report_late(conn, run, worker, epoch, _told(offset, data), now=now)
            raise Fenced(run)
        if offset != row.feed_size:
            raise WrongOffset(row.feed_size)
        return row

    # ---- the readers' side

    def state(self, run: str, attempt: int | None = None) -> FeedState:
        """How far an attempt's feed is; the present attempt's, unless told. Raises NotFound."""
        with self._database.read() as conn:
            c = runs.c
            row = conn.execute(select(c.status, c.attempt, c.feed_size).where(c.id == run)).first()
            if row is None:
                raise NotFound(f"there is no run {run}")
            size = row.feed_size
            if attempt is not None and attempt != row.attempt:
                mine = (run_attempts.c.run == run, run_attempts.c.attempt == attempt)
                size = conn.execute(select(run_attempts.c.feed_size).where(*mine)).scalar() or 0
        status = RunStatus(row.status)
        over = status.is_final or (attempt is not None and attempt < row.attempt)
        return FeedState(size=size, over=over, attempt=row.attempt, status=status)

    def wait(self, run: str, attempt: int, offset: int, timeout: float) -> FeedState:
        """Until the attempt's feed is longer than `offset`, or is over, or `timeout` seconds are up, or the service
        ends. Raises NotFound."""
        end = time.monotonic() + timeout
        with self._signals.watch(topic(run)) as watch:
            while True:
                state = self.state(run, attempt)
                left = end - time.monotonic()
                if state.size > offset or state.over or left <= 0 or self._signals.closed:
                    return state
                watch.wait(min(left, _LOOK_AGAIN))

    def read(self, run: str, attempt: int, offset: int = 0, most: int = CHUNK) -> bytes:
        """Whole frames from `offset` on, where one begins: about `most` bytes (but never less than one frame), and only
        such as count. Raises NotFound, Unreachable."""
        size = self.state(run, attempt).size
        try:
            return self._file(run, attempt).read(offset, size, most)
        except OSError as error:
            raise disk_trouble(error, "log") from error

    def frames(self, run: str, attempt: int, offset: int = 0) -> Iterator[tuple[int, Frame]]:
        """The frames that are here from `offset` on, each with the offset of its end in the feed."""
        while data := self.read(run, attempt, offset):
            for end, frame in frames(data):
                yield offset + end, frame
            offset += len(data)

    def text(self, run: str, attempt: int, step: str | None = None) -> Iterator[bytes]:
        """The output that is here, in pieces: all steps' as it came, or one step's. Raises NotFound for the run."""
        if step is None:
            yield from (frame.payload for _, frame in self.frames(run, attempt) if frame.kind is FrameKind.LOG)
            return
        size = self.state(run, attempt).size
        try:
            yield from self._file(run, attempt).output(step, size)
        except OSError as error:
            raise disk_trouble(error, "log") from error

    # ---- start, end

    def recover(self, *, now: datetime) -> list[str]:
        """At start, before workers are answered: cuts off what does not count, and where the disk has lost bytes that
        did, asks for them again by putting the size back. Returns the runs whose disk had lost some."""
        with self._database.read() as conn:
            held = conn.execute(select(runs.c.id, runs.c.attempt).where(runs.c.status.in_(ACTIVE))).all()
        return [run for run, attempt in held if self._mend(run, attempt, now)]

    def _mend(self, run: str, attempt: int, now: datetime) -> bool:
        """Whether the disk had lost some. Another service may be appending: both take turns."""
        file = self._file(run, attempt)
        with _held(file):
            with self._database.read() as conn:
                row = _row(conn, run)
            if row is None or row.attempt != attempt:
                return False
            size = file.size()
            if size > row.feed_size:
                file.cut(row.feed_size)
            elif size < row.feed_size:
                self._put_back(row, file, now)
        return bool(size < row.feed_size)

    def _put_back(self, row: Row[Any], file: FeedFile, now: datetime) -> int:
        """The database learns how much is really there. Returns that."""
        size = file.sound()
        file.cut(size)
        output: Counter[str] = Counter()
        at = 0
        while data := file.read(at, size):
            at += len(data)
            for _, frame in frames(data):
                if frame.kind is FrameKind.LOG:
                    output[frame.step] += len(frame.payload)
        with self._database.write() as conn:
            mine = (runs.c.number == row.number, runs.c.epoch == row.epoch)
            if conn.execute(runs.update().where(*mine).values(feed_size=size, updated=now)).rowcount:
                attempt = (run_attempts.c.run == row.id, run_attempts.c.attempt == row.attempt)
                conn.execute(run_attempts.update().where(*attempt).values(feed_size=size))
                steps = (run_steps.c.run == row.id, run_steps.c.attempt == row.attempt)
                conn.execute(run_steps.update().where(*steps).values(log_size=0))
                for step, count in output.items():
                    one = (*steps, run_steps.c.step == clean(step, 500))
                    conn.execute(run_steps.update().where(*one).values(log_size=count))
        return size

    def remove(self, run: str) -> None:
        """All attempts' feeds of a run that is gone."""
        shutil.rmtree(self._file(run, 1).folder.parent, ignore_errors=True)

    def strays(self, before: datetime) -> list[str]:
        """Folders of runs that the database does not know (any more), and that nobody has touched since."""
        present = sorted(path.name for path in self._folder.iterdir() if path.stat().st_mtime < before.timestamp())
        with self._database.read() as conn:
            known = set(conn.execute(select(runs.c.id)).scalars())
        return [name for name in present if name not in known and name.isalnum()]

    def size(self, run: str) -> int:
        """Bytes on the disk, of all attempts."""
        folder = self._file(run, 1).folder.parent
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def _file(self, run: str, attempt: int) -> FeedFile:
        if not run.isascii() or not run.isalnum():
            raise NotFound(f"there is no run {clean(run, 50)!r}")
        return FeedFile(self._folder / run / str(int(attempt)))

    @contextlib.contextmanager
    def _alone(self, run: str) -> Iterator[None]:
        """One append at a time for each run; a lock is kept while somebody wants it."""
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


@contextlib.contextmanager
def _held(file: FeedFile) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file.alone())
        except OSError as error:
            raise disk_trouble(error, "log") from error
        yield


def _note(
    conn: Connection, worker: str, run: str, epoch: int, offset: int, found: list[Frame], size: int, now: datetime
) -> report.Applied | None:
    """The bytes count from now on, and their frames are done. None when the run is not as it was when they came."""
    row = _row(conn, run, lock=True)
    if row is None or not queue.holds(row, worker, epoch) or row.feed_size != offset:
        return None
    values = {"feed_size": offset + size, "updated": now}
    conn.execute(runs.update().where(runs.c.number == row.number).values(**values))
    mine = (run_attempts.c.run == run, run_attempts.c.attempt == row.attempt)
    conn.execute(run_attempts.update().where(*mine).values(feed_size=offset + size))
    return report.apply(conn, row, found, now=now)


def _row(conn: Connection, run: str, *, lock: bool = False) -> Row[Any] | None:
    statement = select(runs).where(runs.c.id == run)
    return conn.execute(statement.with_for_update() if lock else statement).first()


def _ends(frame: Frame) -> bool:
    """Whether it tells that a step or the run is over: worth a flush of the disk."""
    return frame.kind is FrameKind.EVENT and any(word in frame.payload[:100] for word in (b"step.fin", b"run.fin"))


def _told(offset: int, data: bytes) -> str:
    """A late report, in a few words."""
    try:
        events = [frame.event.get("event", "?") for _, frame in frames(data) if frame.kind is FrameKind.EVENT]
    except (InvalidInput, ValueError, AttributeError):
        events = ["?"]
    return f"{len(data)} bytes at {offset}" + (f": {', '.join(map(str, events[:10]))}" if events else "")
