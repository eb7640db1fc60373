"""Registries with different logins at once: copies between them, and mirrors that want a login of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskengine.registry.auth import Login, Logins
from taskengine.registry.client import RegistryClient
from taskengine.registry.digest import digest_of
from taskengine.registry.endpoint import HostConfig, Registries
from taskengine.registry.limits import Limits
from taskengine.registry.reference import ImageReference
from tests.registry.conftest import PASSWORD, USER, push_image, push_index, ref
from tests.support.registry import Registry


@pytest.fixture
def known(plain: Registry, guarded: Registry, tokened: Registry) -> Iterator[RegistryClient]:
    """Has the logins of all, and takes the guarded one for a mirror of `far.example.com`, the open one for the next."""
    login = Login(username=USER, secret=PASSWORD)
    hosts = {"far.example.com": HostConfig(mirrors=(guarded.url, plain.url))}
    logins = Logins(auths={guarded.name: login, tokened.name: login})
    limits = Limits(sleep=lambda *_: None, tries=1, connect=2.0)
    with RegistryClient(logins, Registries(hosts=hosts), limits=limits) as made:
        yield made


@pytest.mark.parametrize(("source", "target"), [("guarded", "tokened"), ("tokened", "guarded"), ("plain", "tokened")])
def test_an_index_is_copied_between_registries_each_with_its_own_login(
    known: RegistryClient, request: pytest.FixtureRequest, source: str, target: str
) -> None:
    src = ref(request.getfixturevalue(source), f"between/{source}-{target}:1")
    dst = ref(request.getfixturevalue(target), f"between/{source}-{target}:1")
    index = push_index(known, src, "linux/amd64", "linux/arm64")
    done = known.copy(src, dst)
    assert done.descriptor.digest == index.digest == known.resolve(dst).digest
    assert known.copy(src, dst).sent == 0


@pytest.mark.parametrize("kind", ["guarded", "tokened"])
def test_a_blob_is_mounted_where_a_login_is_wanted(
    known: RegistryClient, request: pytest.FixtureRequest, kind: str
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    image = push_image(known, ref(registry, "mount/from:1"), f"mounted on {kind}")
    layer = known.manifest(ref(registry, "mount/from:1")).layers[0]
    assert known.mount(ref(registry, "mount/to:1"), layer.digest, "mount/from")
    assert known.exists(ref(registry, "mount/to:1"), layer.digest)
    assert image.digest == known.resolve(ref(registry, "mount/from:1")).digest


def test_a_mirror_that_wants_a_login_gets_its_own(known: RegistryClient, guarded: Registry) -> None:
    image = push_image(known, ref(guarded, "mirrored/app:1"), "behind a login")
    far = ImageReference.parse("far.example.com/mirrored/app:1")
    assert known.resolve(far).digest == image.digest
    assert b"".join(known.blob(far, known.manifest(far).layers[0])) == b"behind a login"


def test_what_the_first_mirror_has_not_the_next_one_is_asked_for(known: RegistryClient, plain: Registry) -> None:
    image = push_image(known, ref(plain, "mirrored/second:1"), "of the second mirror")
    assert known.resolve(ImageReference.parse("far.example.com/mirrored/second:1")).digest == image.digest


def test_a_mirror_without_a_login_of_its_own_is_passed_over(guarded: Registry, plain: Registry) -> None:
    image = push_image_with(plain, "mirrored/open:1")
    notices: list[str] = []
    hosts = {"far.example.com": HostConfig(mirrors=(guarded.url, plain.url))}
    login = Login(username="somebody", secret="s3cret-of-the-registry")
    logins = Logins(auths={"far.example.com": login})
    with RegistryClient(logins, Registries(hosts=hosts), on_notice=notices.append) as client:
        assert client.resolve(ImageReference.parse("far.example.com/mirrored/open:1")).digest == image
    assert guarded.name in notices[0]
    assert "s3cret-of-the-registry" not in "".join(notices)


def push_image_with(registry: Registry, name: str) -> str:
    with RegistryClient() as client:
        return push_image(client, ref(registry, name), digest_of(name.encode())).digest
