"""Which manifest of an index serves a platform. Pure; knows descriptors and the names of platforms, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskengine.errors import InvalidInput
from taskengine.registry.content import Descriptor

DEFAULT = "linux/amd64"
_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
#: what an architecture without a variant means
_IMPLIED = {"arm": "v7", "arm64": "v8", "amd64": "v1"}
#: the variants that each architecture can run, best first: a newer processor runs what was built for an older one
_LADDERS = {
    "arm": ("v8", "v7", "v6", "v5"),
    "amd64": ("v4", "v3", "v2", "v1"),
    "arm64": ("v9", "v8"),
}
_ATTESTATION = "vnd.docker.reference.type"


def choose(manifests: Sequence[Descriptor], wanted: str) -> Descriptor | None:
    """The best entry of an index for `os/architecture[/variant]`; attestations and unknown platforms are no entries."""
    system, architecture, variant = split(wanted)
    candidates = [m for m in manifests if m.platform and not is_attestation(m)]
    for acceptable in _ladder(architecture, variant):
        for manifest in candidates:
            if split(manifest.platform) == (system, architecture, acceptable):
                return manifest
    return None


def is_attestation(manifest: Descriptor) -> bool:
    return manifest.platform.startswith("unknown/") or _ATTESTATION in manifest.annotations


def platforms_of(manifests: Iterable[Descriptor]) -> tuple[str, ...]:
    """The platforms of an index as people write them, each once."""
    return tuple(dict.fromkeys(m.platform for m in manifests if m.platform and not is_attestation(m)))


def split(text: str) -> tuple[str, str, str]:
    """The three parts of a platform, with aliases resolved and the implied variant filled in."""
    parts = text.lower().split("/")
    if len(parts) not in (2, 3) or not all(parts[:2]):
        raise InvalidInput(f"{text[:80]!r} is no platform", hint="write os/architecture, such as linux/arm64")
    architecture, implied = _ALIASES.get(parts[1], (parts[1], ""))
    variant = (parts[2] if len(parts) == 3 else "") or implied or _IMPLIED.get(architecture, "")
    return parts[0], architecture, variant if variant[:1] in ("v", "") or not variant.isdigit() else f"v{variant}"


def _ladder(architecture: str, variant: str) -> tuple[str, ...]:
    ladder = _LADDERS.get(architecture, ())
    return ladder[ladder.index(variant) :] if variant in ladder else (variant,)
