"""Which labels a Dockerfile sets itself, so that nobody sets them over its author's head. Pure."""

from __future__ import annotations

from taskengine.dockerfile.parse import parse


def label_keys(text: str) -> frozenset[str]:
    """The keys of every LABEL in the file, whatever its stage. A key with a variable in it is as it is written."""
    dockerfile, _ = parse(text)
    found = set()
    for instruction in dockerfile.instructions:
        if instruction.keyword == "LABEL":
            words = instruction.words
            keys = words if any("=" in word for word in words) else words[:1]  # LABEL KEY VALUE, the old form
            found |= {key.partition("=")[0].strip("\"'") for key in keys}
    return frozenset(found)
