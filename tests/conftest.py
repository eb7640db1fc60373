"""The suite's fixtures: engines and registries. What they are made of stands in tests/support."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from taskengine.registry.client import RegistryClient
from tests.support.engine import Engine, OwnEngine, any_engine, own_engine
from tests.support.registry import Login, Registry, free_port
from tests.support.sandbox import SandboxUnavailable

_ENGINE_FIXTURES = frozenset({"engine", "fresh_engine", "registry_auth", "docker_cli_image"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m "not engine"` is the fast half of the suite."""
    for item in items:
        if _ENGINE_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """One engine for each worker, with a registry beside it and busybox on it. Leave on it only what you made."""
    found = any_engine()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def fresh_engine() -> Iterator[Callable[..., OwnEngine]]:
    """Makes further engines, for tests that kill or restart one, or that feed it what may break it.

    `fresh_engine(registry=False, busybox=True, apart=False)`; `apart` also listens on TCP (`tcp_host`) and has
    a /tmp of its own, as a far host has."""
    made: list[OwnEngine] = []

    def make(*, registry: bool = False, busybox: bool = True, apart: bool = False) -> OwnEngine:
        try:
            made.append(own_engine(registry=registry, busybox=busybox, apart=apart))
        except SandboxUnavailable as error:
            pytest.fail(f"this test needs an engine that it may break: {error}. Run the tests as root.")
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on loopback, without an engine; one for each module."""
    made = Registry(tmp_path_factory.mktemp("registry"), address="127.0.0.1", port=free_port())
    made.launch()
    try:
        made.await_ready()
        yield made
    finally:
        made.stop()


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient() as made:
        yield made


@pytest.fixture(scope="session")
def registry_auth(engine: Engine) -> Registry:
    """A registry that wants a login: `.name`, `.shared_name`, `.url`, `.user`, `.password`."""
    return engine.add_registry(login=Login(user="keeper", password="s3cret pass:word"))


@pytest.fixture(scope="session")
def docker_cli_image(engine: Engine) -> str:
    """The name of an image with the docker command line, on the engine."""
    return engine.import_docker_cli()
