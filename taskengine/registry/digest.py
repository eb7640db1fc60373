"""Content addresses, `sha256:...`: checking their form, and computing them of bytes whole or piece by piece. Pure."""

from __future__ import annotations

import hashlib

from taskengine.lightpattern import pattern

DEFAULT_ALGORITHM = "sha256"
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_HEX = pattern(r"[0-9a-f]+")


def is_digest(text: object) -> bool:
    """Whether `text` is a digest that we can compute too; nothing else may become part of an address or a path."""
    if not isinstance(text, str):
        return False
    algorithm, _, value = text.partition(":")
    return len(value) == _LENGTHS.get(algorithm) and _HEX.fullmatch(value) is not None


def digest_of(content: bytes, algorithm: str = DEFAULT_ALGORITHM) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def algorithm_of(digest: str) -> str:
    return digest.partition(":")[0]


class Hasher:
    """Computes the digest of what passes by."""

    def __init__(self, algorithm: str = DEFAULT_ALGORITHM) -> None:
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self.size = 0

    def update(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size += len(chunk)

    @property
    def digest(self) -> str:
        return f"{self._algorithm}:{self._hash.hexdigest()}"
