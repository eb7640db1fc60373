"""Reads what strangers wrote to a folder: ordinary files only, never outside of that folder, never without an end.

A path is walked one component at a time from a folder that is held open, and no link is left to the kernel: a link is
read and walked in the same way, so it may lead elsewhere in the folder but not out of it, and whoever swaps a folder
for a link meanwhile wins nothing. Must not know what the files mean.
"""

from __future__ import annotations

import errno
import os
import stat
import weakref
from pathlib import Path
from typing import BinaryIO

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40


class LeadsOut(OSError):
    """A link or `..` on the path leads out of the folder."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EXDEV, "it leads out of its folder", path)


class NoPlainFile(OSError):
    """A pipe, a device or a socket is where a file should be."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EINVAL, "it is no ordinary file", path)


class TooLarge(OSError):
    def __init__(self, path: str, largest: int) -> None:
        super().__init__(errno.EFBIG, f"it is larger than {largest} bytes", path)


class Folder:
    """A folder, held open: it stays this one whatever happens to its path. Raises OSError when it cannot be opened."""

    def __init__(self, path: str | Path) -> None:
        """`path` is trusted: links on it are followed."""
        self._hold(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def _hold(self, handle: int) -> None:
        self._handle = handle
        weakref.finalize(self, os.close, handle)

    def fileno(self) -> int:
        return self._handle

    def folder(self, path: str) -> Folder:
        """A folder below this one."""
        found = Folder.__new__(Folder)
        found._hold(self._walk(path, _FOLDER))
        return found

    def open(self, path: str) -> BinaryIO:
        """An ordinary file below this folder."""
        handle = self._walk(path, _FILE)
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            os.close(handle)
            raise IsADirectoryError(errno.EISDIR, "it is a folder", path) if stat.S_ISDIR(mode) else NoPlainFile(path)
        return open(handle, "rb", buffering=0)  # noqa: PTH123  (a file descriptor)

    def read(self, path: str, *, largest: int) -> bytes:
        """All of an ordinary file below this folder, which has at most so many bytes."""
        with self.open(path) as raw, open(raw.fileno(), "rb", closefd=False) as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            raise TooLarge(path, largest)
        return data

    def _walk(self, path: str, flags: int) -> int:
        """Opens what is at the path. `way` are the folders down to where we are: `..` goes back along it, so that a
        folder which was moved meanwhile leads nowhere else."""
        way = [os.open(".", _FOLDER, dir_fd=self._handle)]
        rest, links = _parts(path), 0
        try:
            while rest:
                name = rest.pop(0)
                if name == "..":
                    if len(way) == 1:
                        raise LeadsOut(path)
                    os.close(way.pop())
                    continue
                try:
                    handle = os.open(name, _FOLDER if rest else flags, dir_fd=way[-1])
                except OSError as error:
                    target = _link(name, way[-1])
                    if target is None:
                        raise error from None
                    links += 1
                    if links > _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                    if target.startswith("/"):
                        raise LeadsOut(path) from None
                    rest = _parts(target) + rest
                    continue
                if not rest:
                    return handle
                way.append(handle)
            return os.dup(way[-1])
        finally:
            for handle in way:
                os.close(handle)


def _parts(path: str) -> list[str]:
    if path.startswith("/"):
        raise LeadsOut(path)
    return [part for part in path.split("/") if part not in ("", ".")]


def _link(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None
