"""A bill of materials as CycloneDX 1.6 JSON, out of what was found in an image. Pure; the library knows the format."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from taskengine.registry.purl import image_url
from taskengine.registry.reference import ImageReference
from taskengine.sbom.model import Distribution, Findings, Package

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component

CYCLONEDX = "application/vnd.cyclonedx+json"
#: said where there is no package database: an empty list could also mean that nobody looked
NO_PACKAGES = "the image has no package database that is known here; what is in it beside packages is not listed"
_NAMES = uuid.UUID("5f3c5f0e-6d0a-5c39-9d52-9a1c0f3f7a11")


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """The image that a document is about, who made it and when."""

    image: ImageReference
    digest: str
    platform: str = ""
    created: datetime
    version: str


def bill_of_materials(found: Findings, about: About) -> bytes:
    """The document. The same findings about the same image at the same time give the same bytes."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    packages = [_package(one, found.distribution) for one in found.packages]
    system = _system(found.distribution)
    image = _image(about)
    bom = Bom(
        serial_number=uuid.uuid5(_NAMES, f"{about.image.name}@{about.digest}"),
        components=[*([system] if system else []), *packages],
        properties=_properties(found),
    )
    bom.metadata.timestamp = about.created
    bom.metadata.component = image
    bom.metadata.tools.components.add(_tool(about.version))
    bom.register_dependency(image, [*([system] if system else []), *packages])
    return JsonV1Dot6(bom).output_as_string().encode()


def _properties(found: Findings) -> Iterable[Property]:
    from cyclonedx.model import Property

    for database in found.databases:
        yield Property(name="acr-task:database", value=database)
    for gap in found.gaps:
        yield Property(name="acr-task:gap", value=gap)
    if not found.databases:
        yield Property(name="acr-task:note", value=NO_PACKAGES)


def _image(about: About) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    algorithms = {"sha256": HashAlgorithm.SHA_256, "sha512": HashAlgorithm.SHA_512}
    algorithm, _, value = about.digest.partition(":")
    return Component(
        type=ComponentType.CONTAINER,
        bom_ref="image",
        name=about.image.name,
        version=about.digest,
        purl=image_url(about.image, about.digest, platform=about.platform),
        hashes=[HashType(alg=algorithms[algorithm], content=value)] if algorithm in algorithms else [],
        properties=[Property(name="acr-task:platform", value=about.platform)] if about.platform else [],
    )


def _tool(version: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    return Component(type=ComponentType.APPLICATION, bom_ref="acr-task", name="acr-task", version=version)


def _system(distribution: Distribution) -> Component | None:
    from cyclonedx.model.component import Component, ComponentType

    if not distribution.id:
        return None
    return Component(
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref="distribution",
        name=distribution.id,
        version=distribution.version or None,
        description=distribution.name or None,
    )


def _package(package: Package, distribution: Distribution) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.spdx import is_supported_id
    from packageurl import PackageURL

    qualifiers = {
        "arch": package.architecture,
        "distro": "-".join(filter(None, (distribution.id, distribution.version))),
        "epoch": package.epoch if package.epoch != "0" else "",
    }
    url = PackageURL(
        type=package.kind,
        namespace=distribution.id or None,
        name=package.name,
        version=package.version or None,
        qualifiers={key: value for key, value in qualifiers.items() if value},
    )
    licenses = []
    if package.license:
        known = is_supported_id(package.license)
        licenses = [DisjunctiveLicense(id=package.license) if known else DisjunctiveLicense(name=package.license)]
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=url.to_string(),
        name=package.name,
        version=package.version or None,
        purl=url,
        licenses=licenses,
        properties=[Property(name="acr-task:source", value=package.source)] if package.source else [],
    )
