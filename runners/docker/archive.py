"""Makes an archive that the engine hands out fit for a build.

The engine's GetArchive wraps what is asked for in a folder of its name, while BuildKit wants that folder's content; and
BuildKit takes an archive in Python's default format for a Dockerfile. So it is written anew in GNU format as it passes.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterable


def rebased(chunks: Iterable[bytes], *, single: int = 0) -> io.BufferedIOBase:
    """The archive without its first path component, as a stream; with `single`, the one file in it, which has at most
    so many bytes."""
    import tarfile

    source = io.BufferedReader(_Chunks(chunks), buffer_size=1 << 18)  # type: ignore[type-var]
    if single:
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for member in tar:
                if member.isfile() and (file := tar.extractfile(member)) is not None:
                    if member.size > single:
                        raise OSError(errno.EFBIG, f"it is larger than {single} bytes", member.name)
                    return io.BytesIO(file.read())
        raise FileNotFoundError
    read_end, write_end = os.pipe()
    threading.Thread(target=_rewrite, args=(source, write_end), name="rebase-context", daemon=True).start()
    return os.fdopen(read_end, "rb")


def _rewrite(source: io.BufferedReader, write_end: int) -> None:
    import tarfile

    try:
        with (
            os.fdopen(write_end, "wb") as out,
            tarfile.open(fileobj=source, mode="r|") as old,
            tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as new,
        ):
            for member in old:
                _, _, member.name = member.name.partition("/")
                if not member.name:
                    continue
                if member.islnk():
                    _, _, member.linkname = member.linkname.partition("/")
                member.pax_headers = {}
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    except (BrokenPipeError, tarfile.TarError, OSError):
        pass  # the reader sees a short archive and says so; when it gave up first, nobody is interested


class _Chunks(io.RawIOBase):
    """A raw stream over an iterable of byte strings."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
