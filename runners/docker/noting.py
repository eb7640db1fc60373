"""Notes in a worker's book which images a build has left on the engine, and what their names meant before it."""

from __future__ import annotations

from collections.abc import Callable

from runners.docker.engine import Engine
from runners.docker.imagebook import ImageBook
from runners.docker.refused import not_there
from taskengine.plan.model import BuildLine
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import ImageResult


def noting(api: Engine, book: ImageBook, line: BuildLine) -> Callable[[ImageResult], None]:
    """To be called before a build; what it returns, with each image that the build made. Raises what the engine's
    client raises."""
    before: dict[str, str] = {}
    there: frozenset[str] = frozenset()
    for tag in line.tags:
        name = ImageReference.parse(tag).familiar
        try:
            before[name] = str(api.inspect_image(name)["Id"])
        except not_there():
            continue
    if not line.tags:  # without a name, only its id tells whether it was there
        there = frozenset(api.images(quiet=True, all=True))

    def note(image: ImageResult) -> None:
        if image.image_id not in there:
            book.made(image.reference, image.image_id, "built", before=before.get(image.reference))

    return note
