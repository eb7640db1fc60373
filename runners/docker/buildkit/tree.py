"""The files of a context as BuildKit sees them: what is there, in its order, and how it is read.

A tree is a folder of this machine or a few files held in memory. The folder's content may be written by strangers while
it is read (a step can run in it), so no symbolic link is ever followed on the way to a file.

Must not know gRPC or sessions.
"""

from __future__ import annotations

import hashlib
import io
import operator
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import BinaryIO, Protocol

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.plainfile import Folder, LeadsOut

from .ignore import IgnoreMatcher, Marks

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_MODE_DIR, _MODE_LINK = 1 << 31, 1 << 27
_CAPABILITY = "security.capability"
#: What include and exclude patterns know of a folder.
_Marks = tuple[Marks, Marks]
_NO_MARKS: _Marks = (0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link. `mode` has Go's bits; owner and group are always root, as in every build context."""

    path: str
    mode: int
    size: int = 0
    mtime_ns: int = 0
    link: str = ""
    capability: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which paths are wanted. None as `include` means all; what `exclude` matches stays out."""

    include: IgnoreMatcher | None = None
    exclude: IgnoreMatcher | None = None

    def judge(self, path: str, parent: _Marks) -> tuple[bool, _Marks]:
        """Whether the path is wanted, and what to hand on to what is below it."""
        wanted, included, excluded = True, 0, 0
        if self.include is not None:
            wanted, included = self.include.step(path, parent[0])
        if self.exclude is not None:
            out, excluded = self.exclude.step(path, parent[1])
            wanted = wanted and not out
        return wanted, (included, excluded)

    def settled(self, folder: str, below: _Marks) -> tuple[bool, _Marks] | None:
        """What `judge` says of everything below a folder; None when it has to be asked about each path."""
        if self.include is not None and not self.include.is_settled(folder, below[0]):
            return None
        if self.exclude is not None and not self.exclude.is_settled(folder, below[1]):
            return None
        included = self.include is None or self.include.covers(below[0])
        return included and not (self.exclude is not None and self.exclude.covers(below[1])), below

    def may_want_below(self, folder: str, below: _Marks) -> bool:
        """Whether an unwanted folder can hold anything wanted: most cannot, and are not even opened."""
        include, exclude = self.include, self.exclude
        if include is not None and not include.covers(below[0]) and not include.may_match_below(folder):
            return False
        return exclude is None or not exclude.covers(below[1]) or exclude.may_except_below(folder)


class Tree(Protocol):
    def walk(self, selection: Selection) -> Iterator[Entry]:
        """All that is wanted, a folder before its content, names in the order of their bytes."""
        ...

    def open(self, path: str) -> BinaryIO: ...

    def read_link(self, path: str) -> str | None:
        """Where a symbolic link points to; None for anything else, or nothing."""
        ...

    def names(self, folder: str) -> Iterable[str]:
        """The names in a folder; none when there is no such folder."""
        ...


class FolderTree:
    """A folder of this machine. `skipped` counts sockets, pipes and devices, which no image can use."""

    def __init__(self, root: str | Folder) -> None:
        try:
            self._root = Folder(root) if isinstance(root, str) else root
        except OSError as error:
            raise _unreadable(str(root), error) from error
        self.skipped = 0

    def walk(self, selection: Selection) -> Iterator[Entry]:
        try:
            top = self._open_folder("")
        except OSError as error:
            raise _unreadable(".", error) from error
        yield from self._walk(top, "", selection, _NO_MARKS, [])

    def _walk(
        self, folder: int, prefix: str, selection: Selection, marks: _Marks, unsent: list[Entry]
    ) -> Iterator[Entry]:
        """`unsent` are the folders on the way here that are sent only if something inside of them is."""
        try:
            settled = selection.settled(prefix[:-1], marks) if prefix else None
            for found in _sorted(folder, prefix):
                path = prefix + found.name
                wanted, below = settled or selection.judge(path, marks)
                is_folder = found.is_dir(follow_symlinks=False)
                if not wanted and not (is_folder and selection.may_want_below(path, below)):
                    continue
                entry = self._entry(found, path, folder)
                if entry is None:
                    continue
                if wanted:
                    if unsent:
                        yield from unsent
                        unsent.clear()
                    yield entry
                if is_folder:
                    try:
                        inside = os.open(found.name, _FOLDER, dir_fd=folder)
                    except OSError as error:
                        if not wanted:
                            continue
                        raise _unreadable(path, error) from error
                    if wanted:
                        yield from self._walk(inside, path + "/", selection, below, unsent)
                        continue
                    unsent.append(entry)
                    yield from self._walk(inside, path + "/", selection, below, unsent)
                    if unsent and unsent[-1] is entry:
                        unsent.pop()
        finally:
            os.close(folder)

    def _entry(self, found: os.DirEntry[str], path: str, folder: int) -> Entry | None:
        try:
            status = found.stat(follow_symlinks=False)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFLNK:
                link = os.readlink(found.name, dir_fd=folder)
                return Entry(path, _MODE_LINK | 0o777, 0, status.st_mtime_ns, link)
        except FileNotFoundError:
            return None  # gone since the folder was listed
        except OSError as error:
            raise _unreadable(path, error) from error
        if kind == stat.S_IFDIR:
            return Entry(path, go_mode(status.st_mode), 0, status.st_mtime_ns)
        if kind == stat.S_IFREG:
            capability = _capability(folder, found.name)
            return Entry(path, go_mode(status.st_mode), status.st_size, status.st_mtime_ns, "", capability)
        self.skipped += 1
        return None

    def open(self, path: str) -> BinaryIO:
        folder, _, name = path.rpartition("/")
        here = -1
        try:
            here = self._open_folder(folder)
            handle = os.open(name, _FILE, dir_fd=here)
        except OSError as error:
            raise _unreadable(path, error) from error
        finally:
            if here >= 0:
                os.close(here)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise InvalidInput(f"'{path}' changed while it was sent to the engine", hint="build from files at rest")
        return open(handle, "rb", buffering=0)  # noqa: PTH123  (a file descriptor)

    def read_link(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        here = -1
        try:
            here = self._open_folder(folder)
            return os.readlink(name, dir_fd=here)
        except (OSError, ValueError):
            return None
        finally:
            if here >= 0:
                os.close(here)

    def names(self, folder: str) -> Iterable[str]:
        here = -1
        try:
            here = self._open_folder(folder)
            return os.listdir(here)  # noqa: PTH208  (a file descriptor)
        except (OSError, ValueError):
            return ()
        finally:
            if here >= 0:
                os.close(here)

    def _open_folder(self, path: str) -> int:
        """The folder at a path below the root, on which no link is followed."""
        here = os.open(".", _FOLDER, dir_fd=self._root.fileno())
        for step in path.split("/"):
            if step in ("", "."):
                continue
            try:
                if step == "..":
                    raise LeadsOut(path)
                inner = os.open(step, _FOLDER, dir_fd=here)
            finally:
                os.close(here)
            here = inner
        return here


@dataclass(frozen=True)
class MemoryTree:
    """A few files held in memory, by path. Folders on the way to them are made up."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    def _entries(self) -> dict[str, Entry]:
        entries = {path: Entry(path, 0o644, len(data), _stamp(data)) for path, data in self.files.items()}
        for path in self.files:
            parts = path.split("/")
            for end in range(1, len(parts)):
                folder = "/".join(parts[:end])
                entries[folder] = Entry(folder, _MODE_DIR | 0o755)
        return dict(sorted(entries.items(), key=lambda item: [os.fsencode(p) for p in item[0].split("/")]))

    def walk(self, selection: Selection) -> Iterator[Entry]:
        marks = {"": _NO_MARKS}
        unsent: dict[str, Entry] = {}
        for path, entry in self._entries().items():
            parent = path.rpartition("/")[0]
            wanted, marks[path] = selection.judge(path, marks[parent])
            if not wanted:
                unsent[path] = entry
                continue
            parts = path.split("/")
            for end in range(1, len(parts)):
                if (folder := unsent.pop("/".join(parts[:end]), None)) is not None:
                    yield folder
            yield entry

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.files[path])

    def read_link(self, path: str) -> str | None:  # noqa: ARG002
        return None

    def names(self, folder: str) -> Iterable[str]:
        prefix = "" if folder in ("", ".") else folder + "/"
        return sorted({p.removeprefix(prefix).split("/")[0] for p in self.files if p.startswith(prefix)})


