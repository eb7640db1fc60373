"""Makes the bill of materials of an image in a registry; of an index, one for each of its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from taskengine.context.model import Deadline, Never, Stop
from taskengine.registry.artifact import Artifact
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor, Manifest
from taskengine.registry.mediatype import MANIFESTS
from taskengine.registry.reference import ImageReference
from taskengine.sbom.databases import read
from taskengine.sbom.document import CYCLONEDX, About, bill_of_materials
from taskengine.sbom.layers import image_files

#: seconds that reading one image's layers may take
LONGEST = 900.0


def bills(
    client: RegistryClient,
    ref: ImageReference,
    *,
    created: datetime,
    version: str,
    stop: Stop | None = None,
) -> Iterator[tuple[Descriptor, Artifact]]:
    """Each image that the reference stands for, and its bill. `created` is when it is said to have been made."""
    top = client.manifest(ref)
    for manifest, platform in _images(client, ref, top):
        deadline = Deadline(LONGEST, stop or Never())
        found = image_files(client.bound(seconds=LONGEST), ref, manifest, deadline)
        findings = read(found.files)
        findings = replace(findings, gaps=(*findings.gaps, *found.gaps))
        about = About(image=ref, digest=manifest.digest, platform=platform, created=created, version=version)
        document = bill_of_materials(findings, about)
        yield manifest.descriptor, Artifact(kind=CYCLONEDX, media_type=CYCLONEDX, document=document)


def _images(client: RegistryClient, ref: ImageReference, top: Manifest) -> Iterator[tuple[Manifest, str]]:
    if not top.is_index:
        yield top, ""
        return
    for entry in top.manifests:
        # what is `unknown/unknown` is a statement in the index and no image
        if entry.media_type in MANIFESTS and not entry.platform.startswith("unknown"):
            yield client.manifest(ref.with_digest(entry.digest)), entry.platform
