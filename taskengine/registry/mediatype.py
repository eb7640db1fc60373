"""The media types of registries: what they are called, and which kind of document each one is. Pure."""

from __future__ import annotations

from taskengine.lightpattern import pattern

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
#: the OCI draft of artifacts that some registries still hold
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
OCTETS = "application/octet-stream"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT})
#: manifests of the first schema: readable by nobody but their registry, and gone from Docker
SCHEMA1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})

#: the Accept header of every request for a manifest; without it, old registries make one of the first schema
ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT))

_TYPE = pattern(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


def essence(header: str | None) -> str:
    """The type in a Content-Type header, without parameters and in lower case; empty for what is none."""
    text = (header or "").partition(";")[0].strip()
    return text.lower() if _TYPE.fullmatch(text) else ""


def is_media_type(text: object) -> bool:
    return isinstance(text, str) and _TYPE.fullmatch(text) is not None


def is_foreign_layer(media_type: str) -> bool:
    """Layers that are fetched from their vendor, and that no registry need hold."""
    return ".foreign." in media_type or ".nondistributable." in media_type
