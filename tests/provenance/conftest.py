"""Images in a real registry without an engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.registry.reference import ImageReference
from tests.registry.conftest import push_image
from tests.support.registry import Registry

Push = Callable[..., Descriptor]


@pytest.fixture
def push(client: RegistryClient, registry: Registry) -> Push:
    """`push("app:1", "content")`: a small image; its descriptor."""

    def made(name: str, text: str = "layer") -> Descriptor:
        return push_image(client, ImageReference.parse(f"{registry.name}/{name}"), text)

    return made
