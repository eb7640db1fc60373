"""Packs a local folder into the tar stream that fills a run's workspace.

What travels is what `az acr run` uploads: the folder without what its .dockerignore names, without version control
folders (unless a `!` rule brings them back) and without `.venv`. Links travel as links; sockets and devices stay.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from runners.docker.buildkit.ignore import IgnoreMatcher, parse_lines
from taskengine.errors import InvalidInput
from taskengine.plainfile import Folder

if TYPE_CHECKING:
    import tarfile

DEFAULT_IGNORES = (".git", ".gitignore", ".bzr", ".bzrignore", ".hg", ".hgignore", ".svn")
_LARGEST_IGNORE_FILE = 1 << 20


@contextlib.contextmanager
def pack(folder: Path, *, prefix: str, stop: Callable[[], bool] = lambda: False) -> Iterator[io.BufferedReader]:
    """The folder as a tar stream below `prefix`, made while it is read. Raises InvalidInput for unreadable files.

    The stream ends early, and Stopped is raised, once `stop` says so.
    """
    if not folder.is_dir():
        raise InvalidInput(f"the context {folder} is not a folder")
    read_end, write_end = os.pipe()
    failure: list[BaseException] = []

    def produce() -> None:
        import tarfile

        try:
            with (
                os.fdopen(write_end, "wb") as out,
                tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar,
            ):
                _add_all(tar, folder, prefix, stop)
        except BrokenPipeError:
            pass  # the reader gave up and says why
        except BaseException as error:  # noqa: BLE001 - handed over to the reading thread
            failure.append(error)

    producer = threading.Thread(target=produce, name="pack-context", daemon=True)
    producer.start()
    with os.fdopen(read_end, "rb") as stream:
        try:
            yield stream
        finally:
            stream.close()
            producer.join()
    if failure:
        raise failure[0]


def archive(
    folder: Path, out: IO[bytes], *, extra: Mapping[str, bytes] = MappingProxyType({}), ignores: str = ""
) -> None:
    """Write the folder as a compressed archive, the same bytes for the same files. Raises InvalidInput for unreadable
    files.

    `extra` are further files, which go before those of the folder, whatever the rules say. `ignores` names the file
    whose rules hold in place of those of .dockerignore.
    """
    import gzip
    import tarfile

    if not folder.is_dir():
        raise InvalidInput(f"the context {folder} is not a folder")
    top = Folder(folder)
    lines = (*DEFAULT_IGNORES, *(ignore_file(top, ignores) or ())) if ignores else ignore_lines(top)
    rules = IgnoreMatcher(lines)
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name, data in sorted(extra.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
        for relative, entry in _walk(folder, "", rules):
            if relative not in extra:
                _add(tar, entry, relative, lambda: False)


class Stopped(Exception):
    """Nobody wants the rest of the folder any more."""


def _add_all(tar: tarfile.TarFile, folder: Path, prefix: str, stop: Callable[[], bool]) -> None:
    import tarfile

    root = tarfile.TarInfo(prefix)
    root.type, root.mode = tarfile.DIRTYPE, 0o777  # any step's user may write here
    tar.addfile(root)
    rules = IgnoreMatcher(ignore_lines(folder))
    for relative, entry in _walk(folder, "", rules):
        _add(tar, entry, f"{prefix}/{relative}", stop)


def ignore_lines(folder: Path | Folder) -> tuple[str, ...]:
    """What of a folder does not travel into a workspace, as lines of a .dockerignore."""
    top = folder if isinstance(folder, Folder) else Folder(folder)
    return (*DEFAULT_IGNORES, *(ignore_file(top, ".dockerignore") or ()))


def ignore_file(folder: Folder, name: str) -> tuple[str, ...] | None:
    """The lines of an ignore file; None when there is none. One that cannot be read is refused: without it, what was
    to stay at home would travel."""
    try:
        content = folder.read(name, largest=_LARGEST_IGNORE_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(
            f"cannot read {name} of the context: {error.strerror or error}",
            hint="it has to be an ordinary file in the context's folder",
        ) from error
    return parse_lines(content.decode("utf-8-sig", "surrogateescape"))


def _walk(folder: Path, relative: str, rules: IgnoreMatcher) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder / relative) as entries:
            ordered = sorted(entries, key=lambda e: e.name)
    except PermissionError as error:
        raise InvalidInput(
            f"{folder / relative} cannot be read: permission denied",
            hint="change its permissions or name it in .dockerignore",
        ) from error
    for entry in ordered:
        path = f"{relative}/{entry.name}" if relative else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and entry.name == ".venv":
            continue
        ignored = rules.matches(path)
        if not ignored:
            yield path, entry
        if is_folder and (not ignored or rules.may_except_below(path)):
            yield from _walk(folder, path, rules)


def _add(tar: tarfile.TarFile, entry: os.DirEntry[str], name: str, stop: Callable[[], bool]) -> None:
    if stop():
        raise Stopped
    try:
        info = tar.gettarinfo(entry.path, arcname=name)
    except FileNotFoundError:
        return  # deleted meanwhile
    if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        return  # sockets, pipes, devices
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    if info.islnk():
        import tarfile

        # two names of one file: the content travels twice, as the ignore rules may drop either
        info.type, info.linkname = tarfile.REGTYPE, ""
        info.size = entry.stat(follow_symlinks=False).st_size
    if not info.isreg():
        tar.addfile(info)
        return
    try:
        with Path(entry.path).open("rb") as file:
            tar.addfile(info, _Exactly(file, info.size, stop))
    except PermissionError as error:
        raise InvalidInput(
            f"{entry.path} cannot be read: permission denied", hint="change its permissions or name it in .dockerignore"
        ) from error


class _Exactly(io.RawIOBase):
    """Gives exactly `size` bytes of a file that may grow or shrink while it is read."""

    def __init__(self, file: IO[bytes], size: int, stop: Callable[[], bool]) -> None:
        self._file, self._left, self._stop = file, size, stop

    def read(self, size: int = -1, /) -> bytes:
        if self._stop():
            raise Stopped
        want = self._left if size < 0 else min(size, self._left)
        data = self._file.read(want)
        data += bytes(want - len(data))
        self._left -= want
        return data
