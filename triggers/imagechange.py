"""Whether a tag that stands for something new is news for whoever uses one platform of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskengine.registry.content import Descriptor, Manifest
from taskengine.registry.platform import choose, is_attestation
from taskengine.runs.model import Dependency


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a tag stood for. `platforms` has the manifests of an index by their platforms; it is empty for an image that
    is no index, and for an index of which no more is known than its digest."""

    digest: str
    platforms: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> Seen:
        entries = (one for one in manifest.manifests if one.platform and not is_attestation(one))
        found: dict[str, str] = {}
        for entry in entries:
            found.setdefault(entry.platform, entry.digest)
        return cls(digest=manifest.digest, platforms=found)

    @classmethod
    def of_dependency(cls, used: Dependency) -> Seen | None:
        """What a run was recorded to have used; None when its digest is not known."""
        if not used.digest:
            return None
        inner = used.platform_digest
        return cls(digest=used.digest, platforms={used.platform: inner} if inner and inner != used.digest else {})

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Seen:
        return cls(digest=document["digest"], platforms=dict(document.get("platforms", {})))

    def as_json(self) -> dict[str, Any]:
        return {"digest": self.digest, "platforms": dict(self.platforms)}

    def for_platform(self, platform: str) -> str:
        """The digest of the manifest for the platform; empty when an index has none for it."""
        if not self.platforms:
            return self.digest
        entries = [Descriptor(digest=digest, platform=name) for name, digest in self.platforms.items()]
        found = choose(entries, platform)
        return found.digest if found else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """The image of `platform` is another one: digests of its manifest before and after, and the tag's new digest."""

    platform: str
    before: str
    after: str
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """Nothing that has to start a run; `reason` is one clause for people."""

    reason: str


def changed(before: Seen | None, after: Seen, platform: str) -> Change | Unchanged:
    """Whether those who use `platform` of the tag have something new, and if not, why not."""
    if before is None:
        return Unchanged(reason="the image was seen for the first time")
    if before.digest == after.digest:
        return Unchanged(reason="the tag stands for the same content as before")
    old, new = before.for_platform(platform), after.for_platform(platform)
    if not new:
        return Unchanged(reason=f"the tag has no image for {platform} any more")
    if old != new:
        return Change(platform=platform, before=old, after=new, digest=after.digest)
    if bool(before.platforms) != bool(after.platforms):
        kind = "an index" if after.platforms else "a single image"
        return Unchanged(reason=f"the tag became {kind}, with the same image for {platform}")
    others = sorted(
        name
        for name in {*before.platforms, *after.platforms}
        if before.platforms.get(name) != after.platforms.get(name)
    )
    if others:
        return Unchanged(reason=f"only other platforms changed: {', '.join(others[:10])}")
    return Unchanged(reason="only the index changed (an attestation, an annotation), and no image in it")
