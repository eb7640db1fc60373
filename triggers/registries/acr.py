"""Webhooks of Azure Container Registry: one event of distribution each. Pure."""

from __future__ import annotations

from triggers.registries import distribution
from triggers.registries import document as doc
from triggers.registries.model import Delivery, ImagePushed


def read(delivery: Delivery, registry: str) -> list[ImagePushed | str]:
    return [distribution.event(doc.load(delivery), registry)]
