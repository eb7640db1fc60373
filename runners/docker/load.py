"""Brings an image that was built elsewhere into the engine, as an archive that is passed on while it arrives."""

from __future__ import annotations

from collections.abc import Iterator

from runners.docker.engine import Engine
from runners.docker.failure import plain
from runners.docker.refused import failed
from taskengine.errors import RunnerError


def load_image(api: Engine, archive: Iterator[bytes]) -> None:
    """Raises RunnerError when the engine does not take it."""
    hint = "is there room on the engine's disk, and did BuildKit build for the engine's own platform?"
    try:
        for line in api.load_image(archive):
            if trouble := line.get("error") or line.get("message"):
                raise RunnerError(f"the engine does not take the image that was built: {trouble}", hint=hint)
    except failed() as error:
        raise RunnerError(f"the engine does not take the image that was built: {plain(error)}", hint=hint) from error
