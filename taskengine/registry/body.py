"""Contents on their way to a registry: their digest and size, and a reader made anew for each try. No network."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import field
from pathlib import Path
from typing import BinaryIO

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.registry.digest import Hasher, digest_of, is_digest
from taskengine.registry.mediatype import OCTETS
from taskengine.registry.wire import CHUNK


class Reading:
    """A reader of known length over pieces that come from anywhere."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._pieces = pieces
        self._size = size
        self._rest = b""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(CHUNK):
            yield piece

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes, at most `size`; none at the end."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        cut = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:cut], self._rest[cut:]
        return piece

    def read_full(self, size: int) -> bytes:
        """Exactly `size` bytes unless the end comes first."""
        found = bytearray()
        while len(found) < size and (piece := self.read(size - len(found))):
            found += piece
        return bytes(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A blob to be. `pieces` begins at its first byte each time it is called."""

    digest: str
    size: int
    pieces: Callable[[], Iterator[bytes]] = field(repr=False)
    media_type: str = OCTETS

    @classmethod
    def of_bytes(cls, content: bytes, media_type: str = OCTETS) -> Content:
        return cls(
            digest=digest_of(content),
            size=len(content),
            pieces=lambda: _pieces(io.BytesIO(content)),
            media_type=media_type,
        )

    @classmethod
    def of_file(cls, path: Path, media_type: str = OCTETS) -> Content:
        """Reads the file once for its digest. It must not change before it is sent; the registry would refuse it."""
        hasher = Hasher()
        for piece in _file_pieces(path):
            hasher.update(piece)
        return cls(digest=hasher.digest, size=hasher.size, pieces=lambda: _file_pieces(path), media_type=media_type)

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            raise InvalidInput(f"{self.digest[:80]!r} is no digest", hint="digests look like sha256:...")

    def reading(self) -> Reading:
        return Reading(self.pieces(), self.size)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(CHUNK):
        yield piece


def _file_pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from _pieces(file)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}", hint="check the file") from None
