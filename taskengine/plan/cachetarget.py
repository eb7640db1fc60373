"""What --cache-from and --cache-to mean, in the words of buildx: `type=registry,ref=NAME,mode=max`, or a name alone.

Pure. The compiler reads them so that a mistake is told before a run, the runner so that both mean the same.
"""

from __future__ import annotations

import csv

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.registry.reference import ImageReference

_HINT = "write type=registry,ref=HOST/NAME:TAG, or the name alone"
#: kinds of buildx that need what an engine of ours does not offer
_ELSEWHERE = {
    "gha": "GitHub's cache is for builds inside of GitHub",
    "s3": "caches are kept in registries, not in buckets",
    "azblob": "caches are kept in registries, not in buckets",
    "local": "a folder of layers is not kept: the engine keeps its layers itself",
}
#: what buildx lets one say of how layers are stored; the engine decides that here
_STORAGE = frozenset(
    {"compression", "compression-level", "force-compression", "ignore-error", "image-manifest", "oci-mediatypes"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheTarget:
    """Where layers are kept. No `reference`: in the image itself. `all_stages` is buildx's mode=max: the layers of
    every stage that the build needs, and not of the last one only."""

    reference: str = ""
    all_stages: bool = False

    @property
    def is_inline(self) -> bool:
        return not self.reference


def cache_source(text: str) -> str:
    """The reference that layers are taken from. Raises InvalidInput."""
    fields = _fields(text)
    _refuse_strangers(text, fields, {"type", "ref", "digest"} | _STORAGE)
    if not fields.get("ref"):
        raise InvalidInput(f"{text!r} names no image to take layers from", hint=_HINT)
    digest = f"@{fields['digest']}" if fields.get("digest") else ""
    return ImageReference.parse(fields["ref"] + digest).normalised


def cache_target(text: str) -> CacheTarget:
    """Where layers are to be kept. Raises InvalidInput."""
    fields = _fields(text)
    _refuse_strangers(text, fields, {"type", "ref", "mode"} | _STORAGE)
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidInput(f"mode={mode} is no mode of a cache", hint="write mode=max for all stages, or mode=min")
    if fields["type"] == "inline":
        if "ref" in fields:
            raise InvalidInput("an inline cache is in the image itself and has no ref", hint="leave out ref=")
        return CacheTarget()
    if not fields.get("ref"):
        raise InvalidInput(f"{text!r} names no place to keep layers", hint=_HINT)
    reference = ImageReference.parse(fields["ref"])
    if reference.digest:
        raise InvalidInput(f"{fields['ref']} is a digest, which nothing can be kept under", hint="name a tag")
    return CacheTarget(reference=reference.normalised, all_stages=mode == "max")


def _fields(text: str) -> dict[str, str]:
    """The parts of the text by name. A text without names is a reference."""
    try:
        parts = next(csv.reader([text]), [])
    except csv.Error:  # a line break, or a field without end
        raise InvalidInput(f"{text[:80]!r} is not understood", hint=_HINT) from None
    if len(parts) == 1 and "=" not in parts[0]:
        return {"type": "registry", "ref": parts[0].strip()}
    pairs = [part.partition("=") for part in parts]
    if not all(sign for _, sign, _ in pairs):
        raise InvalidInput(f"{text!r} is not understood", hint=_HINT)
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    kind = fields.setdefault("type", "registry")
    if kind not in ("registry", "inline"):
        hint = f"{_ELSEWHERE[kind]}; {_HINT}" if kind in _ELSEWHERE else _HINT
        raise InvalidInput(f"type={kind} cannot be used as a cache here", hint=hint)
    return fields


def _refuse_strangers(text: str, fields: dict[str, str], known: set[str]) -> None:
    strange = next((name for name in fields if name not in known), None)
    if strange is not None:
        raise InvalidInput(f"{text!r}: {strange!r} is nothing that can be said of a cache", hint=_HINT)
