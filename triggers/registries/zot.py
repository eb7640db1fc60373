"""Events of zot's `events` extension: CloudEvents over HTTP, binary or structured. Pure.

Zot does not say which host it is reached under, so the hook has to be told.
"""

from __future__ import annotations

from triggers.registries import document as doc
from triggers.registries.model import Delivery, ImagePushed, NoPush

_UPDATED = "zotregistry.image.updated"


def read(delivery: Delivery, registry: str) -> list[ImagePushed | str]:
    found = doc.load(delivery)
    attributes: object = delivery.headers if "ce-type" in delivery.headers else None
    if attributes is not None:
        data: object = found
        kind, event_id, time = (doc.text(dict(delivery.headers), f"ce-{name}") for name in ("type", "id", "time"))
    else:
        data = found.get("data")
        kind, event_id, time = (doc.text(found, name) for name in ("type", "id", "time"))
    if kind != _UPDATED:
        return [NoPush(f"{kind[:50]!r} is no push")]
    return [
        doc.pushed(
            registry=registry,
            repository=doc.text(data, "name"),
            tag=doc.text(data, "reference"),
            digest=doc.text(data, "digest"),
            media_type=doc.text(data, "mediaType"),
            event_id=event_id,
            when=doc.moment(time),
        )
    ]
