"""Whether this machine is fit to take runs: its engine answers, its disk has room. Pure rules; asking is the probe's.

A worker is ready only after it has proved what a run needs (`proof`), and unfit whenever a later look finds its engine
gone or its disk above the watermark; it then finishes what it has and takes nothing new.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskengine.errors import TaskEngineError

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Watermarks:
    """How much room has to be free, in bytes: below `stop` nothing new is taken, until `go` is free again."""

    stop: int = 2 * GIB
    go: int = 3 * GIB


@dataclass(frozen=True, kw_only=True)
class Health:
    """`why` is empty when all is well, else one sentence for people. `facts` are plain data. `is_short`: what is wrong
    is that the disk is short of room."""

    why: str = ""
    is_short: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_fit(self) -> bool:
        return not self.why


class Checkup:
    """Looks at the machine. `engine` asks the engine who it is (raises TaskEngineError); `folders` must have room."""

    def __init__(
        self,
        engine: Callable[[], dict[str, Any]],
        folders: tuple[Path, ...],
        marks: Watermarks,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._engine = engine
        self._folders = folders
        self._marks = marks
        self._free = free
        self._short_of_room = False

    def look(self) -> Health:
        try:
            facts = dict(self._engine())
        except TaskEngineError as error:
            return Health(why=error.message, facts={"engine": None})
        try:
            free = {str(folder): self._free(folder) for folder in self._folders if folder.exists()}
        except OSError as error:
            return Health(why=f"the disk does not answer: {(error.strerror or str(error)).lower()}", facts=facts)
        facts["free"] = free
        least = min(free.values(), default=self._marks.go)
        self._short_of_room = least < (self._marks.go if self._short_of_room else self._marks.stop)
        if self._short_of_room:
            why = f"{least / GIB:.1f} GiB are free, and {self._marks.go / GIB:.1f} are needed"
            return Health(why=f"too little room on the disk: {why}", facts=facts, is_short=True)
        return Health(facts=facts)

    def lacking(self) -> int:
        """How many bytes would have to become free for runs to be taken; 0 when runs are taken."""
        if not self._short_of_room:
            return 0
        try:
            least = min((self._free(folder) for folder in self._folders if folder.exists()), default=self._marks.go)
        except OSError:
            return 0
        return max(0, self._marks.go - least)
