"""Finds what a step stood on: the images with the digests that were really used, asked of whoever knows.

BuildKit says what it took from a registry. Of an image of the engine's own store the engine knows under which digest it
once came. Which manifest of an index serves the platform is read from the registry, by the digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runners.docker.buildkit.model import BuildOutcome, BuildRequest, ResolvedImage
from runners.docker.engine import Engine
from runners.docker.login import auth_config
from runners.docker.refused import failed
from taskengine.errors import InvalidInput, TaskEngineError
from taskengine.registry.digest import is_digest
from taskengine.registry.reference import ImageReference
from taskengine.runner import Cancel
from taskengine.runs.dependency import Used, dependencies, of_image
from taskengine.runs.model import Dependency, DependencyType

if TYPE_CHECKING:
    from taskengine.dockerfile.scan import Scan
    from taskengine.registry.auth import Logins
    from taskengine.registry.platformdigest import PlatformDigests

#: the first version of the Engine API whose BuildKit tells the digest of all that it takes
_TELLS_ALL = (1, 42)
LOCAL = "it is on the engine alone: no registry gave it a digest"
MOVED = "its tag moved while the image was built"
AFTERWARDS = "read when the build was over: the builder did not say"


def understood(dockerfile: bytes, request: BuildRequest, engine_platform: str) -> Scan | None:
    """What the Dockerfile asks for; None where we cannot read it and its own front end perhaps can."""
    from taskengine.dockerfile.scan import scan

    try:
        return scan(
            dockerfile.decode("utf-8-sig", "replace"),
            build_args=request.build_args,
            target=request.target,
            platform=request.platform or engine_platform,
            build_platform=engine_platform,
        )
    except InvalidInput:
        return None


class Standing:
    """What the steps of one run stand on. Thread-safe."""

    def __init__(self, api: Engine, logins: Logins, platforms: PlatformDigests | None) -> None:
        self._api = api
        self._logins = logins
        self._platforms = platforms

    # a build

    def before(self, found: Scan | None, *, pull: bool) -> Mapping[ImageReference, str]:
        """The digests, as the engine reads them now, of what this engine's BuildKit will not tell: BuildKit of Docker
        20.10 keeps to itself what a COPY or a mount takes from. The same digest afterwards is the one that was used."""
        if found is None or self._tells_all():
            return {}
        bases = {stage.base for stage in found.stages if stage.is_needed}
        hidden = [image for image in found.buildtime if image not in bases and not image.digest]
        return {image: self._in_registry(image) for image in hidden if pull or self._on_engine(image) is None}

    def after(
        self,
        found: Scan | None,
        outcome: BuildOutcome,
        known: Mapping[ImageReference, str],
        *,
        platform: str,
        pull: bool,
        cancel: Cancel,
    ) -> tuple[Dependency, ...]:
        """What a build that succeeded stood on. What cannot be found stays open, with a note; nothing is raised."""
        images = {_named(entry): entry for entry in outcome.resolved}
        used = [Used(image=i, digest=e.digest, is_frontend=e.is_frontend) for i, e in images.items()]
        made = dependencies(found, used, platform=platform)
        return tuple(self._settled(entry, known, pull=pull, cancel=cancel) for entry in made)

    def digest_now(self, image: ImageReference, *, pull: bool) -> str:
        """The digest of the image that a build would take now, as the engine says; empty where it knows none."""
        if image.digest:
            return image.digest
        local = None if pull else self._on_engine(image)
        return self._in_registry(image) if local is None else next(iter(_repo_digests(local, image)), "")

    def _settled(
        self, entry: Dependency, known: Mapping[ImageReference, str], *, pull: bool, cancel: Cancel
    ) -> Dependency:
        image = ImageReference.parse(entry.reference)
        if entry.digest is None:
            local = None if pull else self._on_engine(image)
            entry = _of_engine(entry, image, local) if local is not None else self._of_registry(entry, image, known)
        return self._for_platform(entry, image, cancel)

    def _of_registry(self, entry: Dependency, image: ImageReference, known: Mapping[ImageReference, str]) -> Dependency:
        now = self._in_registry(image)
        if not now:
            return entry
        before = known.get(image)
        if before and before != now:
            return replace(entry, note=MOVED)
        return replace(entry, digest=now, note="" if before else AFTERWARDS)

    def _for_platform(self, entry: Dependency, image: ImageReference, cancel: Cancel) -> Dependency:
        if entry.digest is None or self._platforms is None:
            return entry
        try:
            digest = self._platforms.find(image.with_digest(entry.digest), entry.platform, cancel)
        except TaskEngineError as error:
            note = entry.note or f"the manifest for {entry.platform} is not known: {error.message}"
            return replace(entry, note=note)
        return replace(entry, platform_digest=digest)

    # what the engine knows

    def _tells_all(self) -> bool:
        major, _, minor = str(self._api.api_version).partition(".")
        return (int(major), int(minor)) >= _TELLS_ALL if major.isdecimal() and minor.isdecimal() else True

    def _on_engine(self, image: ImageReference) -> Mapping[str, Any] | None:
        return _quietly(lambda: self._api.inspect_image(image.normalised))

    def _in_registry(self, image: ImageReference) -> str:
        """The digest that the image's name stands for now, as the engine reads it; empty when it cannot."""
        login = auth_config(self._logins.get(image.auth_key()))
        answer = _quietly(lambda: self._api.inspect_distribution(image.normalised, auth_config=login or None)) or {}
        digest = (answer.get("Descriptor") or {}).get("digest")
        return str(digest) if is_digest(digest) else ""


def of_command(image: str, inspected: Mapping[str, Any]) -> tuple[Dependency, ...]:
    """The image that a `cmd` step runs, as the engine has it. Nothing for an image that is named by its id."""
    try:
        reference = ImageReference.parse(image)
    except InvalidInput:
        return ()
    platform = "/".join(p for key in ("Os", "Architecture", "Variant") if (p := str(inspected.get(key) or "")))
    entry = of_image(reference, DependencyType.CMD, platform=platform)
    return (_of_engine(entry, reference, inspected),)


def _of_engine(entry: Dependency, image: ImageReference, inspected: Mapping[str, Any]) -> Dependency:
    """The dependency, as the engine's own copy of the image says it."""
    ident = str(inspected.get("Id") or "")
    digests = _repo_digests(inspected, image)
    digest = entry.digest or (digests[0] if digests else None)
    if digest is None:
        return replace(entry, local=True, image_id=ident, note=LOCAL)
    return replace(entry, digest=digest, image_id=ident, note="")


def _repo_digests(inspected: Mapping[str, Any], image: ImageReference) -> list[str]:
    """The digests under which the engine pulled or pushed it; one of another repository says nothing about this one."""
    found = []
    for text in inspected.get("RepoDigests") or ():
        try:
            reference = ImageReference.parse(text)
        except InvalidInput:
            continue
        if reference.name == image.name and reference.digest:
            found.append(reference.digest)
    return found


def _named(entry: ResolvedImage) -> ImageReference:
    has_tag = ":" in entry.reference.rpartition("/")[2]
    return ImageReference.parse(entry.reference if has_tag else f"{entry.reference}@{entry.digest}")


def _quietly(ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The engine's answer, None when it has none: a build that succeeded does not fail for a line in its record."""
    try:
        return ask()
    except failed():
        return None
