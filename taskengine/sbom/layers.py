"""Finds the files that say something about packages in an image's layers, as a registry holds them.

Layers are read from the last to the first, so that what a later one replaced or deleted is not taken for there. Nothing
is unpacked to disk, and each layer is verified against its digest.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taskengine.context.archive import Header
from taskengine.context.compression import BROKEN, Unpacked, kind_of
from taskengine.context.model import GIB, MIB, Deadline, Limits
from taskengine.errors import InvalidInput
from taskengine.registry.body import Reading
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor, Manifest
from taskengine.registry.mediatype import is_foreign_layer
from taskengine.registry.reference import ImageReference
from taskengine.sbom.databases import matters, may_hide

#: real databases have a few megabytes
LARGEST_FILE = 128 * MIB
_LARGEST_ALL = 256 * MIB
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_LIMITS = Limits(unpacked=64 * GIB, ratio=1000)
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """Files by path, and sentences about what could not be read."""

    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    gaps: tuple[str, ...] = ()


@dataclass
class _Layer:
    """What one layer holds of interest, and what of the layers below it takes away."""

    files: dict[str, bytes] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    gaps: list[str] = field(default_factory=list)


def image_files(client: RegistryClient, ref: ImageReference, manifest: Manifest, deadline: Deadline) -> ImageFiles:
    """The files of one image (not of an index) that matter. Raises what the client raises, and Interrupted."""
    found: dict[str, bytes] = {}
    hidden: set[str] = set()
    gaps: list[str] = []
    for layer in reversed(manifest.layers):
        if is_foreign_layer(layer.media_type):
            gaps.append(f"layer {layer.digest} is kept by its vendor and was not read")
            continue
        seen = _Layer()
        try:
            _read(client, ref, layer, seen, deadline)
        except InvalidInput as error:
            gaps.append(f"layer {layer.digest} could not be read: {error.message}")
        for path, content in seen.files.items():
            if path not in found and not _is_hidden(path, hidden):
                found[path] = content
        gaps += seen.gaps
        hidden |= seen.hidden
        if sum(map(len, found.values())) > _LARGEST_ALL:
            raise InvalidInput(f"the package databases of {ref} are larger than {_LARGEST_ALL // MIB} MiB together")
    return ImageFiles(files=found, gaps=tuple(gaps))


def _read(client: RegistryClient, ref: ImageReference, layer: Descriptor, into: _Layer, deadline: Deadline) -> None:
    stream = io.BufferedReader(_Raw(client.blob(ref, layer), layer.size), _CHUNK)
    kind = kind_of(stream.peek(512)[:512]) if layer.size else "tar"
    if not kind or kind == "zip":
        raise InvalidInput("it is no archive that is known here")
    unpacked = Unpacked(stream, kind, packed=layer.size, limits=_LIMITS, deadline=deadline)
    try:
        with tarfile.open(fileobj=unpacked, mode="r|", tarinfo=Header, bufsize=_CHUNK, errorlevel=2) as archive:
            _members(archive, into)
        while stream.read(_CHUNK):
            deadline.check()  # the rest is read for the digest
    except (tarfile.TarError, RecursionError, ValueError, OverflowError, MemoryError) as error:
        raise InvalidInput(str(error) or type(error).__name__) from None
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InvalidInput("it is damaged") from None


def _members(archive: tarfile.TarFile, into: _Layer) -> None:
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined] # a stream is read once, and needs no list of what passed
        path = posixpath.normpath("/" + member.name).lstrip("/")
        folder, name = posixpath.split(path)
        if name == _OPAQUE:
            into.hidden |= {f"{folder}/"} if not folder or may_hide(folder) else set()
        elif name.startswith(_WHITEOUT):
            gone = posixpath.join(folder, name.removeprefix(_WHITEOUT))
            into.hidden |= {gone} if may_hide(gone) else set()
        elif matters(path):
            into.files.pop(path, None)
            into.hidden.add(path)
            if not member.isreg():
                continue
            if member.size > LARGEST_FILE:
                into.gaps.append(f"{path} is larger than {LARGEST_FILE // MIB} MiB and was not read")
                continue
            content = archive.extractfile(member)
            into.files[path] = content.read() if content else b""


def _is_hidden(path: str, hidden: set[str]) -> bool:
    return "/" in hidden or any(path == one or path.startswith(one.rstrip("/") + "/") for one in hidden)


class _Raw(io.RawIOBase):
    """The pieces of a blob as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._reading = Reading(pieces, size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._reading.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
