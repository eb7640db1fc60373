"""Reads a compressed file as a stream of what is in it: gzip, bzip2, xz, zstd or nothing, told by its first bytes.

Every way in is bounded: a dictionary or window in memory, the size of what comes out, and its ratio to the file.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from typing import IO, Any

from taskengine.context.model import MIB, Deadline, Limits, size_of
from taskengine.errors import InvalidInput, RunnerError

#: the most memory that a decoder may take (xz -9 needs 65 MiB, zstd --ultra -22 needs 128 MiB)
_WINDOW = 160 * MIB
_CHUNK = 1 << 16
_CHECK_EVERY = 4 * MIB

_ZIP = b"PK\x03\x04"
#: what decoders raise for bytes that are not theirs
BROKEN = (zlib.error, lzma.LZMAError, EOFError, OSError)


def kind_of(head: bytes) -> str:
    """`gzip`, `bzip2`, `xz`, `zstd`, `zip`, `tar`, or "" for none of them. `head` is the first 512 bytes."""
    for kind, magic in (("gzip", b"\x1f\x8b"), ("bzip2", b"BZh"), ("xz", b"\xfd7zXZ\0"), ("zstd", b"\x28\xb5\x2f\xfd")):
        if head.startswith(magic):
            return kind
    if head.startswith(_ZIP):
        return "zip"
    return "tar" if head[257:262] == b"ustar" or _is_header(head) else ""


def _is_header(head: bytes) -> bool:
    """Whether this is the header of an archive older than `ustar`, or an empty archive."""
    if len(head) < 512:
        return False
    if not any(head):
        return True
    try:
        written = int(head[148:156].strip(b" \0") or b"-1", 8)
    except ValueError:
        return False
    return written == sum(head[:148]) + 8 * 32 + sum(head[156:512])


class Unpacked(io.RawIOBase):
    """What comes out of a file, counted. Raises InvalidInput once it is too much."""

    def __init__(self, file: IO[bytes], kind: str, *, packed: int, limits: Limits, deadline: Deadline) -> None:
        self._stream = _decoder(file, kind)
        self._packed = max(packed, 1)
        self._limits = limits
        self._deadline = deadline
        self._count = 0
        self._checked = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _CHUNK:
            size = _CHUNK
        data: bytes = self._stream.read(size)
        self._count += len(data)
        if self._count > self._limits.unpacked:
            raise InvalidInput(f"the archive holds more than {size_of(self._limits.unpacked)}")
        if self._count > self._limits.ratio_from and self._count > self._limits.ratio * self._packed:
            raise InvalidInput(
                f"the archive is a bomb: its {size_of(self._packed)} unpack to more than {size_of(self._count - 1)}"
            )
        if self._count - self._checked > _CHECK_EVERY:
            self._checked = self._count
            self._deadline.check()
        return data


def _decoder(file: IO[bytes], kind: str) -> Any:
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if kind == "bzip2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return _Xz(file)
    if kind == "zstd":
        return _zstd(file)
    return file


def _zstd(file: IO[bytes]) -> Any:
    try:
        import zstandard
    except ImportError:
        raise RunnerError(
            "this archive is compressed by zstd, for which the package zstandard is missing",
            hint="pip install zstandard",
        ) from None
    return _Zstd(zstandard.ZstdDecompressor(max_window_size=_WINDOW), file, zstandard.ZstdError)


class _Zstd:
    """The stream of a zstd file, with errors like those of the other decoders."""

    def __init__(self, decompressor: Any, file: IO[bytes], error: type[Exception]) -> None:
        self._reader = decompressor.stream_reader(file, read_across_frames=True)
        self._error = error

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except self._error as error:
            raise EOFError(str(error)) from None
        return data


class _Xz:
    """The stream of an xz file; unlike lzma.LZMAFile it bounds the decoder's memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder: lzma.LZMADecompressor | None = None
        self._given = b""

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder is None:
                # further streams may follow the first, with zeros between them
                self._given = self._given.lstrip(b"\0") or self._file.read(_CHUNK).lstrip(b"\0")
                if not self._given:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_WINDOW)
            if self._decoder.needs_input and not self._given:
                self._given = self._file.read(_CHUNK)
                if not self._given:
                    raise EOFError("the xz stream ends early")
            data = self._decoder.decompress(self._given, max_length=size)
            self._given = b""
            if self._decoder.eof:
                self._given, self._decoder = self._decoder.unused_data, None
            if data:
                return data
