"""The body of `POST /build`: the context as a tar, its ignore rules applied, with the Dockerfile that was checked.

A Dockerfile from elsewhere gets a name of its own in the archive, and a rule that keeps it out of the image. Streams
in, bytes out; must not know HTTP.
"""

from __future__ import annotations

import io
import posixpath
import secrets
import tarfile
from collections.abc import Generator, Iterator
from typing import BinaryIO

from runners.docker.buildkit.ignore import IgnoreMatcher, parse_lines
from runners.docker.buildkit.model import BuildRequest, LocalDir
from runners.docker.buildkit.source import Source
from runners.docker.buildkit.tree import Entry, Selection, Tree
from taskengine.errors import InvalidInput

_IGNORES = ".dockerignore"
_DIR, _LINK = 1 << 31, 1 << 27
_SPECIAL = ((1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000))
_PIECE = 256 * 1024
_Item = tuple[tarfile.TarInfo, BinaryIO | None]


def packed(source: Source, request: BuildRequest) -> tuple[str, Generator[bytes]]:
    """The name of the Dockerfile in the archive, and the archive, made while it is read.

    Reading it raises InvalidInput for files that cannot be read."""
    own = posixpath.normpath(request.dockerfile or "Dockerfile")
    inside = request.dockerfile_dir is None and not own.startswith(("/", "../"))
    if source.upload is not None:
        items = _of_archive(source)
    else:
        exclude, own_rules = _rules(source, request)
        # one that the rules keep out is sent all the same, and kept out of the image
        inside = inside and not (exclude is not None and exclude.matches(own))
        items = _of_tree(source.trees["context"], exclude, own_rules=own_rules)
    name = own if inside else f".dockerfile.{secrets.token_hex(8)}"
    return name, _archive(items, name, source.dockerfile, hidden=not inside)


def _archive(items: Iterator[_Item], name: str, dockerfile: bytes, *, hidden: bool) -> Generator[bytes]:
    out = _Pieces()
    ignores: bytes | None = None
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for info, content in items:
            path = posixpath.normpath(info.name)
            if path == name:
                continue
            if path == _IGNORES and hidden and content is not None:
                with content:
                    ignores = content.read()
                continue
            yield from _add(tar, out, info, content)
        yield from _add(tar, out, *_file(name, dockerfile))
        if hidden:
            # the rules of the context's own file stay; where it is not in the context, ours does not get there either
            rules = (ignores or b"", name.encode(), b"" if ignores is not None else _IGNORES.encode(), b"")
            yield from _add(tar, out, *_file(_IGNORES, b"\n".join(rules)))
    yield out.take()


def _add(tar: tarfile.TarFile, out: _Pieces, info: tarfile.TarInfo, content: BinaryIO | None) -> Iterator[bytes]:
    if content is None:
        tar.addfile(info)
        yield out.take()
        return
    with content:
        tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
        left = info.size
        while left > 0:
            # a file that shrinks meanwhile is filled up, one that grows is cut
            data = content.read(min(left, _PIECE)) or bytes(min(left, _PIECE))
            left -= len(data)
            tar.fileobj.write(data)
            yield out.take()
        tar.fileobj.write(bytes(-info.size % tarfile.BLOCKSIZE))
    yield out.take()


def _of_tree(tree: Tree, exclude: IgnoreMatcher | None, *, own_rules: bool) -> Iterator[_Item]:
    for entry in tree.walk(Selection(exclude=exclude)):
        if entry.path == _IGNORES and own_rules:
            continue  # the engine would apply it on top of those that count
        info = _info(entry)
        yield info, tree.open(entry.path) if info.isreg() else None


def _rules(source: Source, request: BuildRequest) -> tuple[IgnoreMatcher | None, bool]:
    """The ignore rules, and whether they are others than those of the context's own file."""
    tree = source.trees["context"]
    name = posixpath.basename(request.dockerfile) or "Dockerfile"
    with_own = f"{name}{_IGNORES}"
    beside = source.trees["dockerfile"]
    if with_own in beside.names(""):
        with beside.open(with_own) as file:
            text = file.read()
        return IgnoreMatcher(parse_lines(text.decode("utf-8-sig", "surrogateescape"))), True
    if not isinstance(request.context, LocalDir) or _IGNORES not in tree.names(""):
        return None, False
    try:
        with tree.open(_IGNORES) as file:
            text = file.read()
    except InvalidInput as error:
        raise InvalidInput(error.message, hint="it has to be an ordinary file in the context's folder") from None
    return IgnoreMatcher(parse_lines(text.decode("utf-8-sig", "surrogateescape"))), False


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.path)
    info.mode = entry.mode & 0o777
    for theirs, ours in _SPECIAL:
        info.mode |= ours if entry.mode & theirs else 0
    info.mtime = entry.mtime_ns // 10**9
    if entry.mode & _DIR:
        info.type = tarfile.DIRTYPE
    elif entry.mode & _LINK:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
    else:
        info.size = entry.size
    return info


def _of_archive(source: Source) -> Iterator[_Item]:
    assert source.upload is not None  # noqa: S101  (asked before)
    try:
        with source.upload() as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                member.pax_headers = {}
                yield member, tar.extractfile(member) if member.isreg() else None  # type: ignore[misc]
    except (tarfile.TarError, EOFError) as error:
        raise InvalidInput(f"the build context is no readable archive: {error}") from error


def _file(name: str, content: bytes) -> _Item:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info, io.BytesIO(content)


class _Pieces(io.RawIOBase):
    """What tarfile wrote since it was last taken."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._waiting)
        self._waiting.clear()
        return data
