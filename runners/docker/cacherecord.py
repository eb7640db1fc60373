"""What a cached image is made of, and of which of its layers its cache record knows how they were made. Pure.

BuildKit writes the record into the image's configuration. It leaves out what it took from a cache itself, so that a new
image of a stage may know less of the very same layers than the one before.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeVar

from taskengine.lightclass import dataclass

_RECORD = "moby.buildkit.cache.v0"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Layers by the digest of what is in them, and the words that made them, oldest first."""

    layers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def content_here(inspected: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Content:
    """Of an image of the engine."""
    return Content(
        layers=tuple((inspected.get("RootFS") or {}).get("Layers") or ()),
        words=tuple(str(entry.get("CreatedBy", "")) for entry in reversed(history)),
    )


def content_there(config: Mapping[str, Any]) -> Content:
    """Of an image in a registry, by its configuration. A strange one is like no other."""
    rootfs = config.get("rootfs")
    layers = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    history = config.get("history")
    return Content(
        layers=tuple(map(str, layers)) if isinstance(layers, list) else (),
        words=tuple(str(e.get("created_by", "")) for e in history if isinstance(e, dict))
        if isinstance(history, list)
        else (),
    )


def most_knowing(known: Iterable[tuple[T, Mapping[str, Any]]], new: Content) -> T | None:
    """Of earlier images, with their configurations, the one that knows most about layers that the new one has as well;
    None when no one knows any."""
    scores = [(_shared(config, new), image) for image, config in known]
    score, best = max(scores, key=lambda pair: pair[0], default=(0, None))
    return best if score else None


def _shared(config: Mapping[str, Any], new: Content) -> int:
    pairs = zip(content_there(config).layers, new.layers, strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return sum(1 for layer in _recorded(config) if 0 <= layer < common)


def _recorded(config: Mapping[str, Any]) -> set[int]:
    """The layers that the record tells the making of, by number."""
    text = config.get(_RECORD)
    try:
        records = json.loads(base64.b64decode(text, validate=True)) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return set()
    found = set()
    for record in records if isinstance(records, list) else ():
        layers = record.get("layers") if isinstance(record, dict) else None
        for layer in layers if isinstance(layers, list) else ():
            number = layer.get("layer") if isinstance(layer, dict) else None
            if isinstance(number, int):
                found.add(number)
    return found
