"""Build contexts that are archives: finding the Dockerfile in one, and making one recognisable. Streams in, bytes out.

BuildKit decides by an archive's first block whether it is one, and takes an archive that begins with a PAX header for a
Dockerfile. Must not know BuildKit otherwise.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Iterable
from typing import BinaryIO

from taskengine.errors import InvalidInput

_BLOCK = 512
_PAX = (b"x", b"g")


def read_files(open_archive: Callable[[], BinaryIO], paths: Iterable[str], *, largest: int) -> dict[str, bytes]:
    """The wanted files that are in the archive, by the path asked for. The last of several with one name counts."""
    import tarfile

    wanted = {posixpath.normpath(path.lstrip("/")): path for path in paths}
    found: dict[str, bytes] = {}
    try:
        with open_archive() as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
            for member in tar:
                path = wanted.get(posixpath.normpath(member.name.lstrip("/")))
                if path is None or not member.isreg():
                    continue
                if member.size > largest:
                    raise InvalidInput(f"'{path}' is larger than {largest >> 20} MiB and no Dockerfile")
                content = tar.extractfile(member)
                found[path] = content.read() if content is not None else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidInput(f"the build context is no readable archive: {error}") from error
    return found


def acceptable(stream: BinaryIO) -> BinaryIO:
    """The same archive, which does not begin with a PAX header (as those of `git archive` do)."""
    first = stream.read(_BLOCK)
    while len(first) < _BLOCK and (more := stream.read(_BLOCK - len(first))):
        first += more
    if first[257:262] == b"ustar" and first[156:157] in _PAX:
        first = _top_folder() + first
    return _Prefixed(first, stream)  # type: ignore[return-value]


def _top_folder() -> bytes:
    """An entry that changes nothing: the folder that the archive is unpacked into."""
    import tarfile

    top = tarfile.TarInfo("./")
    top.type, top.mode = tarfile.DIRTYPE, 0o755
    return top.tobuf(tarfile.GNU_FORMAT)


class _Prefixed(io.RawIOBase):
    """Some bytes, then a stream, which is closed with it."""

    def __init__(self, prefix: bytes, stream: BinaryIO) -> None:
        self._prefix = prefix
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._prefix:
            data, self._prefix = self._prefix, b""
            return data
        return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()
        super().close()
