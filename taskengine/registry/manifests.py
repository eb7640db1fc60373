"""Manifests of one repository: what a tag means, the bytes behind it, putting and deleting. Digests are always checked.

Functions over a `Site`; which site is asked (a mirror or the registry) is the client's business.
"""

from __future__ import annotations

from taskengine.registry.content import LARGEST_MANIFEST, BrokenContent, Descriptor, Manifest, manifest_type
from taskengine.registry.digest import DEFAULT_ALGORITHM, algorithm_of, digest_of, is_digest
from taskengine.registry.failure import Unsupported
from taskengine.registry.mediatype import ACCEPT, SCHEMA1, essence
from taskengine.registry.site import DELETE, PULL, PUSH, Site
from taskengine.registry.transport import Request
from taskengine.registry.wire import Reply

#: how registries say that they have no HEAD, or not for this; GET then tells the truth
_HEAD_REFUSED = frozenset({400, 404, 405, 406, 501})
_DIGEST_HEADER = "Docker-Content-Digest"


def resolve(site: Site, place: str, known: str = "") -> Descriptor | None:
    """What a tag or digest stands for now; None when that is still `known`."""
    request = _request(site, "HEAD", place, known)
    reply = site.ask(request)
    reply.close()
    if reply.status == 304 and known:
        return None
    if reply.status == 200:
        found = _from_head(reply)
        if found is not None:
            _check(found.digest, place, site)
            return None if found.digest == known else found
    elif reply.status not in _HEAD_REFUSED:
        raise site.error(request, reply)
    manifest = get(site, place, known)
    return None if manifest is None or manifest.digest == known else manifest.descriptor


def get(site: Site, place: str, known: str = "") -> Manifest | None:
    """The manifest, byte for byte; None when the registry says that it is still `known`."""
    request = _request(site, "GET", place, known)
    reply = site.expect(request, 200, 304) if known else site.expect(request, 200)
    if reply.status == 304:
        return None
    header = essence(reply.headers.get("Content-Type"))
    if header in SCHEMA1:
        raise Unsupported(
            f"{request.what}: it is a manifest of the first schema, which nobody can verify any more",
            hint="build and push the image again",
        )
    said = reply.headers.get(_DIGEST_HEADER, "")
    expected = place if is_digest(place) else said
    algorithm = algorithm_of(expected) if is_digest(expected) else DEFAULT_ALGORITHM
    digest = digest_of(reply.body, algorithm)
    if is_digest(expected) and digest != expected:
        raise BrokenContent(
            f"{request.what}: the registry sent other bytes than {expected}", hint="do not trust what is between"
        )
    return Manifest(digest=digest, media_type=manifest_type(reply.body, header), raw=reply.body)


def put(site: Site, place: str, manifest: Manifest) -> bool:
    """Store a manifest under a tag or its digest; whether the registry also listed it with its subject's referrers."""
    request = site.request(
        "PUT", f"/manifests/{place}", f"pushing {_named(site, place)}", right=PUSH,
        headers={"Content-Type": manifest.media_type}, body=manifest.raw,
    )  # fmt: skip
    reply = site.expect(request, 200, 201, 202)
    stored = reply.headers.get(_DIGEST_HEADER, "")
    if is_digest(stored) and algorithm_of(stored) == algorithm_of(manifest.digest) and stored != manifest.digest:
        raise BrokenContent(
            f"{request.what}: the registry stored {stored} and not {manifest.digest}",
            hint="it changes manifests; push another kind of manifest, or use another registry",
        )
    return "OCI-Subject" in reply.headers


def subject_of(site: Site, place: str) -> Descriptor | None:
    """What a manifest is attached to, if anything. A manifest that cannot be read says nothing."""
    try:
        found = get(site, place)
        return found.subject if found else None
    except BrokenContent:
        return None


def delete(site: Site, place: str) -> None:
    request = site.request("DELETE", f"/manifests/{place}", f"deleting {_named(site, place)}", right=DELETE)
    reply = site.ask(request)
    if reply.status in (200, 202, 204):
        return
    if not is_digest(place) and reply.status in (400, 405, 501):
        raise Unsupported(
            f"{request.what}: this registry deletes no tags, only manifests",
            hint="delete the digest that the tag stands for; that takes away all of its tags",
        )
    raise site.error(request, reply)


def _request(site: Site, method: str, place: str, known: str) -> Request:
    headers = {"Accept": ACCEPT} | ({"If-None-Match": f'"{known}"'} if known else {})
    return site.request(
        method, f"/manifests/{place}", f"reading {_named(site, place)}", right=PULL,
        headers=headers, largest=LARGEST_MANIFEST,
    )  # fmt: skip


def _from_head(reply: Reply) -> Descriptor | None:
    digest, size = reply.headers.get(_DIGEST_HEADER, ""), reply.headers.get("Content-Length", "")
    media_type = essence(reply.headers.get("Content-Type"))
    if not is_digest(digest) or not size.isascii() or not size.isdigit() or size == "0" or not media_type:
        return None
    return Descriptor(digest=digest, media_type=media_type, size=int(size[:18]))


def _check(found: str, place: str, site: Site) -> None:
    if is_digest(place) and found != place:
        raise BrokenContent(
            f"reading {_named(site, place)}: the registry answered for {found}", hint="do not trust what is between"
        )


def _named(site: Site, place: str) -> str:
    return f"{site.name}{'@' if is_digest(place) else ':'}{place}"
