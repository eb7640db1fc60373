"""The package-url of an image: `pkg:oci/...`, as the package-url specification writes it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskengine.registry.reference import ImageReference

if TYPE_CHECKING:
    from packageurl import PackageURL


def image_url(image: ImageReference, digest: str | None, *, platform: str = "", local: bool = False) -> PackageURL:
    """An image by its digest, as far as that is known. One that is `local` on an engine is in no repository."""
    from packageurl import PackageURL

    qualifiers = {"repository_url": "" if local else image.name, "tag": image.tag, "platform": platform}
    return PackageURL(
        type="oci", name=image.path.rpartition("/")[2], version=digest,
        qualifiers={key: value for key, value in qualifiers.items() if value},
    )  # fmt: skip
