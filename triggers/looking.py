"""Asks registries which platforms a digest has, for those who ask what it would lead to. Changes nothing anywhere."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskengine.registry.reference import ImageReference
from triggers.imagechange import Seen

if TYPE_CHECKING:
    from taskengine.registry.client import RegistryClient

#: seconds that somebody waits for an answer
_SECONDS = 10.0
_REMEMBERED = 256


class Looking:
    """Connects when it is first asked. Thread-safe; what a digest stands for never changes, so it is remembered."""

    def __init__(self, connect: Callable[[], RegistryClient]) -> None:
        self._connect = connect
        self._client: RegistryClient | None = None
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Seen] = OrderedDict()

    def __call__(self, reference: ImageReference) -> Seen:
        """What is behind the reference's digest. Raises TaskEngineError."""
        name = f"{reference.name}@{reference.digest}"
        with self._lock:
            if name in self._known:
                self._known.move_to_end(name)
                return self._known[name]
            if self._client is None:
                self._client = self._connect()
            client = self._client.bound(seconds=_SECONDS)
        found = Seen.of_manifest(client.manifest(reference))
        with self._lock:
            self._known[name] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
