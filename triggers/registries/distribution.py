"""Notifications of distribution (docker-registry), and the events in them, which Azure sends one by one. Pure.

An endpoint of the registry's `notifications` sends envelopes of events: pushes and pulls, of tags and of contents.
"""

from __future__ import annotations

from taskengine.errors import InvalidInput
from triggers.registries import document as doc
from triggers.registries.model import Delivery, ImagePushed, NoPush


def read(delivery: Delivery, registry: str) -> list[ImagePushed | str]:
    found = doc.load(delivery)
    if not isinstance(found.get("events"), list):
        raise InvalidInput("the notification has no list of events", hint="is it a docker-registry's?")
    return [event(entry, registry) for entry in doc.entries(found, "events")]


def event(entry: object, registry: str) -> ImagePushed | str:
    """One event; `registry` goes before the host that the event was asked under."""
    repository = doc.text(entry, "target", "repository")
    action = doc.text(entry, "action")
    if action != "push":
        return NoPush(f"{repository[:100] or 'an event'}: {action[:50]!r} is no push")
    return doc.pushed(
        registry=registry or doc.text(entry, "request", "host") or doc.host_of(doc.text(entry, "target", "url")),
        repository=repository,
        tag=doc.text(entry, "target", "tag"),
        digest=doc.text(entry, "target", "digest"),
        media_type=doc.text(entry, "target", "mediaType"),
        event_id=doc.text(entry, "id"),
        when=doc.moment(doc.at(entry, "timestamp")),
    )
