"""The client of the OCI distribution API: what an image's name means, what is in it, and bringing images elsewhere.

Every verb is synchronous, bounded in time, and may be called from several threads. What is read is asked of a
registry's mirrors first; what is written, listed or deleted concerns the registry itself. Raises errors of
`failure`, `content.BrokenContent`, Unreachable, InvalidInput and Interrupted, and no others.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypeVar

from taskengine.errors import Interrupted, InvalidInput, TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.registry import blobs, manifests, tagscheme, upload
from taskengine.registry import referrers as attached
from taskengine.registry.artifact import Artifact
from taskengine.registry.auth import Logins
from taskengine.registry.authorizer import Authorizer, LoginSource
from taskengine.registry.body import Content
from taskengine.registry.config import is_host
from taskengine.registry.content import BrokenContent, Descriptor, Manifest
from taskengine.registry.copying import Copied, Copy
from taskengine.registry.digest import is_digest
from taskengine.registry.endpoint import Endpoint, Registries
from taskengine.registry.failure import NotFound
from taskengine.registry.limits import Cancel, Limits, Stop
from taskengine.registry.link import next_address
from taskengine.registry.mediatype import INDEXES
from taskengine.registry.platform import DEFAULT, choose, platforms_of
from taskengine.registry.ratelimit import RateLimit
from taskengine.registry.reference import DEFAULT_TAG, ImageReference, InvalidReference
from taskengine.registry.site import Site
from taskengine.registry.transport import Request, Transport
from taskengine.registry.wire import Reply

T = TypeVar("T")

_LARGEST_CONFIG = 8 * 1024 * 1024
_LARGEST_PAGE = 8 * 1024 * 1024
_MOST_PAGES = 10_000
_PAGE = 1000
#: seconds for which a mirror that could not be reached is not asked again
_MIRROR_REST = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A registry that answers. `logged_in`: it took our login; `wants_login`: it wants one that we do not have."""

    address: str
    logged_in: bool
    wants_login: bool


