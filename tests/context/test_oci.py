"""Contexts out of artifacts in a real registry."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from taskengine.context.fetch import fetch
from taskengine.context.model import Access, Fetched, Limits
from taskengine.context.oci import fetch_oci
from taskengine.context.source import parse_context
from taskengine.errors import InvalidInput, TaskEngineError
from taskengine.registry.body import Content
from taskengine.registry.client import RegistryClient
from taskengine.registry.digest import digest_of
from taskengine.registry.reference import ImageReference
from tests.context.test_archive import entry, folder, link, pack
from tests.support.registry import Registry

TITLE = "org.opencontainers.image.title"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
Layer = tuple[bytes, dict[str, str]]


@pytest.fixture
def push(registry: Registry, client: RegistryClient) -> Callable[..., str]:
    """Push an artifact of these layers; returns its context's text."""

    def run(*layers: Layer, name: str = "team/app:1") -> str:
        ref = ImageReference.parse(f"{registry.name}/{name}")
        described = [_blob(client, ref, data) | {"annotations": marks} for data, marks in layers]
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _blob(client, ref, b"{}"),
            "layers": described,
        }
        client.put_manifest(ref, json.dumps(document).encode(), MANIFEST)
        return f"oci://{registry.name}/{name}"

    return run


def _blob(client: RegistryClient, ref: ImageReference, data: bytes) -> dict[str, object]:
    digest = digest_of(data)
    client.push_blob(ref, Content(digest=digest, size=len(data), media_type="", pieces=lambda: iter([data])))
    return {"mediaType": "application/octet-stream", "digest": digest, "size": len(data)}


@pytest.fixture
def get(tmp_path: Path, client: RegistryClient) -> Callable[..., Fetched]:
    def run(text: str, limits: Limits = Limits()) -> Fetched:  # noqa: B008 - it is frozen
        return fetch(
            parse_context(text),
            into=tmp_path / "got",
            access=Access(),
            limits=limits,
            oci=lambda context, into, bounds, deadline: fetch_oci(context, into, client, bounds, deadline),
        )

    return run


Get = Callable[..., Fetched]
Push = Callable[..., str]


def test_files_have_the_names_of_their_titles(get: Get, push: Push) -> None:
    text = push((b"FROM scratch\n", {TITLE: "Dockerfile"}), (b"", {TITLE: "web/empty"}))
    found = get(text)
    assert (found.folder / "Dockerfile").read_text() == "FROM scratch\n"
    assert (found.folder / "web" / "empty").read_bytes() == b""
    assert found.digest.startswith("sha256:")


def test_a_folder_is_unpacked(get: Get, push: Push) -> None:
    data = gzip.compress(pack(folder("app"), entry("app/Dockerfile", data=b"FROM scratch\n")))
    text = push((data, {TITLE: "app", "io.deis.oras.content.unpack": "true"}))
    assert (get(f"{text}#app").folder / "Dockerfile").is_file()


def test_archives_without_a_title_lie_one_over_the_other(get: Get, push: Push) -> None:
    text = push((pack(entry("a", data=b"1"), entry("b", data=b"1")), {}), (pack(entry("b", data=b"2")), {}))
    found = get(text)
    assert ((found.folder / "a").read_text(), (found.folder / "b").read_text()) == ("1", "2")


def test_an_artifact_is_found_by_its_digest(get: Get, push: Push) -> None:
    text = push((b"x", {TITLE: "x"}), name="team/by-digest:1")
    digest = get(text).digest
    assert get(text.replace(":1", f"@{digest}")).digest == digest


def test_an_index_of_one_artifact_stands_for_it(
    get: Get, push: Push, client: RegistryClient, registry: Registry
) -> None:
    push((b"x", {TITLE: "x"}), name="team/index:one")
    ref = ImageReference.parse(f"{registry.name}/team/index:one")
    entry_of = client.manifest(ref).descriptor.as_json()
    for tag, entries in (("wrapped", [entry_of]), ("two", [entry_of, entry_of])):
        raw = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        client.put_manifest(ref.with_tag(tag), raw, INDEX)
    assert (get(f"oci://{registry.name}/team/index:wrapped").folder / "x").is_file()
    with pytest.raises(InvalidInput, match="index of 2 entries"):
        get(f"oci://{registry.name}/team/index:two")


@pytest.mark.parametrize("title", ["../evil", "/evil", "a/../../evil", "."])
def test_a_title_that_leads_out_is_refused(get: Get, push: Push, tmp_path: Path, title: str) -> None:
    with pytest.raises(InvalidInput):
        get(push((b"!", {TITLE: title})))
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_file_is_not_written_through_a_link_of_an_earlier_layer(get: Get, push: Push) -> None:
    text = push((pack(folder("real"), link("out", "real")), {}), (b"!", {TITLE: "out/evil"}))
    with pytest.raises(InvalidInput, match="no folder"):
        get(text)


def test_a_hostile_archive_in_a_layer_is_refused(get: Get, push: Push) -> None:
    with pytest.raises(InvalidInput, match="leads out"):
        get(push((pack(entry("../evil", data=b"!")), {})))


def test_layers_that_delete_files_are_an_images(get: Get, push: Push) -> None:
    with pytest.raises(InvalidInput, match="not an artifact"):
        get(push((pack(entry("a"), entry(".wh.b")), {})))


def test_an_artifact_without_files_is_refused(get: Get, push: Push) -> None:
    with pytest.raises(InvalidInput, match="holds no files"):
        get(push())


def test_more_than_the_limit_is_not_begun(get: Get, push: Push) -> None:
    with pytest.raises(InvalidInput, match="larger than"):
        get(push((b"xx", {TITLE: "x"})), limits=Limits(download=1))


def test_an_artifact_that_is_not_there_is_named(get: Get, registry: Registry) -> None:
    with pytest.raises(TaskEngineError, match="team/nosuch"):
        get(f"oci://{registry.name}/team/nosuch:1")


def test_content_that_was_changed_in_the_registry_is_refused(get: Get, push: Push, registry: Registry) -> None:
    text = push((b"the original", {TITLE: "x"}), name="team/changed:1")
    digest = digest_of(b"the original").removeprefix("sha256:")
    blob = registry.folder / f"data/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    blob.write_bytes(b"the_original")
    with pytest.raises(TaskEngineError):
        get(text)
