"""What a worker keeps of the engine's disk, and what it lets go: images of its runs, and BuildKit's cache.

`plan` says what would go and why, `tidy` does it. An image goes when no run has needed it for a while and no container
has it; only one that a run of this worker brought or built, and under the very name that it was given then. The cache
goes under its ceiling, where the worker was told that the engine is its own, and nowhere else. When the disk is short,
what was not needed for an hour goes, the longest unused first, until there is room.

Must not know when it is called, nor what a worker does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runners.docker import buildcache
from runners.docker.engine import Engine
from runners.docker.failure import explanation
from runners.docker.imagebook import Entry, ImageBook
from runners.docker.refused import failed, not_there, refused
from taskengine.errors import Unreachable

GIB = 1 << 30
#: what was used this lately stays, however short the disk is: a run may be about to need it
_IN_NEED = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """`owns_engine`: nobody else uses this engine, so its build cache may be pruned; it is kept under `cache_most`
    bytes, and never pruned below `cache_least`. `images` is how long an image of a run stays unused, None for good."""

    owns_engine: bool = False
    cache_most: int = 20 * GIB
    cache_least: int = 2 * GIB
    images: timedelta | None = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Going:
    """Something that goes. `kind` is `image` or `build cache`; `size` is in bytes, for an image with the layers that
    others may share."""

    kind: str
    name: str
    why: str
    size: int


class Housekeeping:
    """Of one worker on one engine. `lacking` says how many bytes the disk is short of now. One call at a time."""

    def __init__(
        self, engine: Callable[[], Engine], book: ImageBook, rules: Rules, *, now: Callable[[], datetime],
        lacking: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._book = book
        self._rules = rules
        self._now = now
        self._lacking = lacking
        self._turn = threading.Lock()
        self._last: dict[str, Any] = {}

    def plan(self) -> list[Going]:
        """What `tidy` would let go now. Changes nothing. Raises Unreachable."""
        with _heard():
            api = self._engine()
            lacking = self._lacking()
            gone: list[Going] = []
            if self._rules.owns_engine and (over := buildcache.size(api) - self._ceiling(lacking)) > 0:
                gone.append(Going(kind="build cache", name="", why=self._why_cache(lacking), size=over))
            gone += self._images(api, self._old(in_need=False), self._why_old())
            if lacking > 0:
                known = {going.name for going in gone}
                further = (g for g in self._images(api, self._old(in_need=True), _SHORT) if g.name not in known)
                while sum(going.size for going in gone) < lacking and (going := next(further, None)) is not None:
                    gone.append(going)
            return gone

    def _images(self, api: Engine, entries: list[Entry], why: str) -> Iterator[Going]:
        for entry in entries:
            if (found := _ours(api, entry)) is not None and not _in_use(api, entry):
                yield found.going(why)

    def tidy(self) -> list[Going]:
        """Let go of what `plan` names; what went. Raises Unreachable."""
        with self._turn, _heard():
            api = self._engine()
            gone = [*self._tidy_cache(api), *self._remove(api, self._old(in_need=False), self._why_old(), enough=None)]
            if self._lacking() > 0:
                gone += self._remove(api, self._old(in_need=True), _SHORT, enough=lambda: self._lacking() <= 0)
            if gone:
                freed = sum(going.size for going in gone)
                self._last = {"at": self._now().isoformat(timespec="seconds"), "things": len(gone), "bytes": freed}
            return gone

    def facts(self) -> dict[str, Any]:
        """What is to be known of the disk's use: plain data, asked of the engine. Raises Unreachable."""
        found: dict[str, Any] = {"images": len(self._book.entries()), "ownsEngine": self._rules.owns_engine}
        if self._rules.owns_engine:
            with _heard():
                found |= {"cache": buildcache.size(self._engine()), "cacheLimit": self._rules.cache_most}
        return found | ({"tidied": self._last} if self._last else {})

    # the cache

    def _tidy_cache(self, api: Engine) -> Iterator[Going]:
        if not self._rules.owns_engine:
            return
        lacking = self._lacking()
        freed = buildcache.prune(api, least=self._rules.cache_least, most=self._ceiling(lacking))
        if freed:
            yield Going(kind="build cache", name="", why=self._why_cache(lacking), size=freed)

    def _ceiling(self, lacking: int) -> int:
        return self._rules.cache_least if lacking > 0 else max(self._rules.cache_least, self._rules.cache_most)

    def _why_cache(self, lacking: int) -> str:
        return _SHORT if lacking > 0 else f"over its limit of {self._rules.cache_most / GIB:.1f} GiB"

    # images

    def _why_old(self) -> str:
        days = self._rules.images.days if self._rules.images is not None else 0
        return f"no run has needed it for {days} days"

    def _old(self, *, in_need: bool) -> list[Entry]:
        after = _IN_NEED if in_need else self._rules.images
        if after is None:
            return []
        return [entry for entry in self._book.entries() if entry.used <= self._now() - after]

    def _remove(
        self, api: Engine, entries: list[Entry], why: str, *, enough: Callable[[], bool] | None
    ) -> Iterator[Going]:
        for entry in entries:
            if enough is not None and enough():
                return
            found = _ours(api, entry)
            if found is None:
                self._book.forget(entry)
                continue
            if _in_use(api, entry) or self._book.is_stale(entry):
                continue
            try:
                # parents of an image of the classic builder may be others' cache, where the engine is not ours alone
                api.remove_image(found.target, noprune=not self._rules.owns_engine)
            except not_there():
                pass
            except refused():  # a container has just begun to use it, or another image stands on it: the next time
                continue
            else:
                yield found.going(why)
            self._book.forget(entry)


_SHORT = "the disk is short of room"


@dataclass(frozen=True, kw_only=True)
class _Found:
    """An image of the book as it is on the engine: what to remove, and what to call it."""

    target: str
    name: str
    size: int

    def going(self, why: str) -> Going:
        return Going(kind="image", name=self.name, why=why, size=self.size)


def _ours(api: Engine, entry: Entry) -> _Found | None:
    """None for an image that is gone, or that has become somebody else's."""
    if entry.name:
        found = _inspect(api, entry.name)
        if found is not None and found["Id"] == entry.image_id:
            return _Found(target=entry.name, name=entry.name, size=int(found.get("Size") or 0))
    # its name means another image by now, or it never had one: it is still ours when it has none at all
    found = _inspect(api, entry.image_id)
    if found is None or found.get("RepoTags"):
        return None
    name = entry.image_id.removeprefix("sha256:")[:12]
    return _Found(target=entry.image_id, name=name, size=int(found.get("Size") or 0))


def _in_use(api: Engine, entry: Entry) -> bool:
    return bool(api.containers(all=True, filters={"ancestor": entry.image_id}))


def _inspect(api: Engine, name: str) -> dict[str, Any] | None:
    try:
        return api.inspect_image(name)
    except not_there():
        return None


@contextmanager
def _heard() -> Iterator[None]:
    """An engine that does not answer, or refuses, is one error of ours."""
    try:
        yield
    except failed() as error:
        raise Unreachable(f"the engine could not be tidied: {explanation(error)}") from error