class RegistryClient:
    """Keeps connections, tokens and what it learned of each registry; `close` or `with` gives the connections back."""

    def __init__(
        self,
        logins: LoginSource | None = None,
        registries: Registries | None = None,
        *,
        limits: Limits | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._registries = registries or Registries()
        self._limits = limits or Limits()
        self._notice = on_notice or (lambda _: None)
        self._authorizer = Authorizer(logins or Logins(), self._registries, self._notice)
        self._transport = Transport(self._authorizer, self._notice)
        self._resting: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def bound(self, *, seconds: float | None = None, cancel: Cancel | None = None) -> RegistryClient:
        """The same client, with another time for each call, or one that can be canceled. Shares all else."""
        twin = copy.copy(self)
        limits = self._limits if seconds is None else replace(self._limits, call=seconds)
        twin._limits = limits if cancel is None else replace(limits, cancel=cancel)
        return twin

    # -- reading ---------------------------------------------------------------------------------------------------

    def ping(self, domain: str) -> Answered:
        """Whether the registry speaks the protocol and takes our login. Raises Unreachable, or Denied for the login."""
        if not is_host(domain):
            raise InvalidInput(f"{domain[:80]!r} is no registry host", hint="write HOST or HOST:PORT")
        endpoint = self._registries.endpoint(domain)
        request = Request(method="GET", url="/", what=f"asking {domain}")
        reply = self._transport.ask(endpoint, request, self._limits)
        current = self._transport.current(endpoint)
        logged_in = self._authorizer.has_login(current)
        wants = reply.status == 401 and not logged_in
        if reply.status not in (200, 401):
            raise Unreachable(
                f"{domain} answers {reply.status} to GET /v2/, which no registry does",
                hint="check the name and the port",
            )
        if reply.status == 401 and (logged_in or self._authorizer.is_withheld(current)):
            raise self._transport.error(endpoint, request, reply, self._limits)
        return Answered(address=current.base, logged_in=logged_in, wants_login=wants)

    def resolve(self, ref: ImageReference) -> Descriptor:
        """What the name stands for now: digest, media type and size. Costs one HEAD where the registry allows it."""
        found = self._first(ref, lambda site: manifests.resolve(site, _place(ref)))
        if found is None:
            raise AssertionError("nothing was known that could be unchanged")
        return found

    def changed(self, ref: ImageReference, known: str) -> Descriptor | None:
        """What the name stands for now, or None when that is still the digest `known` (a conditional request)."""
        return self._first(ref, lambda site: manifests.resolve(site, _place(ref), known))

    def manifest(self, ref: ImageReference) -> Manifest:
        """The manifest or index, its digest verified."""
        found = self._first(ref, lambda site: manifests.get(site, _place(ref)))
        if found is None:
            raise AssertionError("nothing was known that could be unchanged")
        return found

    def platform_manifest(self, ref: ImageReference, platform: str = DEFAULT) -> Descriptor:
        """The image of a platform in an index; an image that is no index stands for itself."""
        manifest = self.manifest(ref)
        for _ in range(4):
            if not manifest.is_index:
                return manifest.descriptor
            entry = choose(manifest.manifests, platform)
            if entry is None:
                offered = ", ".join(platforms_of(manifest.manifests)[:20]) or "none"
                raise NotFound(f"{ref} has no image for {platform}", hint=f"it has: {offered}")
            if entry.media_type not in INDEXES:
                return entry
            manifest = self.manifest(ref.with_digest(entry.digest))
        raise BrokenContent(f"{ref} is an index of indexes without end", hint="push the image again")

    def config(self, ref: ImageReference, platform: str = DEFAULT) -> Mapping[str, Any]:
        """The configuration of an image (environment, entry point, labels, history), for one platform of an index."""
        manifest = self.manifest(ref)
        if manifest.is_index:
            manifest = self.manifest(ref.with_digest(self.platform_manifest(ref, platform).digest))
        if manifest.config is None:
            raise NotFound(f"{ref} has no configuration: it is no image", hint="check the name")
        raw = self.blob_bytes(ref, manifest.config, _LARGEST_CONFIG)
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise BrokenContent(f"the configuration of {ref} is no JSON object", hint="is it an image?")
        return document

    def blob(
        self, ref: ImageReference, wanted: Descriptor | str, *, start: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of a blob as they come. Read to the end, the whole blob is verified; a part cannot be."""
        digest = wanted if isinstance(wanted, str) else wanted.digest
        _check_digest(ref, digest)

        def opened(at: int, end: int | None) -> tuple[Site, Reply]:
            return self._first(ref, lambda site: (site, blobs.open_at(site, digest, at, end)))

        return blobs.read(self._site(ref), wanted, opened, start, length)

    def blob_bytes(self, ref: ImageReference, wanted: Descriptor | str, largest: int) -> bytes:
        """A small blob, whole and verified."""
        found = bytearray()
        for piece in self.blob(ref, wanted):
            found += piece
            if len(found) > largest:
                raise BrokenContent(f"{ref}: a blob is larger than {largest} bytes", hint="is it what you meant?")
        return bytes(found)

    def content(self, ref: ImageReference, wanted: Descriptor) -> Content:
        """A blob of this registry as something to push to another."""
        return Content(
            digest=wanted.digest,
            size=wanted.size,
            media_type=wanted.media_type,
            pieces=lambda: self.blob(ref, wanted) if wanted.size else iter(()),
        )

    def exists(self, ref: ImageReference, digest: str) -> bool:
        """Whether the blob is in this repository of the registry itself."""
        _check_digest(ref, digest)
        return blobs.exists(self._site(ref), digest)

    def tags(self, ref: ImageReference) -> Iterator[str]:
        """Every tag of the repository, page by page."""
        site = self._site(ref)
        request = site.request(
            "GET", "/tags/list", f"listing the tags of {ref.familiar_name}", query={"n": str(_PAGE)},
            largest=_LARGEST_PAGE,
        )  # fmt: skip
        for _ in range(_MOST_PAGES):
            reply = site.expect(request, 200)
            yield from _tags_of(reply, request.what)
            address = next_address(reply.headers.get("Link"))
            if not address:
                return
            request = site.at(request, reply, address)
        raise BrokenContent(f"{request.what}: there is no end of pages", hint="is it a registry?")

    def referrers(self, ref: ImageReference, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """What is attached to a manifest: by the referrers API, else by the tag scheme."""
        _check_digest(ref, digest)
        return attached.find(self._site(ref), digest, artifact_type)

    def rate_limit(self, domain: str) -> RateLimit | None:
        """What the registry said last about how much more may be asked of it."""
        return self._transport.rate_limits.get(self._registries.endpoint(domain).host)

    # -- writing ---------------------------------------------------------------------------------------------------

    def push_blob(self, ref: ImageReference, content: Content, *, chunk: int = 0, mount_from: str = "") -> Descriptor:
        """Bring a blob into the repository unless it is there; in chunks of `chunk` bytes, whole when that is 0."""
        upload.push(self._site(ref), content, chunk=chunk, mount_from=mount_from)
        return Descriptor(digest=content.digest, media_type=content.media_type, size=content.size)

    def mount(self, ref: ImageReference, digest: str, source: str) -> bool:
        """Take a blob over from another repository of the same registry; false when the registry does not."""
        _check_digest(ref, digest)
        site = self._site(ref)
        if location := upload.mount(site, digest, source):
            upload.cancel(site, location)
        return not location

    def put_manifest(self, ref: ImageReference, raw: bytes, media_type: str) -> Descriptor:
        """Store a manifest under the reference's tag or digest. One with a subject is listed among its referrers."""
        site = self._site(ref)
        manifest = Manifest.of(raw, media_type)
        place = _place(ref)
        if is_digest(place) and place != manifest.digest:
            raise InvalidReference(str(ref), f"the manifest is {manifest.digest}", hint="put it under its own digest")
        listed = manifests.put(site, place, manifest)
        if manifest.subject and not listed:
            tagscheme.add(site, manifest.subject.digest, [manifest.descriptor])
        return manifest.descriptor

    def attach(self, ref: ImageReference, subject: Descriptor, artifacts: Sequence[Artifact]) -> attached.Attached:
        """Attach artifacts to a manifest of the repository. The manifest itself stays as it is."""
        site = self._site(ref)
        for content in {part.digest: part for one in artifacts for part in one.contents}.values():
            upload.push(site, content)
        return attached.attach(site, subject.digest, [one.manifest(subject) for one in artifacts])

    def delete(self, ref: ImageReference) -> None:
        """Delete the manifest of a digest with all of its tags, or a tag alone where the registry can.

        A manifest with a subject also leaves the list of the tag scheme, where the registry keeps none itself.
        """
        site, place = self._site(ref), _place(ref)
        subject = manifests.subject_of(site, place) if is_digest(place) else None
        manifests.delete(site, place)
        if subject:
            tagscheme.remove(site, subject.digest, place)

    def delete_blob(self, ref: ImageReference, digest: str) -> None:
        _check_digest(ref, digest)
        blobs.delete(self._site(ref), digest)

    def copy(self, src: ImageReference, dst: ImageReference, *, referrers: bool = False, chunk: int = 0) -> Copied:
        """Copy an image or a whole index; with `referrers` also what is attached to it, and to that."""
        site = self._site(dst)
        origin = self._site(src)
        same = site.endpoint.base == origin.endpoint.base and src.path != dst.path

        def reader(stop: Stop) -> RegistryClient:
            return self.bound(cancel=stop)

        job = Copy(
            source=reader, src=src, site=site, mount_from=src.path if same else "",
            with_referrers=referrers, chunk=chunk,
        )  # fmt: skip
        return job.run(_place(dst))

    # -- whom to ask -----------------------------------------------------------------------------------------------

    def _site(self, ref: ImageReference, endpoint: Endpoint | None = None) -> Site:
        return Site(
            transport=self._transport,
            endpoint=endpoint or self._registries.endpoint(ref.domain),
            limits=self._limits,
            repository=ref.path,
            name=ref.familiar_name,
            notice=self._notice,
        )

    def _first(self, ref: ImageReference, action: Callable[[Site], T]) -> T:
        """The answer of the first mirror that has one, else the registry's, whatever it is."""
        *mirrors, last = self._registries.readable(ref.domain)
        for mirror in mirrors:
            if self._resting.get(mirror.base, 0.0) > self._limits.ambient.monotonic():
                continue
            site = self._site(ref, mirror)
            # The registry is there if a mirror is not: no patience with it.
            site = replace(site, limits=replace(site.limits, tries=1))
            try:
                return action(site)
            except Interrupted:
                raise
            except NotFound:
                continue
            except TaskEngineError as error:
                self._notice(f"the mirror {mirror.host} is of no help: {error.message}")
                if isinstance(error, Unreachable):
                    with self._lock:
                        self._resting[mirror.base] = self._limits.ambient.monotonic() + _MIRROR_REST
        return action(self._site(ref, last))


def _place(ref: ImageReference) -> str:
    """What stands after /manifests/: the digest where there is one, as it says more than a tag."""
    return ref.digest or ref.tag or DEFAULT_TAG


def _check_digest(ref: ImageReference, digest: str) -> None:
    if not is_digest(digest):
        raise InvalidReference(
            f"{ref.familiar_name}@{digest}", "this is no digest", hint="digests look like sha256:..."
        )


def _tags_of(reply: Reply, what: str) -> list[str]:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    # A repository that lost its last tag says null.
    tags = (document.get("tags") or []) if isinstance(document, dict) else None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BrokenContent(f"{what}: the registry sent no list of tags", hint="is it a registry?")
    return tags