def go_mode(mode: int) -> int:
    """Go's os.FileMode of a st_mode, for files and folders."""
    result = mode & 0o777
    for ours, theirs in ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20)):
        if mode & ours:
            result |= theirs
    return result | _MODE_DIR if stat.S_ISDIR(mode) else result


def _stamp(data: bytes) -> int:
    """A time for content that has none. Made of it, because the engine takes files of one size and time for equal."""
    number = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
    return number % (2**31 * 10**9)


def _sorted(folder: int, prefix: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
        # the order of the names' bytes, which is that of their characters, but for bytes that are no text
        if all(entry.name.isascii() for entry in entries):
            return sorted(entries, key=operator.attrgetter("name"))
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise _unreadable(prefix or ".", error) from error


def _capability(folder: int, name: str) -> bytes:
    """File capabilities travel with the file; other extended attributes never did."""
    path = f"/proc/self/fd/{folder}/{name}"
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return os.getxattr(path, _CAPABILITY, follow_symlinks=False) if _CAPABILITY in names else b""
    except OSError:
        return b""


def _unreadable(path: str, error: OSError) -> InvalidInput:
    why = (error.strerror or str(error)).lower()
    return InvalidInput(
        f"cannot read '{path}' of the build context: {why}", hint="mend its permissions, or name it in .dockerignore"
    )
