"""Artifacts that are attached to an image: one document, as an OCI 1.1 manifest with a subject. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field

from taskengine.lightclass import dataclass
from taskengine.registry.body import Content
from taskengine.registry.content import Descriptor, Manifest
from taskengine.registry.mediatype import OCI_EMPTY, OCI_MANIFEST

#: what stands where an image has its configuration
_EMPTY = Content.of_bytes(b"{}", OCI_EMPTY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """`kind` is the artifact's type, `media_type` that of its document; annotations stand at the manifest."""

    kind: str
    media_type: str
    document: bytes = field(repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def contents(self) -> tuple[Content, ...]:
        """The blobs that must be in the repository before the manifest may be."""
        return _EMPTY, Content.of_bytes(self.document, self.media_type)

    def manifest(self, subject: Descriptor) -> Manifest:
        """The same bytes for the same subject and document."""
        config, layer = (
            Descriptor(digest=one.digest, media_type=one.media_type, size=one.size).as_json() for one in self.contents
        )
        about = Descriptor(digest=subject.digest, media_type=subject.media_type, size=subject.size)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": self.kind,
            "config": config,
            "layers": [layer],
            "subject": about.as_json(),
            "annotations": dict(sorted(self.annotations.items())),
        }
        return Manifest.of(json.dumps(document, separators=(",", ":")).encode(), OCI_MANIFEST)
