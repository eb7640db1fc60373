"""Notifications of Quay ("push to repository"), which tell tags and no digests. Pure."""

from __future__ import annotations

from triggers.registries import document as doc
from triggers.registries.model import Delivery, ImagePushed

_HOST = "quay.io"


def read(delivery: Delivery, registry: str) -> list[ImagePushed | str]:
    found = doc.load(delivery)
    tags = found.get("updated_tags")
    # earlier versions told the tags with the ids of their images
    names = list(tags)[: doc.MOST_ENTRIES] if isinstance(tags, dict) else doc.entries(found, "updated_tags")
    if not names:
        return ["no tag was updated"]
    host = registry or doc.host_of(doc.text(found, "docker_url")) or _HOST
    repository = doc.text(found, "repository")
    return [doc.pushed(registry=host, repository=repository, tag=doc.text({"tag": name}, "tag")) for name in names]
