"""Brings the images that steps run to the engine, as early as possible and each once.

Knows references, logins and the engine's image store. An image that the run itself builds is not pulled.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from runners.docker.engine import Engine
from runners.docker.failure import StepFailed, explanation, registry_failure
from runners.docker.login import auth_config
from runners.docker.once import Canceled, Crew, in_thread, wait
from runners.docker.refused import failed, not_there
from taskengine.registry.reference import ImageReference
from taskengine.runner import Cancel
from taskengine.runs.model import Reason

if TYPE_CHECKING:
    from runners.docker.imagebook import ImageBook
    from taskengine.registry.auth import Logins

#: layers are unpacked one after the other by the engine, so more pulls at once only share its disk
_PULLS_AT_ONCE = 3


class Images:
    """Thread-safe. `close` waits for nothing: a pull that nobody needs any more ends by itself. What is pulled is
    noted in the `book`."""

    def __init__(self, api: Engine, logins: Logins, *, platform: str = "", book: ImageBook | None = None) -> None:
        self._api = api
        self._logins = logins
        self._platform = platform
        self._book = book
        self._turns = threading.BoundedSemaphore(_PULLS_AT_ONCE)
        self._ahead = Crew(_PULLS_AT_ONCE, "pull-ahead")
        self._early: dict[str, Future[None]] = {}
        self._seen: dict[str, dict[str, Any]] = {}  # what was brought ahead, so that forty steps need not ask again
        self._closed = Cancel()

    def prefetch(self, images: Iterable[str]) -> None:
        """Begin to bring these images, in this order, without anybody waiting for them."""
        for image in images:
            if image not in self._early:
                done: Future[None] = Future()
                self._early[image] = done
                self._ahead.submit(self._bring_quietly, image, done)

    def _bring_quietly(self, image: str, done: Future[None]) -> None:
        with contextlib.suppress(Exception):  # its step asks again and then says why
            found = self._inspect(image)
            if found is None:
                self._pull(image, lambda _: None, self._closed)
                found = self._inspect(image)
            if found is not None:
                self._seen[image] = found
        done.set_result(None)

    def _inspect(self, image: str) -> dict[str, Any] | None:
        try:
            return self._api.inspect_image(image)
        except not_there():
            return None

    def ensure(
        self,
        image: str,
        *,
        always: bool = False,
        retries: int = 0,
        delay: float = 0,
        cancel: Cancel,
        progress: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Wait until the engine has the image; returns what the engine says of it.

        `always` asks the registry even if it is there; `retries` and `delay`
        (seconds) are the step's cmdDownloadRetries. Raises StepFailed, or Canceled."""
        early = self._early.get(image)
        if early is not None:
            wait(early, cancel)
        found = None if always else self._seen.get(image) or self._inspect(image)
        for left in range(max(retries, 0), -1, -1):
            if found is not None:
                break
            try:
                wait(in_thread(lambda: self._pull(image, progress, cancel), "pull"), cancel)
                found = self._inspect(image)
            except StepFailed as failure:
                if not left or not failure.retryable:
                    raise
                if cancel.wait(delay):
                    raise Canceled from failure
        if found and self._book is not None:
            self._book.used(_name(image), str(found.get("Id", "")))
        return found or {}

    def _pull(self, image: str, progress: Callable[[dict[str, Any]], None], cancel: Cancel) -> None:
        with self._turns:
            if self._book is None:
                self._pull_now(image, progress, cancel)
                return
            before = self._inspect(image)
            self._pull_now(image, progress, cancel)
            if (found := self._inspect(image)) is not None:
                known = None if before is None else str(before["Id"])
                self._book.made(_name(image), str(found["Id"]), "pulled", before=known)

    def _pull_now(self, image: str, progress: Callable[[dict[str, Any]], None], cancel: Cancel) -> None:
        reference = ImageReference.parse(image)
        login = self._logins.get(reference.auth_key())
        try:
            for line in self._api.pull(
                reference.name,
                tag=reference.digest or reference.tag or "latest",
                stream=True,
                decode=True,
                auth_config=auth_config(login),
                platform=self._platform or None,
            ):
                if cancel.is_set:
                    raise Canceled
                if "error" in line:
                    raise registry_failure(Reason.PULL, "pull", image, str(line["error"]))
                progress(line)
        except failed() as error:
            raise registry_failure(Reason.PULL, "pull", image, explanation(error)) from error

    def close(self) -> None:
        self._closed.set()
        self._ahead.close(drop=True, wait=False)


def _name(image: str) -> str:
    return ImageReference.parse(image).familiar
