"""The tag scheme of the OCI specification: what is attached to a manifest, in an index that clients keep up themselves.

The index stands under the tag `sha256-<hex>`. No registry offers a conditional write, so that of two writers at once
the later one may undo the earlier. Each writer therefore looks just before it writes, and again some time after it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum

from taskengine.errors import Unreachable
from taskengine.registry import manifests
from taskengine.registry.content import BrokenContent, Descriptor, Manifest
from taskengine.registry.digest import digest_of
from taskengine.registry.failure import NotFound
from taskengine.registry.mediatype import OCI_INDEX
from taskengine.registry.site import Site

Entries = Mapping[str, Descriptor]

#: how often a writer looks at the index before it gives up against others
_MOST_LOOKS = 40
#: seconds until a writer that looked before us has surely written; each writer adds a part of its own to it
_SETTLE = 0.1
#: seconds, the longest that a writer steps back who met another
_MEET = 0.05
#: seconds after which one who waits for its turn looks whether it was canceled
_LOOK_UP = 0.2
_TURNS = [threading.Lock() for _ in range(64)]


def fallback_tag(digest: str) -> str:
    """The tag of a manifest's index: its digest as far as a tag may hold it."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def find(site: Site, digest: str) -> tuple[Descriptor, ...]:
    """What is attached to a manifest."""
    index = _index(site, digest)
    return index.manifests if index else ()


def add(site: Site, subject: str, referrers: Sequence[Descriptor]) -> None:
    """Enter referrers into a manifest's index, all at once."""
    new = {one.digest: one for one in referrers}
    kept: dict[str, Descriptor] = {}

    def wanted(found: Entries) -> Entries:
        kept.update(found)  # what another writer undid since we saw it comes back with ours
        return kept | {digest: one for digest, one in new.items() if digest not in kept}

    _update(site, subject, wanted)


def remove(site: Site, subject: str, referrer: str) -> None:
    """Take a referrer out of a manifest's index. One that is not there is no error."""
    _update(site, subject, lambda found: {digest: one for digest, one in found.items() if digest != referrer})


def index_of(entries: Iterable[Descriptor]) -> Manifest:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.as_json() for entry in entries]}
    raw = json.dumps(document, separators=(",", ":")).encode()
    return Manifest(digest=digest_of(raw), media_type=OCI_INDEX, raw=raw)


def _update(site: Site, subject: str, wanted: Callable[[Entries], Entries]) -> None:
    tag = fallback_tag(subject)
    what = f"listing what is attached to {site.name}@{subject}"
    ambient = site.limits.ambient
    own = ord(ambient.new_id()[-1]) % 32 / 32  # so that writers who met do not meet again
    slowest = 0.0
    wrote = settled = False
    for _ in range(_MOST_LOOKS):
        with _turn(site, tag, what):
            began = ambient.monotonic()
            outcome = _look_and_write(site, subject, tag, wanted)
            slowest = max(slowest, ambient.monotonic() - began)
        if outcome is _Outcome.COMPLETE:
            if settled or not wrote:
                return
            settled = True
            # others are as slow as we are: the busier machine and registry, the longer they may take to write
            site.limits.pause(max(_SETTLE, 3 * slowest) * (1 + own), what)
        elif outcome is _Outcome.WRITTEN:
            wrote, settled = True, False
        else:
            site.limits.pause(_MEET * own, what)
    raise Unreachable(
        f"{what}: others change the list under {tag} all the time", hint="try again when less is being pushed"
    )


class _Outcome(Enum):
    COMPLETE = "all that is wanted is there"
    WRITTEN = "it was not, and has been written"
    OVERTAKEN = "somebody else wrote in between"


def _look_and_write(site: Site, subject: str, tag: str, wanted: Callable[[Entries], Entries]) -> _Outcome:
    index = _index(site, subject)
    found = {one.digest: one for one in index.manifests} if index else {}
    entries = wanted(found)
    if entries.keys() == found.keys():
        return _Outcome.COMPLETE
    if _digest_now(site, tag) != (index.digest if index else ""):
        return _Outcome.OVERTAKEN
    manifests.put(site, tag, index_of(entries.values()))
    return _Outcome.WRITTEN


@contextlib.contextmanager
def _turn(site: Site, tag: str, what: str) -> Iterator[None]:
    """Threads of this process write one after the other; only other processes can come between."""
    lock = _TURNS[hash((site.endpoint.base, site.repository, tag)) % len(_TURNS)]
    while not lock.acquire(timeout=_LOOK_UP):
        site.limits.check(what)
    try:
        yield
    finally:
        lock.release()


def _digest_now(site: Site, tag: str) -> str:
    try:
        found = manifests.resolve(site, tag)
    except (NotFound, BrokenContent):
        return ""
    return found.digest if found else ""


def _index(site: Site, digest: str) -> Manifest | None:
    """The index of a manifest; None where there is none that can be read."""
    try:
        index = manifests.get(site, fallback_tag(digest))
    except NotFound:
        return None
    except BrokenContent as error:
        site.notice(f"{error.message}; taken as if nothing were attached to {digest}")
        return None
    return index if index and index.is_index else None
