"""Carries one build out: for each platform that is asked for, then what is to be kept in caches; says what was cached.

Must not know build lines or where a context comes from: it is handed a request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

from runners.docker.buildkit import BuildFailed, BuildKit, BuildOutcome, BuildRequest, Progress, VertexUpdate
from runners.docker.buildkit.tally import Import, Tally, tally
from runners.docker.cachekeep import Built, CacheKeeper
from runners.docker.engine import Engine
from runners.docker.parts import Part
from runners.docker.platforms import Indexes, explained, local_name, own_among, platforms_of
from taskengine.lightclass import dataclass
from taskengine.plan.cachetarget import CacheTarget
from taskengine.registry.reference import ImageReference
from taskengine.runner import Attempt
from taskengine.runs.event import Notice
from taskengine.runs.model import Dependency

if TYPE_CHECKING:
    from runners.docker.classic import ClassicBuilder

#: a shorter value is found in many a word that is no secret
_SHORTEST_SECRET = 4

Build = Callable[[BuildRequest, Callable[[Progress], None]], tuple[BuildOutcome, tuple[Dependency, ...]]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a build left. `outcome` is the one that later steps see under the build's names; `parts` are the images by
    platform, where there are several, each under names of its own."""

    outcome: BuildOutcome
    tally: Tally
    dependencies: tuple[Dependency, ...] = ()
    parts: tuple[Part, ...] = ()


class Rounds:
    """Of one run. Thread-safe."""

    def __init__(
        self,
        api: Engine,
        keeper: CacheKeeper,
        indexes: Indexes,
        *,
        secrets: Sequence[str],
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._keeper = keeper
        self._indexes = indexes
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        self._now = now
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def run(
        self,
        step: str,
        request: BuildRequest,
        targets: Sequence[CacheTarget],
        client: BuildKit | ClassicBuilder,
        build: Build,
        attempt: Attempt,
    ) -> Made:
        """Build, by `build` for each platform, and keep caches, by `client`. Raises what these raise."""

        def tell(level: str, message: str) -> None:
            with self._lock:
                if message in self._told:
                    return
                self._told.add(message)
            attempt.emit(Notice(at=self._now(), message=message, level=level, step=step))

        platforms = platforms_of(request.platform)
        asked = list(_per_platform(request, platforms))
        outcomes = []
        stood_on: dict[Dependency, None] = {}
        tallies: list[Tally] = []
        for one in asked:
            if len(asked) > 1:
                attempt.log.write(step, 1, f"building for {one.platform}\n".encode())
            vertexes: dict[str, VertexUpdate] = {}
            try:
                outcome, needed = build(one, partial(_remember, vertexes))
            except BuildFailed as failure:
                raise explained(failure, one.platform, client.platforms) from failure
            outcomes.append(outcome)
            tallies.append(tally(vertexes.values()))
            stood_on |= dict.fromkeys(needed)
        made = self._made(request, platforms, outcomes, client.platforms, sum(tallies, Tally()), tuple(stood_on))
        for level, message in notices(made.tally):
            tell(level, message)
        if self._may_keep(request, targets, tell) and _writes_caches(client, tell):
            builds = [
                Built(request=one, dockerfile=outcome.dockerfile, image_id=outcome.image_id, ran=counted.ran)
                for one, outcome, counted in zip(asked, outcomes, tallies, strict=True)
            ]
            self._keeper.keep(targets, builds, client, cancel=attempt.cancel, tell=tell)
        return made

    def _made(
        self,
        request: BuildRequest,
        platforms: Sequence[str],
        outcomes: Sequence[BuildOutcome],
        offered: Sequence[str],
        total: Tally,
        stood_on: tuple[Dependency, ...],
    ) -> Made:
        if len(outcomes) == 1:
            for tag in request.tags:
                self._indexes.set(tag, ())
            return Made(outcome=outcomes[0], tally=total, dependencies=stood_on)
        main = list(platforms).index(own_among(platforms, offered))
        parts = tuple(self._part(request, p, o) for p, o in zip(platforms, outcomes, strict=True))
        for tag in request.tags:
            reference = ImageReference.parse(tag)
            self._api.tag(parts[main].image_id, reference.name, reference.tag)
            self._indexes.set(tag, parts)
        return Made(outcome=outcomes[main], tally=total, dependencies=stood_on, parts=parts)

    def _part(self, request: BuildRequest, platform: str, outcome: BuildOutcome) -> Part:
        """An image that was built elsewhere has another id on the engine: it is known by its name."""
        name = local_name(request.tags[0], platform) if request.tags else outcome.image_id
        found = self._api.inspect_image(name)
        return Part(image_id=str(found["Id"]), name=platform, platform=platform, size=int(found["Size"]))

    def _may_keep(
        self, request: BuildRequest, targets: Sequence[CacheTarget], tell: Callable[[str, str], None]
    ) -> bool:
        """Secret build arguments are in the history of every stage: then no stage leaves the engine."""
        if all(target.is_inline for target in targets):
            return False
        if any(secret in value for secret in self._secrets for value in request.build_args.values()):
            message = "nothing is kept in the registry's cache, as a build argument holds a secret"
            tell("warning", f"{message}; give it to the build with --secret instead")
            return False
        return True


def _remember(vertexes: dict[str, VertexUpdate], told: Progress) -> None:
    """By what is told, not by the outcome: a build that only gets other labels is done again, all cached."""
    if isinstance(told, VertexUpdate):
        before = vertexes.get(told.digest)
        # a cached step is told again, as any other, when its layer is brought from the registry
        is_cached = told.cached or (before is not None and before.cached)
        vertexes[told.digest] = replace(told, cached=is_cached)


def _writes_caches(client: BuildKit | ClassicBuilder, tell: Callable[[str, str], None]) -> TypeGuard[BuildKit]:
    if isinstance(client, BuildKit):
        return True
    tell("warning", "nothing is kept in the registry's cache: this engine builds without BuildKit")
    return False


def _per_platform(request: BuildRequest, platforms: Sequence[str]) -> Iterator[BuildRequest]:
    if len(platforms) < 2:
        yield replace(request, platform=platforms[0] if platforms else "")
        return
    for platform in platforms:
        yield replace(request, platform=platform, tags=tuple(local_name(tag, platform) for tag in request.tags))


def notices(found: Tally) -> Iterator[tuple[str, str]]:
    """What became of the caches that the build was told to use: level and sentence."""
    for one in found.imports:
        if not one.error:
            yield "info", _used(one, found)
        elif one.is_missing:
            yield "info", f"no cache yet at {_shown(one)}"
        else:
            yield "warning", f"the cache {_shown(one)} was not read: {one.error}{_hint(one.error)}"


def _used(one: Import, found: Tally) -> str:
    text = f"imported cache {_shown(one)}: {found.cached} of {found.total} steps cached"
    if not found.missed:
        return text
    more = f" and {len(found.missed) - 3} more" if len(found.missed) > 3 else ""
    return f"{text}; not in it, though all before it was: {', '.join(found.missed[:3])}{more}"


def _hint(error: str) -> str:
    if "HTTP response to HTTPS client" in error:
        return " (name it as http://HOST:PORT in the engine's insecure-registries: builds know no address ranges)"
    if any(word in error.lower() for word in ("401", "403", "unauthorized", "denied", "authorization", "basic auth")):
        return " (log in to its registry)"
    return ""


def _shown(one: Import) -> str:
    return ImageReference.parse(one.reference).familiar
