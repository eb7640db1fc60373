"""What a build stood on: what its Dockerfile asks for, put together with what the builder says it used. Pure.

The builder is believed: what it used counts, also where the text does not say so. The text adds what each image was
needed for. Where neither knows a digest it stays open; whoever has an engine may look for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskengine.dockerfile.scan import Scan
from taskengine.lightclass import dataclass
from taskengine.registry.reference import ImageReference
from taskengine.runs.model import Dependency, DependencyType

UNNAMED = "the builder used it, though the Dockerfile does not name it: a trigger of its base may, or its front end"
UNREAD = "what it was needed for is not known: the Dockerfile could not be read"
UNSAID = "the builder did not say which one it used"


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """An image that a builder says it used; `digest` is empty where it told none."""

    image: ImageReference
    digest: str = ""
    is_frontend: bool = False


def dependencies(found: Scan | None, used: Iterable[Used], *, platform: str) -> tuple[Dependency, ...]:
    """What a build stood on, each image once: its base first, the front end last. `found` is None for a Dockerfile that
    was not understood; `platform` is what was built for."""
    seen = {_key(entry.image): entry for entry in used}
    made: list[Dependency] = []
    for kind, image in _asked(found):
        entry = seen.pop(_key(image), None)
        digest = image.digest or (entry.digest if entry else "")
        note = "" if entry or digest else UNSAID
        wanted = found.platform_of(image, platform) if found else platform
        made.append(of_image(image, kind, digest=digest, platform=wanted, note=note))
    told = {d.digest for d in made if d.digest}
    for entry in seen.values():
        # under another name: another spelling, or (Docker 26) that of another build whose steps the cache had
        if entry.digest in told or (found is not None and not entry.digest and not entry.is_frontend):
            continue
        kind = DependencyType.SYNTAX if entry.is_frontend else DependencyType.BUILDTIME
        note = "" if entry.is_frontend else UNREAD if found is None else UNNAMED
        made.append(of_image(entry.image, kind, digest=entry.digest, platform=platform, note=note))
    return tuple(sorted(made, key=lambda d: _ORDER.index(d.type)))


def of_image(
    image: ImageReference, kind: DependencyType, *, digest: str = "", platform: str = "", note: str = ""
) -> Dependency:
    """A dependency that an image's name makes, and no more is known of than what is given."""
    return Dependency(
        type=kind,
        registry=image.registry,
        repository=image.repository,
        tag=image.tag,
        reference=image.reference,
        digest=digest or image.digest or None,
        platform=platform,
        note=note,
    )


_ORDER: Sequence[DependencyType] = tuple(DependencyType)


def _asked(found: Scan | None) -> Iterable[tuple[DependencyType, ImageReference]]:
    if found is None:
        return
    if found.runtime is not None:
        yield DependencyType.RUNTIME, found.runtime
    for image in found.buildtime:
        yield DependencyType.BUILDTIME, image
    if found.syntax is not None:
        yield DependencyType.SYNTAX, found.syntax


def _key(image: ImageReference) -> tuple[str, str, str]:
    """Tag or digest, whichever a builder would tell the image by."""
    return image.domain, image.path, image.tag or image.digest
