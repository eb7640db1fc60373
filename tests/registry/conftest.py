"""Real registries on loopback (Debian's docker-registry) without an engine, scripted ones, and clients for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskengine.registry import mediatype
from taskengine.registry.auth import Login as Known
from taskengine.registry.auth import Logins
from taskengine.registry.body import Content
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import Descriptor
from taskengine.registry.endpoint import Registries
from taskengine.registry.limits import Limits
from taskengine.registry.reference import ImageReference
from tests.registry.fake import Asked, Fake, Say, TokenServer
from tests.support.registry import Login, Registry, free_port

LAYER = "application/vnd.oci.image.layer.v1.tar"
USER, PASSWORD, IDENTITY = "keeper", "s3cret pass:word", "identity-t0ken"


@dataclass
class Client:
    """A client, with what it said and how long it would have waited."""

    client: RegistryClient
    notices: list[str]
    pauses: list[float]


MakeClient = Callable[..., Client]
MakeFake = Callable[[Callable[[Asked], Say]], Fake]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    yield from _running(tmp_path_factory.mktemp("plain"), None, None)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    yield from _running(tmp_path_factory.mktemp("other"), None, None)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Wants USER and PASSWORD by Basic."""
    yield from _running(tmp_path_factory.mktemp("guarded"), Login(user=USER, password=PASSWORD), None)


@pytest.fixture(scope="session")
def token_server() -> Iterator[TokenServer]:
    server = TokenServer(USER, PASSWORD, IDENTITY)
    yield server
    server.close()


@pytest.fixture(scope="session")
def tokened(tmp_path_factory: pytest.TempPathFactory, token_server: TokenServer) -> Iterator[Registry]:
    """Wants a token of the token server."""
    folder = tmp_path_factory.mktemp("tokened")
    (folder / "ca.pem").write_bytes(token_server.certificate)
    token = {
        "realm": token_server.realm,
        "service": token_server.service,
        "issuer": token_server.issuer,
        "rootcertbundle": str(folder / "ca.pem"),
    }
    yield from _running(folder, None, {"auth": {"token": token}})


def _running(folder: Path, login: Login | None, extra: dict[str, Any] | None) -> Iterator[Registry]:
    registry = Registry(folder / "registry", address="127.0.0.1", port=free_port(), login=login)
    registry.launch(extra)
    try:
        registry.await_ready()
        yield registry
    finally:
        registry.stop()


@pytest.fixture
def fake() -> Iterator[MakeFake]:
    made: list[Fake] = []

    def make(answer: Callable[[Asked], Say]) -> Fake:
        made.append(Fake(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """`make_client(login=..., host=..., registries=..., **limits)`; it does not really wait before it tries again."""
    made: list[RegistryClient] = []

    def make(login: Known | None = None, host: str = "", registries: Registries | None = None, **limits: Any) -> Client:
        notices: list[str] = []
        pauses: list[float] = []
        options = {"sleep": lambda seconds, _: pauses.append(seconds), **limits}
        logins = Logins(auths={host: login} if login else {})
        client = RegistryClient(logins, registries, limits=Limits(**options), on_notice=notices.append)
        made.append(client)
        return Client(client, notices, pauses)

    yield make
    for one in made:
        one.close()


@pytest.fixture
def client(make_client: MakeClient) -> RegistryClient:
    return make_client().client


def ref(registry: Registry | Fake, name: str = "app/image:1") -> ImageReference:
    return ImageReference.parse(f"{registry.name}/{name}")


def push_image(client: RegistryClient, where: ImageReference, text: str = "layer", **more: Any) -> Descriptor:
    """A small image: configuration, one layer, manifest."""
    config = client.push_blob(where, Content.of_bytes(b'{"os":"linux","architecture":"amd64"}', mediatype.OCI_CONFIG))
    layer = client.push_blob(where, Content.of_bytes(text.encode(), LAYER))
    document = {
        "schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": config.as_json(),
        "layers": [layer.as_json()], **more,
    }  # fmt: skip
    return client.put_manifest(where, json.dumps(document).encode(), mediatype.OCI_MANIFEST)


def push_index(client: RegistryClient, where: ImageReference, *platforms: str) -> Descriptor:
    """An index with an image for each platform, and an attestation that is no image."""
    entries = []
    for platform in (*platforms, "unknown/unknown"):
        image = push_image(client, where.with_tag("part"), f"layer for {platform}")
        system, _, architecture = platform.partition("/")
        entries.append({**image.as_json(), "platform": {"os": system, "architecture": architecture}})
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": entries}
    return client.put_manifest(where, json.dumps(document).encode(), mediatype.OCI_INDEX)


@pytest.fixture(params=["plain", "guarded", "tokened"])
def logged_in(request: pytest.FixtureRequest, make_client: MakeClient) -> tuple[RegistryClient, Registry]:
    """Each kind of registry that is tested: open, with passwords by Basic, with tokens. With a client that may write."""
    registry: Registry = request.getfixturevalue(request.param)
    login = None if request.param == "plain" else Known(username=USER, secret=PASSWORD)
    return make_client(login, registry.name).client, registry
