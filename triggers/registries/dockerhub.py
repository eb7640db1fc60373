"""Webhooks of Docker Hub, which tell a tag and no digest. Pure."""

from __future__ import annotations

from taskengine.registry.reference import HUB_DOMAIN
from triggers.registries import document as doc
from triggers.registries.model import Delivery, ImagePushed


def read(delivery: Delivery, registry: str) -> list[ImagePushed | str]:
    found = doc.load(delivery)
    return [
        doc.pushed(
            registry=registry or HUB_DOMAIN,
            repository=doc.text(found, "repository", "repo_name"),
            tag=doc.text(found, "push_data", "tag"),
            when=doc.moment(doc.at(found, "push_data", "pushed_at")),
        )
    ]
