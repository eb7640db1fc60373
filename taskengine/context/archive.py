"""Unpacks a tar archive from a stranger: what would land outside is refused before a byte of it is written.

The rule that keeps everything inside: nothing is written through a link, and a link may climb (`..`) at its beginning
only and never above the root. So each real folder below the root stays where it was made, and each link leads into it.
`tarfile` reads the headers and is asked for its own opinion (its `data` filter); all writing is done here.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any

from taskengine.context.compression import BROKEN, Unpacked, kind_of
from taskengine.context.model import MIB, Deadline, Limits
from taskengine.errors import InvalidInput

_LONGEST_PATH = 4000
_LONGEST_NAME = 255
_MOST_HEADER = MIB
_CHUNK = 1 << 16
#: headers that describe the next member; tarfile reads them into memory whole
_DESCRIPTIONS = frozenset({
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
})  # fmt: skip
_REFUSED_KINDS = {
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.CONTTYPE: "a contiguous file",
}


def unpack(file: IO[bytes], into: Path, *, limits: Limits, deadline: Deadline, shown: str) -> None:
    """Unpack `file`, an archive that stands at its beginning, below `into`, a folder that is empty."""
    unpack_onto(Unpacking(into, limits, deadline), file, limits=limits, deadline=deadline, shown=shown)


def unpack_onto(onto: Unpacking, file: IO[bytes], *, limits: Limits, deadline: Deadline, shown: str) -> None:
    """The same over what is there already; limits count for all of it."""
    packed = os.fstat(file.fileno()).st_size
    head = file.read(512)
    file.seek(0)
    kind = kind_of(head)
    if not kind:
        raise InvalidInput(f"{shown} is no archive{_what_it_is(head)}", hint=_HINT)
    if kind == "zip":
        raise InvalidInput(f"{shown} is a zip archive", hint="offer a .tar.gz; forges make both kinds")
    stream = Unpacked(file, kind, packed=packed, limits=limits, deadline=deadline)
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header, bufsize=_CHUNK, errorlevel=2) as archive:
            onto.all(archive)
    except InvalidInput as error:
        raise InvalidInput(f"{shown}: {error.message}", hint=error.hint) from None
    except (tarfile.TarError, RecursionError, ValueError, OverflowError, MemoryError) as error:
        raise InvalidInput(f"{shown} is no archive that can be read: {_words(error)}", hint=_BROKEN_HINT) from None
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's trouble and not the archive's
        raise InvalidInput(f"{shown} is damaged: {_words(error)}", hint=_BROKEN_HINT) from None


_HINT = (
    "an address of a repository ends in .git or has a #branch; archives are .tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst"
)
_BROKEN_HINT = "was it downloaded in full? try it with tar -t"


def _what_it_is(head: bytes) -> str:
    start = head.lstrip()[:20].lower()
    return ", but a web page" if start.startswith((b"<!doctype html", b"<html")) else ""


def _words(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


class Header(tarfile.TarInfo):
    """A header (`tarfile`'s TarInfo) that refuses what would have to be read into memory whole before we are asked."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Any:  # tarfile itself takes a damaged header for the end
        try:
            return super().fromtarfile(archive)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _DESCRIPTIONS and self.size > _MOST_HEADER:
            raise InvalidInput("a header of the archive is longer than 1 MiB")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise InvalidInput("the archive holds a sparse file", hint="pack it without --sparse")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise InvalidInput("the archive holds a sparse file", hint="pack it without --sparse")


class Unpacking:
    """Writes the members of one archive (or of several, one over the other) below one folder that was empty."""

    def __init__(self, root: Path, limits: Limits, deadline: Deadline) -> None:
        self._root = root
        self._limits = limits
        self._deadline = deadline
        self._entries = 0
        self._bytes = 0
        self._known: set[str] = {""}
        self._folders: dict[str, int] = {}

    def all(self, archive: tarfile.TarFile) -> None:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined] # a stream is read once, and needs no list of what passed
            self._one(archive, member)
        for name, mode in self._folders.items():
            (self._root / name).chmod(mode)

    def _one(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise InvalidInput(f"the archive has more than {self._limits.entries} entries")
        if self._entries % 1000 == 0:
            self._deadline.check()
        name = _name(member)
        _second_opinion(member, self._root)
        if kind := _REFUSED_KINDS.get(member.type):
            raise _refused(name, f"is {kind}")
        if member.isdir():
            self._make_folder(name, member)
        elif not name:
            raise InvalidInput("an entry of the archive has no name")
        elif member.issym():
            self._link(name, member)
        elif member.islnk():
            self._hard_link(name, member)
        elif member.isreg():
            self._file(archive, name, member)
        else:
            raise _refused(name, "is of a kind that is not known")

    def _make_folder(self, name: str, member: tarfile.TarInfo) -> None:
        self._parents(f"{name}/x")
        if name:
            self._folders[name] = (member.mode & 0o755) | 0o700

    def _file(self, archive: tarfile.TarFile, name: str, member: tarfile.TarInfo) -> None:
        path = self.add(name, member.size, archive.extractfile(member), mode=(member.mode & 0o755) | 0o600)
        with contextlib.suppress(OverflowError, ValueError, OSError):
            os.utime(path, (max(member.mtime, 0), max(member.mtime, 0)))

    def add(self, name: str, size: int, source: IO[bytes] | None, *, mode: int = 0o644) -> Path:
        """Write one file. `name` is relative and was cleaned."""
        self._bytes += max(size, 0)
        if self._bytes > self._limits.unpacked or size < 0:
            raise InvalidInput("the files are larger than a context may be")
        path = self._clear(name)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(number, "wb") as out:
            while source is not None and (chunk := source.read(_CHUNK)):
                out.write(chunk)
            os.fchmod(number, mode)
        return path

    def _link(self, name: str, member: tarfile.TarInfo) -> None:
        target = member.linkname
        climbs = name.count("/")
        if not target or "\0" in target or target.startswith("/") or len(target) > _LONGEST_PATH:
            raise _refused(name, f"is a link to {_shown(target)}, out of the archive")
        seen_name = False
        for part in target.split("/"):
            if part == "..":
                climbs -= 1
                if seen_name or climbs < 0:
                    raise _refused(name, f"is a link to {_shown(target)}, which may lead out of the archive")
            elif part not in {"", "."}:
                seen_name = True
        self._clear(name).symlink_to(target)

    def _hard_link(self, name: str, member: tarfile.TarInfo) -> None:
        target = clean_name(member.linkname, f"{name} is a link to {_shown(member.linkname)}, which")
        source = self._root / target
        if not self._is_real(target) or not stat.S_ISREG(_mode(source)):
            raise _refused(name, f"is a hard link to {_shown(target)}, which is no file of the archive before it")
        if target == name:
            return
        os.link(source, self._clear(name), follow_symlinks=False)

    # where things are written

    def _clear(self, name: str) -> Path:
        """The path for a new entry: its folders are there, and what an earlier entry left there is gone."""
        self._parents(name)
        path = self._root / name
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            raise _refused(name, "is a folder and something else as well")
        if mode:
            path.unlink()
        return path

    def _parents(self, name: str) -> None:
        """Make the folders above `name`; each is a real folder, never a link."""
        folder = ""
        for part in PurePosixPath(name).parts[:-1]:
            folder = f"{folder}/{part}" if folder else part
            if folder in self._known:
                continue
            path = self._root / folder
            mode = _mode(path)
            if not mode:
                path.mkdir(mode=0o755)
            elif not stat.S_ISDIR(mode):
                raise _refused(name, f"lies below {_shown(folder)}, which is no folder")
            self._known.add(folder)

    def _is_real(self, name: str) -> bool:
        """Whether no folder above `name` is a link. Folders that are known are real, and stay so."""
        parts = PurePosixPath(name).parts
        return all(
            (folder := "/".join(parts[:n])) in self._known or stat.S_ISDIR(_mode(self._root / folder))
            for n in range(1, len(parts))
        )


def _name(member: tarfile.TarInfo) -> str:
    return clean_name(member.name, f"{_shown(member.name)}")


def clean_name(name: str, what: str) -> str:
    """A name in the archive without `./`. Refuses what leads out, and what no file system takes."""
    if name.startswith("/"):
        raise InvalidInput(f"{what} is an absolute path", hint=_PACK_HINT)
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidInput(f"{what} leads out of the archive", hint=_PACK_HINT)
    clean = "/".join(parts)
    raw = os.fsencode(clean)
    if len(raw) > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise InvalidInput(f"{what} is too long a name")
    if b"\0" in raw:
        raise InvalidInput(f"{what} holds a zero byte")
    return clean


_PACK_HINT = "pack with relative names: tar -C FOLDER -czf context.tar.gz ."


def _second_opinion(member: tarfile.TarInfo, root: Path) -> None:
    """Python's own filter for archives of data, where this Python has it (3.11.4 and later)."""
    data_filter = getattr(tarfile, "data_filter", None)
    if data_filter is None:
        return
    try:
        data_filter(member, str(root))
    except tarfile.FilterError as error:
        raise _refused(member.name, f"is refused: {_words(error)}") from None


def _mode(path: Path) -> int:
    """The mode of what is there, 0 for nothing. Follows no link."""
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _refused(name: str, why: str, *, hint: str | None = None) -> InvalidInput:
    return InvalidInput(f"{_shown(name)} {why}", hint=hint)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 120 else f"{name[:117]}...")
