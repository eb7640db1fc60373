"""Reading what a stranger sent: JSON whose every part may be missing or of another kind. Pure.

Raises InvalidInput for what is no JSON at all; everything below that is read as nothing when it is not as it should be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.registry.digest import is_digest
from taskengine.registry.mediatype import is_media_type
from taskengine.registry.reference import ImageReference
from triggers.registries.model import Delivery, ImagePushed, NoPush

#: bytes; registries send envelopes of some kilobytes
LARGEST_BODY = 1024 * 1024
#: entries of one envelope that are read
MOST_ENTRIES = 1000
_LONGEST_TEXT = 1000
_LONGEST_ID = 200


def load(delivery: Delivery) -> Mapping[str, Any]:
    """The body as a JSON object."""
    if len(delivery.body) > LARGEST_BODY:
        raise InvalidInput(f"the notification is larger than {LARGEST_BODY} bytes", hint="is it a registry's?")
    try:
        found = json.loads(delivery.body)
    except (ValueError, RecursionError):
        raise InvalidInput(
            "the notification is no JSON", hint="set the hook's content type to application/json"
        ) from None
    if not isinstance(found, dict):
        raise InvalidInput("the notification is no JSON object", hint="is it the address for this product?")
    return found


def at(document: object, *path: str) -> object:
    """What stands at the end of the path, None when a part of it is missing."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def text(document: object, *path: str) -> str:
    """The text at the end of the path; empty for what is no text, is too long, or no other program could take."""
    found = at(document, *path)
    return found if isinstance(found, str) and len(found) <= _LONGEST_TEXT and found.isprintable() else ""


def entries(document: object, *path: str) -> Sequence[object]:
    found = at(document, *path)
    return found[:MOST_ENTRIES] if isinstance(found, list) else ()


def moment(value: object) -> datetime | None:
    """A point in time out of RFC 3339 or seconds since 1970, in UTC."""
    try:
        if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
            found = datetime.fromisoformat(value)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def host_of(address: str) -> str:
    """The host in front of a name such as `registry.example.com/app:1`, with or without a scheme; empty for none."""
    bare = address.partition("://")[2] if "://" in address else address
    host, slash, _ = bare.partition("/")
    return host if slash and (any(c in ".:" for c in host) or host == "localhost") else ""


def pushed(
    *,
    registry: str,
    repository: str,
    tag: str,
    digest: str = "",
    media_type: str = "",
    event_id: str = "",
    when: datetime | None = None,
) -> ImagePushed | str:
    """The event, or why these facts are none."""
    named = f"{repository[:100]}:{tag[:100]}"
    if not tag or ":" in tag:
        return NoPush(f"{repository[:100] or 'something'} was pushed without a tag")
    if not registry:
        return f"{named} does not say on which registry it is"
    if digest and not is_digest(digest):
        return f"{named} names {digest[:100]!r}, which is no digest"
    try:
        image = ImageReference.parse(f"{registry}/{repository}:{tag}")
    except InvalidInput as error:
        return error.message
    if image.tag != tag:
        return f"{named} is no name of an image"
    return ImagePushed(
        registry=image.domain,
        repository=image.path,
        tag=tag,
        digest=digest,
        media_type=media_type if is_media_type(media_type) else "",
        event_id=event_id[:_LONGEST_ID],
        at=when,
    )
