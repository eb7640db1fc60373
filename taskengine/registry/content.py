"""What a registry holds: descriptors, manifests and indexes as frozen data, read from documents that strangers wrote.

Pure. A digest or a media type in a `Descriptor` has been checked, so that it may become part of an address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from typing import Any

from taskengine.errors import TaskEngineError
from taskengine.lightclass import dataclass
from taskengine.registry.digest import digest_of, is_digest
from taskengine.registry.mediatype import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST, OCTETS, SCHEMA1, is_media_type

#: more than any registry accepts (4 MiB), so that nothing real is refused
LARGEST_MANIFEST = 8 * 1024 * 1024
_MOST_ENTRIES = 10_000


class BrokenContent(TaskEngineError):
    """What a registry sent is not what it should be: another digest, no JSON, or no manifest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """The address of a content, its kind and its size. `platform` is `os/architecture[/variant]`, empty if unsaid."""

    digest: str
    media_type: str = OCTETS
    size: int = 0
    platform: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    urls: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: object, where: str) -> Descriptor:
        if not isinstance(value, dict) or not is_digest(value.get("digest")):
            raise BrokenContent(f"{where} names a content without a valid digest", hint="push the image again")
        size = value.get("size")
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise BrokenContent(f"{where} names {value['digest']} without its size", hint="push the image again")
        media_type = value.get("mediaType")
        artifact_type = value.get("artifactType")
        return cls(
            digest=value["digest"],
            media_type=str(media_type) if is_media_type(media_type) else OCTETS,
            size=size,
            platform=_platform(value.get("platform")),
            artifact_type=str(artifact_type) if is_media_type(artifact_type) else "",
            annotations=_texts(value.get("annotations")),
            urls=tuple(url for url in _list(value.get("urls")) if isinstance(url, str)),
        )

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            names = ("os", "architecture", "variant")
            found["platform"] = dict(zip(names, self.platform.split("/"), strict=False))
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest or an index, byte for byte as the registry holds it."""

    digest: str
    media_type: str
    raw: bytes = field(repr=False)

    @classmethod
    def of(cls, raw: bytes, media_type: str) -> Manifest:
        return cls(digest=digest_of(raw), media_type=media_type, raw=raw)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(
            digest=self.digest,
            media_type=self.media_type,
            size=len(self.raw),
            artifact_type=self.artifact_type,
            annotations=self.annotations,
        )

    @cached_property
    def document(self) -> Mapping[str, Any]:
        return _document(self.raw, self.digest)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @cached_property
    def manifests(self) -> tuple[Descriptor, ...]:
        """The entries of an index."""
        return self._descriptors("manifests") if self.is_index else ()

    @cached_property
    def layers(self) -> tuple[Descriptor, ...]:
        return () if self.is_index else self._descriptors("layers") + self._descriptors("blobs")

    @cached_property
    def config(self) -> Descriptor | None:
        return None if self.is_index else self._optional("config")

    @cached_property
    def subject(self) -> Descriptor | None:
        """What this manifest is attached to, for signatures, statements and other referrers."""
        return self._optional("subject")

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All that must be in a repository before the manifest may be: configuration and layers, each once."""
        config = (self.config,) if self.config else ()
        return tuple({blob.digest: blob for blob in (*config, *self.layers)}.values())

    @property
    def artifact_type(self) -> str:
        said = self.document.get("artifactType")
        if is_media_type(said):
            return str(said)
        return self.config.media_type if self.config else ""

    @property
    def annotations(self) -> Mapping[str, str]:
        return _texts(self.document.get("annotations"))

    def _descriptors(self, key: str) -> tuple[Descriptor, ...]:
        entries = _list(self.document.get(key))
        if len(entries) > _MOST_ENTRIES:
            raise BrokenContent(f"manifest {self.digest} has more than {_MOST_ENTRIES} {key}", hint="is it an image?")
        return tuple(Descriptor.parse(entry, f"manifest {self.digest}") for entry in entries)

    def _optional(self, key: str) -> Descriptor | None:
        value = self.document.get(key)
        return None if value is None else Descriptor.parse(value, f"manifest {self.digest}")


def manifest_type(raw: bytes, header: str) -> str:
    """The media type of a manifest: what the answer says, or else the document itself.

    A document that is an index by one and a manifest by the other is refused: two readers would see two images in it.
    """
    if header in SCHEMA1:
        return header
    document = _document(raw, "of the registry")
    inner = document.get("mediaType")
    if not is_media_type(inner):
        inner = header if header in INDEXES | MANIFESTS else _guess(document)
    known = header if header in INDEXES | MANIFESTS else str(inner)
    ambiguous = (known in INDEXES) != (inner in INDEXES)
    stray = {"layers", "config"} if known in INDEXES else {"manifests"}
    if ambiguous or any(document.get(key) for key in stray):
        raise BrokenContent(
            "the registry sent a document that is an index and a manifest at once", hint="push the image again"
        )
    return known


def _guess(document: Mapping[str, Any]) -> str:
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def _document(raw: bytes, digest: str) -> Mapping[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise BrokenContent(f"manifest {digest} is no JSON", hint="is this address a registry's?") from None
    if not isinstance(document, dict):
        raise BrokenContent(f"manifest {digest} is no JSON object", hint="is this address a registry's?")
    return document


def _platform(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    parts = [value.get(key) for key in ("os", "architecture", "variant")]
    texts = [part for part in parts if isinstance(part, str) and part and "/" not in part]
    return "/".join(texts) if len(texts) >= 2 and texts[:2] == parts[:2] else ""


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
