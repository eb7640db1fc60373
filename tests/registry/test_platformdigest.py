"""The manifest for a platform: asked once, then known."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from taskengine.errors import Unreachable
from taskengine.registry.client import RegistryClient
from taskengine.registry.failure import NotFound
from taskengine.registry.platformdigest import PlatformDigests
from taskengine.registry.reference import ImageReference
from tests.registry.conftest import push_index, ref
from tests.support.registry import Registry, free_port


@pytest.fixture
def index(client: RegistryClient, plain: Registry) -> ImageReference:
    where = ref(plain, "platforms/many:1")
    return where.with_digest(push_index(client, where, "linux/amd64", "linux/arm64").digest)


def nobody() -> RegistryClient:
    raise AssertionError("no registry may be asked")


def test_each_platform_has_its_own(client: RegistryClient, index: ImageReference, tmp_path: Path) -> None:
    known = PlatformDigests(lambda: client, tmp_path / "d")
    found = {platform: known.find(index, platform) for platform in ("linux/amd64", "linux/arm64")}
    assert found == {platform: client.platform_manifest(index, platform).digest for platform in found}
    again = PlatformDigests(nobody, tmp_path / "d")
    assert {platform: again.find(index, platform) for platform in found} == found


def test_without_a_folder_it_is_known_for_as_long_as_the_object_lives(
    client: RegistryClient, index: ImageReference
) -> None:
    asked: list[int] = []
    known = PlatformDigests(lambda: asked.append(1) or client, None)
    assert known.find(index, "linux/amd64") == known.find(index, "linux/amd64")
    assert asked == [1]


@pytest.mark.parametrize("content", [b"", b"[]", b"{\xff", b'{"linux/amd64": "sha256:short"}', b'{"linux/amd64": 3}'])
def test_a_file_that_cannot_be_read_is_asked_anew(
    client: RegistryClient, index: ImageReference, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / f"{index.digest.replace(':', '-')}.json").write_bytes(content)
    wanted = client.platform_manifest(index, "linux/amd64").digest
    assert PlatformDigests(lambda: client, tmp_path).find(index, "linux/amd64") == wanted
    assert PlatformDigests(nobody, tmp_path).find(index, "linux/amd64") == wanted


def test_a_folder_that_cannot_be_written_costs_nothing_but_another_question(
    client: RegistryClient, index: ImageReference, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    known = PlatformDigests(lambda: client, tmp_path / "file" / "below")
    assert known.find(index, "linux/amd64").startswith("sha256:")


def test_what_a_registry_does_not_have_is_not_kept(
    client: RegistryClient, index: ImageReference, tmp_path: Path
) -> None:
    known = PlatformDigests(lambda: client, tmp_path)
    with pytest.raises(NotFound):
        known.find(index, "linux/s390x")
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_cannot_be_reached_is_asked_once(client: RegistryClient) -> None:
    asked: list[int] = []
    known = PlatformDigests(lambda: asked.append(1) or client.bound(seconds=2), None)
    image = ImageReference.parse(f"127.0.0.1:{free_port()}/nobody@sha256:{'a' * 64}")
    for _ in range(2):
        with pytest.raises(Unreachable):
            known.find(image, "linux/amd64")
    with pytest.raises(Unreachable):
        known.find(image.with_digest(f"sha256:{'b' * 64}"), "linux/amd64")
    assert asked == [1]


def test_many_may_ask_at_once(client: RegistryClient, index: ImageReference, tmp_path: Path) -> None:
    known, found = PlatformDigests(lambda: client, tmp_path), set[str]()
    threads = [threading.Thread(target=lambda: found.add(known.find(index, "linux/arm64"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {client.platform_manifest(index, "linux/arm64").digest}
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


def test_old_answers_make_room(
    client: RegistryClient, index: ImageReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskengine.registry.platformdigest._MOST_FILES", 4)
    for number in range(6):
        (tmp_path / f"sha256-{number:064}.json").write_text("{}")
    PlatformDigests(lambda: client, tmp_path).find(index, "linux/amd64")
    assert len(list(tmp_path.iterdir())) == 4
