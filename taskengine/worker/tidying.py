"""When a worker tidies up its engine and its disk: from time to time, and soon when the disk is short of room.

In a thread of its own, for an engine may take minutes for it. Must not know what is removed, nor Docker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from taskengine.errors import TaskEngineError
from taskengine.worker.health import GIB

#: seconds between two times, and between two when the disk is short
_EVERY, _IN_NEED = 600.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What a worker was told of its disk; sizes are in bytes. Below `min_free` no run is taken, until half as much
    again is free; 0 asks for nothing. `owns_engine`: nobody else uses the engine, so BuildKit's cache there is kept
    under `cache_limit`, and never pruned below `cache_reserve`. Images of runs go that were not used for `image_days`
    days; 0 keeps them."""

    min_free: int = 2 * GIB
    owns_engine: bool = False
    cache_limit: int = 20 * GIB
    cache_reserve: int = 2 * GIB
    image_days: int = 30


class Housekeeping(Protocol):
    """What is tidied. `tidy` returns what went, each with `kind`, `name`, `why` and `size` in bytes; `facts` says what
    is to be known of it. Both raise TaskEngineError."""

    def tidy(self) -> list[Any]: ...

    def facts(self) -> Mapping[str, Any]: ...


class Tidying:
    """One worker's. `begin` starts the thread, `end` stops it. `say` hears what went, for what was evicted in silence
    makes people think that caching is broken."""

    def __init__(
        self, house: Housekeeping, say: Callable[[str], None], *, every: float = _EVERY, in_need: float = _IN_NEED
    ) -> None:
        self._house = house
        self._say = say
        self._every, self._in_need = every, in_need
        self._changed = threading.Condition()
        self._short = self._ended = False
        self._failing = ""
        self.facts: Mapping[str, Any] = {}
        self._thread = threading.Thread(target=self._work, name="tidying", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Returns soon: one that is under way is not waited for for long."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def room(self, *, is_short: bool) -> None:
        """How it stands with the disk: when it has just become short, something is done about it at once."""
        with self._changed:
            self._short = is_short
            self._changed.notify_all()

    def _work(self) -> None:
        while not self._ended:
            self.once()
            with self._changed:
                if self._short:  # it was not enough: a run that is over, or somebody else, may make room
                    self._changed.wait_for(lambda: self._ended, self._in_need)
                else:
                    self._changed.wait_for(lambda: self._ended or self._short, self._every)

    def once(self) -> None:
        """Tidy up now. What fails is told once, and tried again the next time."""
        try:
            for gone in self._house.tidy():
                name = f" {gone.name}" if gone.name else ""
                self._say(f"removed {gone.kind}{name} ({shown(gone.size)}): {gone.why}")
            self.facts = self._house.facts()
        except TaskEngineError as error:
            self._tell(error.message)
        except Exception as error:  # noqa: BLE001 - there is a next time
            self._tell(f"could not tidy up: {type(error).__name__}: {error}")
        else:
            self._failing = ""

    def _tell(self, why: str) -> None:
        if why != self._failing:
            self._say(why)
        self._failing = why


def shown(size: int) -> str:
    """Bytes for people."""
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
