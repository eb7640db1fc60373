"""Which images a build stood on, read from what BuildKit told: the names of its vertexes, and its answer. Pure.

BuildKit has no message for this. It names a vertex after each image that it looks up, and engines 23 and 24 add a
list to their answer; later ones have neither list nor another way without an attestation in the image.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from taskengine.lightpattern import pattern

from .model import ResolvedImage, VertexUpdate

_DIGEST = r"sha256:[0-9a-f]{64}"
_METADATA = pattern(rf"\[(?:[^\]]* )?internal\] load metadata for (\S+?)(?:@({_DIGEST}))?$")
#: without brackets: what a COPY or a mount takes from
_FROM = pattern(rf"(?:\[[^\]]*\] )?FROM (\S+?)(?:@({_DIGEST}))?$")
_FRONTEND = pattern(rf"resolve image config for (?:docker-image://)?(\S+?)(?:@({_DIGEST}))?$")
_FRONTEND_SOURCE = pattern(rf"docker-image://(\S+?)(?:@({_DIGEST}))?$")
_BUILDINFO = "containerimage.buildinfo"


def resolved(vertexes: Iterable[VertexUpdate], response: Mapping[str, str] | None = None) -> tuple[ResolvedImage, ...]:
    """The source images of a build, each once, in the order in which BuildKit looked them up."""
    found = _Found()
    for vertex in vertexes:
        for kind in (_METADATA, _FROM, _FRONTEND, _FRONTEND_SOURCE):
            if match := kind.match(vertex.name):
                reference = found.add(match[1], match[2] or "")
                if kind in (_FRONTEND, _FRONTEND_SOURCE):
                    found.frontends.add(reference)
                break
    for reference, digest in _listed((response or {}).get(_BUILDINFO, "")):
        found.add(reference, digest)
    return tuple(
        ResolvedImage(reference=reference.partition("@")[0], digest=digest, is_frontend=reference in found.frontends)
        for reference, digest in found.digests.items()
    )


class _Found:
    """Digests by name. A name that is all digest keeps it in its key: the same repository may also be used by a tag."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.frontends: set[str] = set()

    def add(self, name: str, digest: str) -> str:
        """Note an image, and return its key."""
        key = name
        if ":" not in name.rpartition("/")[2]:
            pinned, latest = f"{name}@{digest}", f"{name}:latest"  # some vertexes leave `:latest` out
            is_pinned = digest and (pinned in self.digests or self.digests.get(latest, digest) not in ("", digest))
            key = pinned if is_pinned or (digest and latest not in self.digests) else latest
        self.digests[key] = digest or self.digests.get(key, "")
        return key


def _listed(buildinfo: str) -> Iterable[tuple[str, str]]:
    """The images of a build info, which is JSON in base64; what cannot be read lists none."""
    try:
        document: Any = json.loads(base64.b64decode(buildinfo)) if buildinfo else {}
    except (ValueError, binascii.Error):
        return
    sources = document.get("sources") if isinstance(document, dict) else None
    for source in sources if isinstance(sources, list) else ():
        if not isinstance(source, dict) or source.get("type") != "docker-image":
            continue
        reference, pin = source.get("ref"), source.get("pin")
        if isinstance(reference, str) and isinstance(pin, str) and re.fullmatch(_DIGEST, pin):
            yield reference.partition("@")[0], pin
