"""The event of a tag that stands for something new: how it is put into the ledger, and read back out of it.

Notifications of registries, pushes of our own runs and checks all end in one such event for each change, whoever saw it
first; `source` says who did. Must not know what follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.registry.reference import ImageReference
from taskengine.service.store import Connection, ledger
from triggers.imagechange import Seen

#: by which way a change was found out first: its registry told, a run of ours pushed it, or a check saw it
REGISTRY, OWN, POLL = "registry", "own", "poll"
SOURCES = (REGISTRY, OWN, POLL)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageEvent:
    """`image` is named in full, with its tag. `before` is None where nothing was known of it. `key` is another one for
    each change, also for one back to what the image was earlier. `told_by` are facts of the notice that led to it: the
    `event` of the ledger that told, or the `run` that pushed."""

    source: str
    image: str
    before: Seen | None
    after: Seen
    key: str
    told_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> ImageReference:
        return ImageReference.parse(self.image)


def put(conn: Connection, found: ImageEvent, *, now: datetime) -> int:
    """Keeps the event, to be worked on. Returns its number."""
    body = {
        "image": found.image,
        "before": found.before.as_json() if found.before else None,
        "after": found.after.as_json(),
        "key": found.key,
        "toldBy": dict(found.told_by),
    }
    event, _ = ledger.record(
        conn, source=found.source, task="", headers={}, body=json.dumps(body, sort_keys=True).encode(), now=now,
        delivery=ledger.digest(found.key),
    )  # fmt: skip
    return event.number


def read(event: ledger.Event) -> ImageEvent:
    """Raises InvalidInput for an event that is none of these."""
    strange = InvalidInput(f"event {event.number} is not about an image", hint="it was not written by this program")
    if event.source not in SOURCES:
        raise strange
    try:
        found = json.loads(event.body)
        return ImageEvent(
            source=event.source,
            image=found["image"],
            before=Seen.of_json(found["before"]) if found["before"] else None,
            after=Seen.of_json(found["after"]),
            key=found["key"],
            told_by=found["toldBy"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise strange from error
