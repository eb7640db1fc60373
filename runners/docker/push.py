"""Pushes images from the engine to their registries: three tries each with a growing pause, as ACR does.

What a registry has already under the same tag is not pushed again. The engine is asked for that, not the registry: it
may know the registry by a name, or reach it by a way, that this process does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from runners.docker.engine import Engine
from runners.docker.failure import StepFailed, explanation, fail, registry_failure
from runners.docker.login import auth_config
from runners.docker.once import in_thread, wait
from runners.docker.refused import failed, not_there
from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.registry.mediatype import MANIFESTS
from taskengine.registry.reference import ImageReference
from taskengine.runner import Cancel
from taskengine.runs.model import ImageResult, Reason

if TYPE_CHECKING:
    from taskengine.registry.auth import Logins

ATTEMPTS = 3
#: seconds before the second try; doubled for each further one
FIRST_PAUSE = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """`was_there`: the registry had just this image under this tag, and nothing was sent."""

    image: ImageResult
    was_there: bool = False


class Pusher:
    """Thread-safe."""

    def __init__(self, api: Engine, logins: Logins) -> None:
        self._api = api
        self._logins = logins

    def push(
        self,
        image: str,
        *,
        cancel: Cancel,
        progress: Callable[[dict[str, Any]], None],
        retrying: Callable[[int, float, str], None],
    ) -> Pushed:
        """Push one image; returns it with the digest that the registry has it under. Raises StepFailed.

        `retrying(attempt, pause, why)` is told before each further try.
        """
        reference = ImageReference.parse(image)
        found = self._inspect(image)
        size = int(found["Size"])
        if known := known_digests(found, reference):
            there = wait(in_thread(partial(self._digest_there, reference), "look"), cancel)
            if there in known:
                return Pushed(image=ImageResult(reference=image, digest=there, size=size, pushed=True), was_there=True)
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                digest = wait(in_thread(partial(self._push, reference, image, cancel, progress), "push"), cancel)
                return Pushed(image=ImageResult(reference=image, digest=digest, size=size, pushed=True))
            except StepFailed as failure:
                if attempt == ATTEMPTS or not failure.retryable:
                    raise
                retrying(attempt, pause, failure.result.message)
                if cancel.wait(pause):
                    raise fail(Reason.CANCELED, f"canceled while waiting to push {image} again") from failure
                pause *= 2
        raise AssertionError("unreachable")

    def _inspect(self, image: str) -> dict[str, Any]:
        try:
            return self._api.inspect_image(image)
        except not_there():
            raise fail(
                Reason.PUSH, f"there is no image {image} on the engine to push",
                hint="build it in an earlier step with `-t` and just this name",
            ) from None  # fmt: skip

    def _digest_there(self, reference: ImageReference) -> str:
        """The image that the registry has under the tag; empty where there is none, or where nobody can say.

        An index is none: pushing puts the engine's one image in its place, as the author asked.
        """
        login = self._logins.get(reference.auth_key())
        name = f"{reference.name}:{reference.tag or 'latest'}"
        try:
            said = self._api.inspect_distribution(name, auth_config=auth_config(login))
        except failed():  # Podman has no such call; pushing tells what is wrong
            return ""
        descriptor = said.get("Descriptor") or {}
        return str(descriptor.get("digest") or "") if descriptor.get("mediaType") in MANIFESTS else ""

    def _push(
        self, reference: ImageReference, image: str, cancel: Cancel, progress: Callable[[dict[str, Any]], None]
    ) -> str:
        login = self._logins.get(reference.auth_key())
        digest = ""
        try:
            for line in self._api.push(
                reference.name, tag=reference.tag or "latest", stream=True, decode=True,
                auth_config=auth_config(login),
            ):  # fmt: skip
                if cancel.is_set:
                    raise fail(Reason.CANCELED, f"canceled while pushing {image}")
                if "error" in line:
                    raise registry_failure(Reason.PUSH, "push", image, str(line["error"]))
                digest = (line.get("aux") or {}).get("Digest", digest)
                progress(line)
        except failed() as error:
            raise registry_failure(Reason.PUSH, "push", image, explanation(error)) from error
        return digest


def known_digests(inspected: dict[str, Any], reference: ImageReference) -> frozenset[str]:
    """The digests under which the engine pushed this image to the reference's repository, or pulled it from there."""
    found = set()
    for text in inspected.get("RepoDigests") or ():
        try:
            one = ImageReference.parse(text)
        except InvalidInput:  # such as <none>@<none>
            continue
        if one.digest and one.name == reference.name:
            found.add(one.digest)
    return frozenset(found)
