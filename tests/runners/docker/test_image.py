"""Bringing images ahead of their turn."""

from __future__ import annotations

import threading
from typing import Any

from runners.docker.image import Images
from taskengine.registry.auth import Logins


class Slow:
    """An engine that takes its time to look an image up, and counts who asks at once."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asking = 0
        self.most = 0
        self._lock = threading.Lock()

    def inspect_image(self, _: str) -> dict[str, Any]:
        with self._lock:
            self.asking += 1
            self.most = max(self.most, self.asking)
        self.release.wait(10)
        with self._lock:
            self.asking -= 1
        return {"Config": {"User": ""}}


def test_any_number_of_images_is_looked_after_by_a_few_threads() -> None:
    engine, before = Slow(), threading.active_count()
    images = Images(engine, Logins())  # type: ignore[arg-type]
    images.prefetch(f"image-{i}" for i in range(500))
    assert threading.active_count() - before <= 3
    engine.release.set()
    images.close()
    assert engine.most <= 3
