"""What is attached to a manifest: signatures, statements, records. By the referrers API, else by the tag scheme."""

from __future__ import annotations

from collections.abc import Sequence

from taskengine.lightclass import dataclass
from taskengine.registry import manifests, tagscheme
from taskengine.registry.content import LARGEST_MANIFEST, Descriptor, Manifest
from taskengine.registry.digest import digest_of
from taskengine.registry.link import next_address
from taskengine.registry.mediatype import OCI_INDEX
from taskengine.registry.site import Site

_MOST_PAGES = 1000
_NO_API = frozenset({400, 404, 405, 406, 501})


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """What was attached: each manifest's descriptor, and the tag of the index that lists them where there is no API."""

    referrers: tuple[Descriptor, ...]
    tag: str = ""


def find(site: Site, digest: str, artifact_type: str = "") -> tuple[Descriptor, ...]:
    listed = _by_api(site, digest, artifact_type)
    found = tagscheme.find(site, digest) if listed is None else listed
    # A registry may leave the filter to us, and says so in a header that not all of them send.
    wanted = (one for one in found if not artifact_type or one.artifact_type == artifact_type)
    return tuple({one.digest: one for one in wanted}.values())


def attach(site: Site, subject: str, referrers: Sequence[Manifest]) -> Attached:
    """Store manifests whose `subject` this is, under their digests; list them where the registry does not."""
    unlisted = [one.descriptor for one in referrers if not manifests.put(site, one.digest, one)]
    if unlisted:
        tagscheme.add(site, subject, unlisted)
    return Attached(
        referrers=tuple(one.descriptor for one in referrers), tag=tagscheme.fallback_tag(subject) if unlisted else ""
    )


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
