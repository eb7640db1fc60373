"""One attempt's feed on the disk: its bytes, and an index that says where each step's output is. Knows files and
frames. Must not know the database, nor what an event means.

The index has a file for each step: offset and length in the feed, 8 bytes each, big-endian. It is written after the
bytes were acknowledged, so it only ever tells of bytes that count; `upto` says how far it goes, and what it lacks after
a crash is filled in from the feed by whoever needs it next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from taskengine.errors import InvalidInput
from taskengine.logs.store import file_name
from taskengine.runs.feed import LARGEST_PIECE, Frame, FrameKind, frames, whole

CHUNK = 4 * LARGEST_PIECE
_RANGE = struct.Struct(">QQ")
_UPTO = struct.Struct(">Q")
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW

Found = Sequence[tuple[int, Frame]]


class TooShort(Exception):
    """The file ends before the place where bytes should be put: the disk has lost some."""


class FeedFile:
    """The feed in `folder`, which is made when bytes come. Methods raise OSError when the disk does not do its part."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "feed"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else, of all processes, appends or cuts meanwhile. Makes the folder."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, _FLAGS, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def put(self, offset: int, data: bytes, *, flush: bool) -> None:
        """Writes at `offset`, over whatever is there. Raises TooShort."""
        handle = os.open(self.path, _FLAGS, 0o600)
        try:
            if os.fstat(handle).st_size < offset:
                raise TooShort
            _write(handle, data, offset)
            if flush:
                os.fdatasync(handle)
        finally:
            os.close(handle)

    def size(self) -> int:
        """Bytes on the disk, whether they count or not."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def cut(self, size: int) -> None:
        """Takes away what is beyond `size`, and the index when it knows more than that."""
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.path, size)
        with self._index() as upto:
            if upto is not None and _read_upto(upto) > size:
                shutil.rmtree(self.folder / "index")

    def sound(self) -> int:
        """How many bytes from the start are whole frames."""
        at, size = 0, self.size()
        with contextlib.suppress(InvalidInput):
            while data := self.read(at, size):
                at += len(data)
        return at

    def read(self, begin: int, end: int, most: int = CHUNK) -> bytes:
        """The whole frames between two places: about `most` bytes, more when the first is longer. Empty for none."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return b""
        try:
            while begin < end:
                data = os.pread(handle, min(most, end - begin), begin)
                if (taken := whole(data)) or most >= end - begin:
                    return data[:taken]
                most *= 4
            return b""
        finally:
            os.close(handle)

    def note(self, base: int, found: Found) -> None:
        """Adds frames that begin at `base` to the index, where it goes that far; where it does not, it will be filled
        in later. `found` has the end of each, counted from `base`."""
        with self._index(make=True) as upto:
            if upto is not None and found and _read_upto(upto) == base:
                self._add(base, found)
                os.pwrite(upto, _UPTO.pack(base + found[-1][0]), 0)

    def output(self, step: str, size: int) -> Iterator[bytes]:
        """The output of one step within the first `size` bytes, in pieces."""
        self._fill(size)
        try:
            entries = (self.folder / "index" / file_name(step)).read_bytes()
        except FileNotFoundError:
            return
        at = 0  # after a crash, a range may be there twice
        for offset, length in _RANGE.iter_unpack(entries[: len(entries) // _RANGE.size * _RANGE.size]):
            begin, end = max(at, offset), min(offset + length, size)
            while data := self.read(begin, end):
                begin += len(data)
                for _, frame in frames(data):
                    if frame.kind is FrameKind.LOG and frame.step == step:
                        yield frame.payload
            at = max(at, end)

    def _fill(self, size: int) -> None:
        if not size:
            return
        with self._index(make=True) as upto:
            if upto is None:
                return
            at = _read_upto(upto)
            while data := self.read(at, size):
                self._add(at, list(frames(data)))
                at += len(data)
                os.pwrite(upto, _UPTO.pack(at), 0)

    def _add(self, base: int, found: Found) -> None:
        for step, entries in _ranges(base, found).items():
            handle = os.open(self.folder / "index" / file_name(step), _FLAGS, 0o600)
            try:
                end = os.fstat(handle).st_size // _RANGE.size * _RANGE.size  # half an entry is of a crash
                _write(handle, b"".join(_RANGE.pack(*entry) for entry in entries), end)
            finally:
                os.close(handle)

    @contextlib.contextmanager
    def _index(self, *, make: bool = False) -> Iterator[int | None]:
        """The open `upto`, for one at a time, of all processes; None when there is none (and it is not to be made)."""
        folder = self.folder / "index"
        try:
            if make and self.folder.is_dir():
                folder.mkdir(exist_ok=True, mode=0o700)
            handle = os.open(folder / "upto", _FLAGS if make else _FLAGS & ~os.O_CREAT, 0o600)
        except FileNotFoundError:
            yield None
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)


def _read_upto(handle: int) -> int:
    data = os.pread(handle, _UPTO.size, 0)
    return int(_UPTO.unpack(data)[0]) if len(data) == _UPTO.size else 0


def _ranges(base: int, found: Found) -> dict[str, list[tuple[int, int]]]:
    """Where each step's output is, neighbours as one."""
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


def _write(handle: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, at)
        at += written
        view = view[written:]
