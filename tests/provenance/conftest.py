"""Images in a real registry without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.registry.reference import ImageReference
from tests.registry.conftest import push_image
from tests.support.registry import Registry, free_port

Push = Callable[..., Descriptor]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(tmp_path_factory.mktemp("registry"), address="127.0.0.1", port=free_port())
    made.launch()
    made.await_ready()
    yield made
    made.stop()


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient() as made:
        yield made


@pytest.fixture
def push(client: RegistryClient, registry: Registry) -> Push:
    """`push("app:1", "content")`: a small image; its descriptor."""

    def made(name: str, text: str = "layer") -> Descriptor:
        return push_image(client, ImageReference.parse(f"{registry.name}/{name}"), text)

    return made
