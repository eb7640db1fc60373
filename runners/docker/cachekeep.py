"""Keeps the layers of builds in a registry, so that an engine that never saw them need not make them again.

An engine that can, writes the cache itself. Docker's own cannot: there each stage becomes an image that carries its
cache record, and all of them are bound together in one index under the cache's name. To whoever imports it both are one
reference. What cannot be kept is told and fails nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from runners.docker.buildkit import BuildFailed, BuildKit, BuildLost, BuildRequest, RegistryCache
from runners.docker.buildkit.tally import stages_in
from runners.docker.cacherecord import Content, content_here, content_there, most_knowing
from runners.docker.engine import Engine
from runners.docker.failure import StepFailed, explanation
from runners.docker.parts import Joiner, Joint, Part
from runners.docker.push import Pusher
from runners.docker.refused import failed, refused
from taskengine.dockerfile.cachestages import CacheStages, cache_stages
from taskengine.lightclass import dataclass
from taskengine.plan.cachetarget import CacheTarget
from taskengine.registry.reference import ImageReference
from taskengine.runner import Cancel
from taskengine.runs.model import Reason

if TYPE_CHECKING:
    from taskengine.registry.content import Descriptor

#: tells the entries of a cache's index apart
_STAGE = "io.acr-task.cache.stage"
#: the built stage; no stage of a Dockerfile can have this name
_BUILT = "_built"
_UNKNOWN = "unknown cache exporter"

#: (level, sentence): what a user should know
Tell = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A build that went well: what was asked for, the Dockerfile as it was built, the image that it left, and the names
    of the steps that were carried out."""

    request: BuildRequest
    dockerfile: bytes
    image_id: str
    ran: tuple[str, ...]


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
        """Write the caches. Raises BuildCanceled when that is asked for; what else goes wrong is told."""
        for target in targets:
            if target.is_inline:
                continue
            try:
                if not (self._engine_writes and self._by_engine(target, builds, client, cancel, tell)):
                    self._by_images(target, builds, client, cancel, tell)
            except (BuildFailed, BuildLost) as error:
                tell("warning", f"the cache {_shown(target)} was not written: {error.message}")
            except failed() as error:
                tell("warning", f"the cache {_shown(target)} was not written: {explanation(error)}")
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
        if any(built.ran for built in builds):
            tell("info", f"kept the layers of the build in the cache {_shown(target)}")
        if len(builds) > 1:
            tell("info", f"the cache {_shown(target)} holds {builds[0].request.platform} only: this engine writes one")
        return True

    def _by_images(
        self, target: CacheTarget, builds: Sequence[Built], client: BuildKit, cancel: Cancel, tell: Tell
    ) -> None:
        wanted = [image for built in builds for image in _wanted(target, built)]
        made: list[str] = []

        def make(one: _Wanted) -> str:
            made.append(client.build(one.request, cancel=cancel, progress=lambda _: None).image_id)
            return made[-1]

        try:
            try:
                kept = self._join(target, wanted, make, cancel)
            except StepFailed as failure:
                if not failure.result.unreachable or failure.result.reason is Reason.CANCELED:
                    raise
                # the engine may reach a registry that we do not, and one image it pushes alone
                self._push_one(target, make(wanted[-1]), cancel)
                kept = [wanted[-1]]
                if len(wanted) > 1:
                    why = f"{failure.result.message} ({failure.result.hint})"
                    tell("warning", f"the cache {_shown(target)} holds the built stage only: {why}")
                    return
        finally:
            for image_id in made:
                self._discard(image_id)
        if kept:
            tell("info", f"kept the layers of {_count(kept)} in the cache {_shown(target)}")

    def _join(
        self, target: CacheTarget, wanted: Sequence[_Wanted], make: Callable[[_Wanted], str], cancel: Cancel
    ) -> list[_Wanted]:
        """Bring the cache up to date; what was new. A stage that is there as it is here stays: its record is whole,
        while one made on an engine that took the stage out of this very cache lacks what was not needed."""
        with self._joiner.join(
            target.reference, cancel=cancel, progress=lambda _: None, retrying=lambda *_: None
        ) as joint:
            there: dict[str, list[Descriptor]] = {}
            for entry in joint.entries():
                there.setdefault(entry.annotations.get(_STAGE, _BUILT), []).append(entry)
            results = [one for one in wanted if one.image_id]
            if all(one.name in there for one in wanted) and all(
                self._is_there(joint, there[one.name], one.image_id) for one in results
            ):
                return []
            something_ran = any(one.has_run for one in wanted)
            entries: list[Descriptor] = []
            new: list[_Wanted] = []
            for one in wanted:
                known = there.get(one.name, [])
                if known and something_ran and not one.has_run:
                    entries += known
                    continue
                image_id = make(one)
                here = self._content(image_id)
                configs = [(entry, joint.config(entry)) for entry in known]
                if any(content_there(config) == here for _, config in configs):
                    entries += known
                    continue
                new.append(one)
                if len(wanted) == 1:
                    self._push_one(target, image_id, cancel)
                    return new
                pushed = joint.add(Part(image_id=image_id, name=one.name))
                entries.append(replace(pushed, annotations={_STAGE: one.name}))
                if (older := most_knowing(configs, here)) is not None:
                    entries.append(older)
            joint.write(entries)
        return new

    def _is_there(self, joint: Joint, known: Sequence[Descriptor], image_id: str) -> bool:
        here = self._content(image_id)
        return any(content_there(joint.config(entry)) == here for entry in known)

    def _content(self, image_id: str) -> Content:
        return content_here(self._api.inspect_image(image_id), self._api.history(image_id))

    def _push_one(self, target: CacheTarget, image_id: str, cancel: Cancel) -> None:
        reference = ImageReference.parse(target.reference)
        self._api.tag(image_id, reference.name, reference.tag)
        try:
            self._pusher.push(target.reference, cancel=cancel, progress=lambda _: None, retrying=lambda *_: None)
        finally:
            with contextlib.suppress(*refused()):  # another run was first
                self._api.remove_image(target.reference, noprune=True)

    def _discard(self, image_id: str) -> None:
        """Remove an image that nobody named; its layers stay in the engine's cache."""
        with contextlib.suppress(*refused()):  # gone with its last name
            if not self._api.inspect_image(image_id).get("RepoTags"):
                self._api.remove_image(image_id, noprune=True)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """An image that a cache is to hold. `has_run`: the build carried out steps of it; `image_id`: it is what the build
    was for, and is known already."""

    name: str
    request: BuildRequest
    has_run: bool
    image_id: str = ""


def _wanted(target: CacheTarget, built: Built) -> Iterator[_Wanted]:
    """What to build for the cache: each stage to keep by its name, the built one last. What the engine has not in its
    own cache by now, it takes out of those that the build was told of."""
    request = replace(built.request, inline_cache=True, tags=(), no_cache=False, pull=False)
    platform = f"-{request.platform.replace('/', '-')}" if request.platform else ""
    if target.all_stages:
        stages = _stages(built)
        edited = stages.dockerfile.encode("utf-8", "surrogateescape")
        for label, name in stages.stages:
            yield _Wanted(
                name=f"{label}{platform}",
                request=replace(request, target=name, edit=lambda _: edited),
                has_run=bool(stages_in(built.ran) & stages.below(label)),
            )
    yield _Wanted(name=f"{_BUILT}{platform}", request=request, has_run=bool(built.ran), image_id=built.image_id)


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


def _count(kept: Sequence[_Wanted]) -> str:
    if len(kept) > 1:
        return f"{len(kept)} stages"
    return "the built stage" if kept[0].image_id else f"stage {kept[0].name}"
