"""Keeps the layers of builds in a registry, so that an engine that never saw them need not make them again.

An engine that can, writes the cache itself. Docker's own cannot: there each stage becomes an image that carries its
cache record, and all of them are bound together in one index under the cache's name. To whoever imports it both are one
reference. What cannot be kept is told and fails nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from runners.docker.buildkit import BuildFailed, BuildKit, BuildLost, BuildRequest, RegistryCache
from runners.docker.engine import Engine
from runners.docker.failure import StepFailed
from runners.docker.parts import Joiner, Part
from runners.docker.push import Pusher
from taskengine.dockerfile.cachestages import CacheStages, cache_stages
from taskengine.plan.cachetarget import CacheTarget
from taskengine.registry.reference import ImageReference
from taskengine.runner import Cancel
from taskengine.runs.model import Reason

_UNKNOWN = "unknown cache exporter"

#: (level, sentence): what a user should know
Tell = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A build that went well: what was asked for, and the Dockerfile as it was built."""

    request: BuildRequest
    dockerfile: bytes


class CacheKeeper:
    """Of one run. Thread-safe."""

    def __init__(self, api: Engine, pusher: Pusher, joiner: Joiner) -> None:
        self._api = api
        self._pusher = pusher
        self._joiner = joiner
        self._lock = threading.Lock()
        self._engine_writes = True

    def keep(
        self, targets: Sequence[CacheTarget], builds: Sequence[Built], client: BuildKit, *, cancel: Cancel, tell: Tell
    ) -> None:
        """Write the caches. Raises BuildCanceled when that is asked for, and nothing else."""
        for target in targets:
            if target.is_inline:
                continue
            try:
                if not (self._engine_writes and self._by_engine(target, builds, client, cancel, tell)):
                    self._by_images(target, builds, client, cancel, tell)
            except (BuildFailed, BuildLost) as error:
                tell("warning", f"the cache {_shown(target)} was not written: {error.message}")
            except StepFailed as failure:
                if failure.result.reason is not Reason.CANCELED:
                    hint = f" ({failure.result.hint})" if failure.result.hint else ""
                    tell("warning", f"the cache {_shown(target)} was not written: {failure.result.message}{hint}")

    def _by_engine(
        self, target: CacheTarget, builds: Sequence[Built], client: BuildKit, cancel: Cancel, tell: Tell
    ) -> bool:
        """False where the engine does not write caches to registries, which it says before it does any work."""
        cache = RegistryCache(reference=target.reference, all_stages=target.all_stages)
        try:
            _solve(client, replace(builds[0].request, registry_cache=cache, inline_cache=False, exported=False), cancel)
        except BuildFailed as error:
            if _UNKNOWN not in error.message:
                raise
            with self._lock:
                self._engine_writes = False
            return False
        if len(builds) > 1:
            tell("info", f"the cache {_shown(target)} holds {builds[0].request.platform} only: this engine writes one")
        return True

    def _by_images(
        self, target: CacheTarget, builds: Sequence[Built], client: BuildKit, cancel: Cancel, tell: Tell
    ) -> None:
        parts: list[Part] = []
        try:
            for built in builds:
                self._images(target, built, client, cancel, parts)
            images = list({part.image_id: part for part in parts}.values())
            if len(images) == 1:
                self._push_one(target, images[0], cancel)
            else:
                self._joiner.push(
                    target.reference, images, cancel=cancel, progress=lambda _: None, retrying=lambda *_: None
                )
        finally:
            for part in parts:
                self._discard(part.image_id)
        tell("info", f"kept the layers of {_count(images)} in the cache {_shown(target)}")

    def _images(self, target: CacheTarget, built: Built, client: BuildKit, cancel: Cancel, parts: list[Part]) -> None:
        """Add an image for each stage to keep, the built one last. All of it is cached by now, so it costs little."""
        request = replace(built.request, inline_cache=True, tags=(), cache_from=(), no_cache=False, pull=False)
        wanted = [("", request)]
        if target.all_stages:
            stages = _stages(built)
            edited = stages.dockerfile.encode("utf-8", "surrogateescape")
            wanted[:0] = [
                (label, replace(request, target=name, edit=lambda _: edited)) for label, name in stages.stages
            ]
        for label, asked in wanted:
            done = client.build(asked, cancel=cancel, progress=lambda _: None)
            name = "-".join(filter(None, (label, asked.platform.replace("/", "-"))))
            parts.append(Part(image_id=done.image_id, name=name or "image"))

    def _discard(self, image_id: str) -> None:
        """Remove an image that nobody named; its layers stay in the engine's cache."""
        from docker.errors import APIError

        with contextlib.suppress(APIError):  # gone with its last name
            if not self._api.inspect_image(image_id).get("RepoTags"):
                self._api.remove_image(image_id, noprune=True)

    def _push_one(self, target: CacheTarget, part: Part, cancel: Cancel) -> None:
        from docker.errors import APIError

        reference = ImageReference.parse(target.reference)
        self._api.tag(part.image_id, reference.name, reference.tag)
        try:
            self._pusher.push(target.reference, cancel=cancel, progress=lambda _: None, retrying=lambda *_: None)
        finally:
            with contextlib.suppress(APIError):  # another run was first
                self._api.remove_image(target.reference, noprune=True)


def _stages(built: Built) -> CacheStages:
    return cache_stages(
        built.dockerfile.decode("utf-8", "surrogateescape"),
        build_args=built.request.build_args,
        target=built.request.target,
        platform=built.request.platform,
    )


def _solve(client: BuildKit, request: BuildRequest, cancel: Cancel) -> None:
    client.build(replace(request, tags=()), cancel=cancel, progress=lambda _: None)


def _shown(target: CacheTarget) -> str:
    return ImageReference.parse(target.reference).familiar


def _count(parts: Sequence[Part]) -> str:
    return f"{len(parts)} stages" if len(parts) > 1 else "the built stage"
