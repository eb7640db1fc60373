"""Copies an image, an index with all of its images, and on request what is attached to them, between registries.

Only what is missing travels: blobs of the same registry are mounted, the others go through this process in a stream,
and a manifest follows when all that it names is there, so that a copy that breaks off leaves no broken image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import field, replace
from typing import Protocol

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.registry import manifests, tagscheme, upload
from taskengine.registry.body import Content
from taskengine.registry.content import Descriptor, Manifest
from taskengine.registry.limits import Stop
from taskengine.registry.mediatype import INDEXES, MANIFESTS, is_foreign_layer
from taskengine.registry.reference import ImageReference
from taskengine.registry.site import Site

_AT_ONCE = 4
_DEEPEST = 8
_MOST_MANIFESTS = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """What a copy did. `sent` and `sent_bytes` are blobs that travelled; `mounted` and `there` did not."""

    descriptor: Descriptor
    manifests: int = 0
    sent: int = 0
    sent_bytes: int = 0
    mounted: int = 0
    there: int = 0


class Source(Protocol):
    """Where manifests and blobs come from; a `RegistryClient` is one."""

    def manifest(self, ref: ImageReference) -> Manifest: ...

    def content(self, ref: ImageReference, wanted: Descriptor) -> Content: ...

    def referrers(self, ref: ImageReference, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]: ...


@dataclass(kw_only=True)
class Copy:
    """One copy. `source` makes the client that reads, under our own stop."""

    source: Callable[[Stop], Source]
    src: ImageReference
    site: Site
    mount_from: str = ""
    with_referrers: bool = False
    chunk: int = 0
    _seen: set[str] = field(default_factory=set)
    _brought: set[str] = field(default_factory=set)
    _done: list[tuple[upload.How, int]] = field(default_factory=list)

    def run(self, place: str) -> Copied:
        """Copy the image to a tag or digest of the target."""
        stop = Stop(self.site.limits.cancel)
        self.site = replace(self.site, limits=replace(self.site.limits, cancel=stop))
        reader = self.source(stop)
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="copy") as pool:
            try:
                top = reader.manifest(self.src)
                self._image(reader, pool, top, place, 0)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                stop.close()
        return Copied(
            descriptor=top.descriptor,
            manifests=len(self._seen),
            sent=self._count("sent"),
            sent_bytes=sum(size for how, size in self._done if how == "sent"),
            mounted=self._count("mounted"),
            there=self._count("there"),
        )

    def _image(self, reader: Source, pool: ThreadPoolExecutor, manifest: Manifest, place: str, depth: int) -> None:
        if depth > _DEEPEST or len(self._seen) > _MOST_MANIFESTS:
            raise InvalidInput(
                f"{self.src} is an index of indexes without end", hint="copy the image of one platform by its digest"
            )
        self._seen.add(manifest.digest)
        for entry in _children(manifest):
            if entry.digest not in self._seen:
                child = reader.manifest(self.src.with_digest(entry.digest))
                self._image(reader, pool, child, child.digest, depth + 1)
        self._blobs(reader, pool, [blob for blob in manifest.blobs if not is_foreign_layer(blob.media_type)])
        listed = manifests.put(self.site, place, manifest)
        if manifest.subject and not listed:
            tagscheme.add(self.site, manifest.subject.digest, [manifest.descriptor])
        if self.with_referrers:
            self._attached(reader, pool, manifest, depth)

    def _attached(self, reader: Source, pool: ThreadPoolExecutor, manifest: Manifest, depth: int) -> None:
        for entry in reader.referrers(self.src, manifest.digest):
            if entry.digest not in self._seen:
                child = reader.manifest(self.src.with_digest(entry.digest))
                self._image(reader, pool, child, child.digest, depth + 1)

    def _blobs(self, reader: Source, pool: ThreadPoolExecutor, blobs: Sequence[Descriptor]) -> None:
        new = [blob for blob in blobs if blob.digest not in self._brought]
        waiting = [pool.submit(self._blob, reader, blob) for blob in new]
        self._brought.update(blob.digest for blob in new)
        done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
        self._done.extend(future.result() for future in sorted(done, key=lambda one: one.exception() is None))

    def _blob(self, reader: Source, blob: Descriptor) -> tuple[upload.How, int]:
        content = reader.content(self.src, blob)
        return upload.push(self.site, content, chunk=self.chunk, mount_from=self.mount_from), blob.size

    def _count(self, kind: upload.How) -> int:
        return sum(how == kind for how, _ in self._done)


def _children(manifest: Manifest) -> list[Descriptor]:
    return [entry for entry in manifest.manifests if entry.media_type in INDEXES | MANIFESTS]
