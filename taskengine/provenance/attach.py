"""Attaches what is known of a run to the images that it pushed. The image itself stays what it was, digest and all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from taskengine.logs.mask import Mask
from taskengine.provenance.materials import PushedImage
from taskengine.provenance.statement import RunInputs, record_artifact, statement_artifact
from taskengine.registry.artifact import Artifact
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.runs.model import RunRecord
from taskengine.sbom.image import bills


def attach_to(
    client: RegistryClient,
    image: PushedImage,
    record: RunRecord,
    inputs: RunInputs,
    mask: Mask,
    *,
    provenance: bool,
    sbom: bool,
) -> tuple[tuple[str, str], ...]:
    """Attach to one image; what each thing is called and its digest. Raises what the client raises."""
    subject = client.resolve(image.reference)
    image = replace(image, digest=subject.digest)  # an engine may not have told it
    wanted: dict[str, tuple[Descriptor, list[tuple[str, Artifact]]]] = {subject.digest: (subject, [])}
    if provenance:
        made = statement_artifact(record, image, inputs, mask)
        wanted[subject.digest][1].extend([("provenance", made), ("run record", record_artifact(record, mask))])
    if sbom:
        for about, bill in _bills(client, image, record, inputs):
            wanted.setdefault(about.digest, (about, []))[1].append(("sbom", bill))
    done: list[tuple[str, str]] = []
    for about, artifacts in wanted.values():
        attached = client.attach(image.reference, about, [artifact for _, artifact in artifacts])
        done += [(name, one.digest) for (name, _), one in zip(artifacts, attached.referrers, strict=True)]
    return tuple(done)


def _bills(
    client: RegistryClient, image: PushedImage, record: RunRecord, inputs: RunInputs
) -> Iterator[tuple[Descriptor, Artifact]]:
    created = record.finished or datetime.fromtimestamp(0, UTC)
    return bills(client, image.reference, created=created, version=inputs.version)
