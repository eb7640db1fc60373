"""Webhooks of GitHub about packages (`package`, `registry_package`), for its container registry. Pure."""

from __future__ import annotations

from triggers.registries import document as doc
from triggers.registries.model import Delivery, ImagePushed, NoPush

_HOST = "ghcr.io"
_CONTAINERS = frozenset({"container", "docker"})
_ACTIONS = frozenset({"published", "updated"})


def read(delivery: Delivery, registry: str) -> list[ImagePushed | str]:
    found = doc.load(delivery)
    package = found.get("package") or found.get("registry_package")
    name = doc.text(package, "name")
    if not isinstance(package, dict):
        event = delivery.headers.get("x-github-event", "")[:50]
        return [f"the event {event!r} is about no package"]
    if doc.text(package, "package_type").lower() not in _CONTAINERS:
        return [f"{name[:100] or 'the package'} is no container image"]
    if (action := doc.text(found, "action")) not in _ACTIONS:
        return [NoPush(f"{name[:100]}: {action[:50]!r} is no push")]
    version = package.get("package_version")
    tag = doc.at(version, "container_metadata", "tag")
    namespace = doc.text(package, "namespace") or doc.text(package, "owner", "login")
    digest = doc.text(tag, "digest") or doc.text(version, "version")
    return [
        doc.pushed(
            registry=registry or doc.host_of(doc.text(version, "package_url")) or _HOST,
            repository=f"{namespace}/{name}".lower(),
            tag=doc.text(tag, "name"),
            digest=digest if digest.startswith("sha") else "",
            media_type=doc.text(version, "container_metadata", "manifest", "media_type"),
            event_id=doc.text(dict(delivery.headers), "x-github-delivery"),
            when=doc.moment(package.get("updated_at")),
        )
    ]
