"""What is attached to a manifest: signatures, statements, records. By the referrers API, else by the tag scheme.

The tag scheme keeps an index under the tag `sha256-<hex>`, which clients themselves have to keep up to date.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from taskengine.registry import manifests
from taskengine.registry.content import LARGEST_MANIFEST, BrokenContent, Descriptor, Manifest
from taskengine.registry.digest import digest_of
from taskengine.registry.failure import NotFound
from taskengine.registry.link import next_address
from taskengine.registry.mediatype import OCI_INDEX
from taskengine.registry.site import Site

_MOST_PAGES = 1000
_NO_API = frozenset({400, 404, 405, 406, 501})


def find(site: Site, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
    listed = _by_api(site, digest, artifact_type)
    found = _by_tag(site, digest) if listed is None else listed
    # A registry may leave the filter to us, and says so in a header that not all of them send.
    wanted = (one for one in found if not artifact_type or one.artifact_type == artifact_type)
    return tuple({one.digest: one for one in wanted}.values())


def fallback_tag(digest: str) -> str:
    """The tag of the tag scheme: the digest as far as a tag may hold it."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def add(site: Site, subject: str, referrer: Descriptor) -> None:
    """Enter a referrer into the index of the tag scheme, for a registry that keeps no list itself."""
    known = _by_tag(site, subject)
    if all(one.digest != referrer.digest for one in known):
        manifests.put(site, fallback_tag(subject), index_of((*known, referrer)))


def index_of(entries: Iterable[Descriptor]) -> Manifest:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.as_json() for entry in entries]}
    raw = json.dumps(document, separators=(",", ":")).encode()
    return Manifest(digest=digest_of(raw), media_type=OCI_INDEX, raw=raw)


def _by_api(site: Site, digest: str, artifact_type: str) -> list[Descriptor] | None:
    query = {"artifactType": artifact_type} if artifact_type else {}
    request = site.request(
        "GET", f"/referrers/{digest}", f"looking for what is attached to {site.name}@{digest}", query=query,
        headers={"Accept": OCI_INDEX}, largest=LARGEST_MANIFEST,
    )  # fmt: skip
    reply = site.ask(request)
    if reply.status in _NO_API:
        return None
    found: list[Descriptor] = []
    for _ in range(_MOST_PAGES):
        if reply.status != 200:
            raise site.error(request, reply)
        page = Manifest(digest=digest_of(reply.body), media_type=OCI_INDEX, raw=reply.body)
        found.extend(page.manifests)
        address = next_address(reply.headers.get("Link"))
        if not address:
            break
        request = site.at(request, reply, address)
        reply = site.ask(request)
    return found


def _by_tag(site: Site, digest: str) -> tuple[Descriptor, ...]:
    try:
        index = manifests.get(site, fallback_tag(digest))
    except NotFound:
        return ()
    except BrokenContent as error:
        site.notice(f"{error.message}; taken as if nothing were attached to {digest}")
        return ()
    return index.manifests if index and index.is_index else ()
