"""The one door to what a test cannot predict: the clock, ids and randomness."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime

from taskengine.lightclass import dataclass

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def _new_id() -> str:
    """A short id that sorts by nothing and collides with nothing: 12 characters, 60 bits, fit for a container name."""
    return "r" + "".join(secrets.choice(_ALPHABET) for _ in range(11))


@dataclass(frozen=True, kw_only=True)
class Ambient:
    """Clock and ids, handed to whoever needs them. `monotonic` is in seconds."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    new_id: Callable[[], str]

    @classmethod
    def system(cls) -> Ambient:
        return cls(now=lambda: datetime.now(UTC), monotonic=time.monotonic, new_id=_new_id)  # noqa: TID251

    @classmethod
    def fixed(cls, start: datetime) -> Ambient:
        """For tests: the clock stands at `start`, ids are r1, r2, ..."""
        counter = _Counter()
        return cls(now=lambda: start, monotonic=lambda: 0.0, new_id=counter.next)


@dataclass
class _Counter:
    value: int = field(default=0)

    def next(self) -> str:
        self.value += 1
        return f"r{self.value}"
