"""Webhooks of Harbor, in its own form and as CloudEvents (since 2.8). Pure."""

from __future__ import annotations

from triggers.registries import document as doc
from triggers.registries.model import Delivery, ImagePushed, NoPush

_PUSHES = frozenset({"PUSH_ARTIFACT", "pushImage", "harbor.artifact.pushed"})


def read(delivery: Delivery, registry: str) -> list[ImagePushed | str]:
    found = doc.load(delivery)
    kind = doc.text(found, "type")
    if kind not in _PUSHES:
        return [NoPush(f"{kind[:50]!r} is no push")]
    data = found.get("event_data", found.get("data"))
    when = doc.moment(found.get("occur_at", found.get("time")))
    repository = doc.text(data, "repository", "repo_full_name")
    results: list[ImagePushed | str] = []
    for resource in doc.entries(data, "resources"):
        digest = doc.text(resource, "digest")
        results.append(
            doc.pushed(
                registry=registry or doc.host_of(doc.text(resource, "resource_url")),
                repository=repository,
                tag=doc.text(resource, "tag"),
                digest=digest,
                # Harbor's own form has no id of the event
                event_id=doc.text(found, "id"),
                when=when,
            )
        )
    return results or ["the push names no resource"]
