"""Pushes images from the engine to their registries: three tries each with a growing pause, as ACR does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from runners.docker.engine import Engine
from runners.docker.failure import StepFailed, explanation, fail, registry_failure
from runners.docker.login import auth_config
from runners.docker.once import in_thread, wait
from taskengine.registry.reference import ImageReference
from taskengine.runner import Cancel
from taskengine.runs.model import ImageResult, Reason

if TYPE_CHECKING:
    from taskengine.registry.auth import Logins

ATTEMPTS = 3
#: seconds before the second try; doubled for each further one
FIRST_PAUSE = 1.0


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
    ) -> ImageResult:
        """Push one image; returns it with the digest that the registry has it under. Raises StepFailed.

        `retrying(attempt, pause, why)` is told before each further try.
        """
        reference = ImageReference.parse(image)
        size = self._size(image)
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                digest = wait(in_thread(partial(self._push, reference, image, cancel, progress), "push"), cancel)
                return ImageResult(reference=image, digest=digest, size=size, pushed=True)
            except StepFailed as failure:
                if attempt == ATTEMPTS or not failure.retryable:
                    raise
                retrying(attempt, pause, failure.result.message)
                if cancel.wait(pause):
                    raise fail(Reason.CANCELED, f"canceled while waiting to push {image} again") from failure
                pause *= 2
        raise AssertionError("unreachable")

    def _size(self, image: str) -> int:
        from docker.errors import ImageNotFound

        try:
            return int(self._api.inspect_image(image)["Size"])
        except ImageNotFound:
            raise fail(
                Reason.PUSH, f"there is no image {image} on the engine to push",
                hint="build it in an earlier step with `-t` and just this name",
            ) from None  # fmt: skip

    def _push(
        self, reference: ImageReference, image: str, cancel: Cancel, progress: Callable[[dict[str, Any]], None]
    ) -> str:
        import requests
        from docker.errors import APIError

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
        except (APIError, requests.RequestException) as error:
            raise registry_failure(Reason.PUSH, "push", image, explanation(error)) from error
        return digest
