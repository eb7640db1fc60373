"""Pulls an artifact out of a registry: files by their titles, archives unpacked one over the other.

A layer with a title (`org.opencontainers.image.title`) is a file of that name, or a folder where it is marked as one
to unpack, as `oras push` makes both. A layer without a title is an archive. Every blob's digest is verified before
anything of it is used. Speaks to registries through `RegistryClient` only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskengine.context.archive import Unpacking, clean_name, unpack_onto
from taskengine.context.model import Deadline, Fetched, Limits, size_of
from taskengine.context.source import Oci
from taskengine.context.tarball import copy_bounded
from taskengine.context.tree import subfolder
from taskengine.errors import InvalidInput
from taskengine.registry.reference import ImageReference

if TYPE_CHECKING:
    from taskengine.registry.client import RegistryClient
    from taskengine.registry.content import Descriptor, Manifest

_TITLE = "org.opencontainers.image.title"
#: the mark of `oras push FOLDER`: the layer is an archive of the folder that the title names
_UNPACK = "io.deis.oras.content.unpack"
_EMPTY = "application/vnd.oci.empty.v1+json"


def fetch_oci(context: Oci, into: Path, client: RegistryClient, limits: Limits, deadline: Deadline) -> Fetched:
    """The artifact's files below `into`, a new or empty folder."""
    root = into / "content"
    root.mkdir(parents=True, exist_ok=True)
    ref = ImageReference.parse(context.reference)
    client = client.bound(cancel=deadline.stop)
    manifest = _artifact(client, ref)
    layers = [layer for layer in manifest.layers if layer.media_type != _EMPTY]
    if not layers:
        raise InvalidInput(f"oci://{ref} holds no files", hint="push some with: oras push REFERENCE FILE...")
    if sum(layer.size for layer in layers) > limits.download:
        raise InvalidInput(f"oci://{ref} is larger than {size_of(limits.download)}")
    onto = Unpacking(root, limits, deadline)
    for layer in layers:
        _take(client, ref, layer, onto, into, limits, deadline)
    _refuse_whiteouts(root, ref)
    return Fetched(folder=subfolder(root, context.subdir, f"oci://{ref}"), digest=manifest.digest)


def _artifact(client: RegistryClient, ref: ImageReference) -> Manifest:
    manifest = client.manifest(ref)
    if not manifest.is_index:
        return manifest
    entries = manifest.manifests
    if len(entries) != 1:
        raise InvalidInput(
            f"oci://{ref} is an index of {len(entries)} entries",
            hint="name one of them by its digest: REFERENCE@sha256:...",
        )
    manifest = client.manifest(ref.with_digest(entries[0].digest))
    if manifest.is_index:
        raise InvalidInput(f"oci://{ref} is an index of indexes", hint="name an artifact by its digest")
    return manifest


def _take(
    client: RegistryClient,
    ref: ImageReference,
    layer: Descriptor,
    onto: Unpacking,
    into: Path,
    limits: Limits,
    deadline: Deadline,
) -> None:
    """One layer, verified in full before it is looked into: the client raises at its end when the digest is wrong."""
    title = layer.annotations.get(_TITLE, "")
    what = f"{title!r} of oci://{ref}" if title else f"a layer of oci://{ref}"
    with tempfile.TemporaryFile(dir=into) as spool:
        if layer.size:
            copy_bounded(_pieces(client, ref, layer), spool, limits, deadline.check, what)
        spool.seek(0)
        if title and layer.annotations.get(_UNPACK, "").lower() != "true":
            onto.add(_file_name(title, what), layer.size, spool)
        else:
            unpack_onto(onto, spool, limits=limits, deadline=deadline, shown=what)


def _pieces(client: RegistryClient, ref: ImageReference, layer: Descriptor) -> Iterator[Any]:
    return client.blob(ref, layer)


def _file_name(title: str, what: str) -> str:
    name = clean_name(title, what)
    if not name:
        raise InvalidInput(f"{what} is no name of a file")
    return name


def _refuse_whiteouts(root: Path, ref: ImageReference) -> None:
    """An image's layers may say that files of earlier ones are gone; an artifact's do not, and we do not guess."""
    found = next(root.rglob(".wh.*"), None)
    if found is not None:
        raise InvalidInput(
            f"oci://{ref} is an image whose layers delete files of each other, not an artifact",
            hint="use it as a base image, or push the files with oras push",
        )
