"""Which manifest of an index serves a platform, asked of a registry once and then known for good.

A digest always means the same bytes, so an answer never grows old: it is kept on disk, and a rebuild asks no registry.
That also spares the rate limits of those that count each manifest.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from taskengine.errors import TaskEngineError, Unreachable
from taskengine.registry.digest import is_digest
from taskengine.registry.limits import Cancel
from taskengine.registry.reference import ImageReference

if TYPE_CHECKING:
    from taskengine.registry.client import RegistryClient

#: seconds that a build waits for a registry which is to tell nothing but this
PATIENCE = 10.0
_MOST_FILES = 4096


class PlatformDigests:
    """Thread-safe. `folder` keeps what was found, None keeps it in memory only; `connect` makes the client when a
    registry has to be asked for the first time."""

    def __init__(self, connect: Callable[[], RegistryClient], folder: Path | None) -> None:
        self._connect = connect
        self._folder = folder
        self._client: RegistryClient | None = None
        self._known: dict[tuple[str, str], str] = {}
        self._away: dict[str, TaskEngineError] = {}
        self._lock = threading.Lock()

    def find(self, image: ImageReference, platform: str, cancel: Cancel | None = None) -> str:
        """The digest of the manifest that `image`, a reference with a digest, has for `platform`.

        Raises what the registry's client raises. A registry that could not be reached is not asked again.
        """
        key = (image.digest, platform)
        found = self._known.get(key) or self._read(key)
        if not found:
            if image.domain in self._away:
                raise self._away[image.domain]
            try:
                found = self._ask().bound(seconds=PATIENCE, cancel=cancel).platform_manifest(image, platform).digest
            except Unreachable as error:
                self._away[image.domain] = error
                raise
            self._write(key, found)
        self._known[key] = found
        return found

    def _ask(self) -> RegistryClient:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _read(self, key: tuple[str, str]) -> str:
        try:
            found = json.loads(self._file(key).read_bytes()) if self._folder else {}
        except (OSError, ValueError):
            return ""
        digest = found.get(key[1]) if isinstance(found, dict) else None
        return str(digest) if is_digest(digest) else ""

    def _write(self, key: tuple[str, str], digest: str) -> None:
        """What cannot be kept is asked again."""
        if self._folder is None:
            return
        with self._lock, contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(self._folder)
            file = self._file(key)
            try:
                known = json.loads(file.read_bytes())
            except (OSError, ValueError):
                known = {}
            fresh = file.with_suffix(f".{os.getpid()}.new")
            fresh.write_text(json.dumps({**(known if isinstance(known, dict) else {}), key[1]: digest}))
            fresh.replace(file)

    def _file(self, key: tuple[str, str]) -> Path:
        return (self._folder or Path()) / f"{key[0].replace(':', '-')}.json"

    @staticmethod
    def _make_room(folder: Path) -> None:
        files = list(folder.iterdir())
        if len(files) >= _MOST_FILES:
            for old in sorted(files, key=lambda file: file.stat().st_mtime)[: len(files) // 2]:
                old.unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
