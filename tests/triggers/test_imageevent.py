"""One event for a change of an image: it is read back as it was put, and kept once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from taskengine.errors import InvalidInput
from taskengine.service.store import ledger
from taskengine.service.store.database import Database
from triggers import imageevent
from triggers.imagechange import Seen
from triggers.imageevent import ImageEvent

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FOUND = ImageEvent(
    source=imageevent.POLL,
    image="docker.io/library/alpine:3",
    before=Seen(digest="sha256:a"),
    after=Seen(digest="sha256:b", platforms={"linux/amd64": "sha256:c"}),
    key="image:docker.io/library/alpine:3:sha256:b:1",
    told_by={"event": 7},
)


@pytest.mark.parametrize("found", [FOUND, replace(FOUND, before=None, told_by={}, source=imageevent.OWN)])
def test_an_event_is_read_as_it_was_put_and_kept_once(database: Database, found: ImageEvent) -> None:
    with database.write() as conn:
        number = imageevent.put(conn, found, now=AT)
        assert imageevent.put(conn, found, now=AT) == number
        assert imageevent.read(ledger.get(conn, number)) == found
        assert imageevent.put(conn, replace(found, key="another"), now=AT) != number


@pytest.mark.parametrize(("source", "body"), [("github", b"{}"), ("poll", b"{}"), ("poll", b"[1"), ("own", b"null")])
def test_what_is_no_such_event_is_told(database: Database, source: str, body: bytes) -> None:
    with database.write() as conn:
        event, _ = ledger.record(conn, source=source, task="", headers={}, body=body, now=AT)
        with pytest.raises(InvalidInput, match="is not about an image"):
            imageevent.read(event)
