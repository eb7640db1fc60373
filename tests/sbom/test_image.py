"""Bills of materials of images in a real registry, held against CycloneDX's own JSON Schema."""

from __future__ import annotations

import gzip
import json
import lzma
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from taskengine.registry import mediatype
from taskengine.registry.client import RegistryClient
from taskengine.registry.content import BrokenContent
from taskengine.registry.reference import ImageReference
from taskengine.sbom.image import bills
from tests.sbom.conftest import ALPINE, APK, DEBIAN, DPKG, PushImage, layer, push_layers, rpm_database, rpm_header
from tests.support.registry import Registry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATUS = "var/lib/dpkg/status"


def bill(client: RegistryClient, ref: ImageReference) -> dict[str, Any]:
    ((_, artifact),) = bills(client, ref, created=NOW, version="1.2.3")
    text = artifact.document.decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document: dict[str, Any] = json.loads(text)
    return document


def packages(document: dict[str, Any]) -> list[str]:
    return [one["purl"] for one in document.get("components", []) if one["type"] == "library"]


def said(document: dict[str, Any], name: str) -> list[str]:
    return [one["value"] for one in document.get("properties", []) if one["name"] == f"acr-task:{name}"]


def test_the_packages_of_a_debian_image_are_listed_with_their_addresses(
    client: RegistryClient, push: PushImage
) -> None:
    ref, image = push({"./etc/os-release": DEBIAN}, {f"./{STATUS}": DPKG})
    document = bill(client, ref)
    assert packages(document) == [
        "pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12",
    ]
    about = document["metadata"]["component"]
    assert (about["version"], about["hashes"][0]["content"]) == (image.digest, image.digest.partition(":")[2])
    assert document["metadata"]["tools"]["components"][0]["version"] == "1.2.3"
    assert said(document, "database") == [STATUS]
    assert (said(document, "gap"), said(document, "note")) == ([], [])


def test_licenses_that_spdx_knows_are_ids_and_others_are_names(client: RegistryClient, push: PushImage) -> None:
    document = bill(client, push({"etc/os-release": ALPINE, "lib/apk/db/installed": APK})[0])
    licenses = {one["name"]: one["licenses"][0]["license"] for one in document["components"] if one.get("licenses")}
    assert licenses == {"musl": {"id": "MIT"}, "busybox-binsh": {"name": "GPL-2.0 only!"}}


def test_the_packages_of_an_rpm_image_are_listed(client: RegistryClient, push: PushImage, tmp_path: Path) -> None:
    database = rpm_database(tmp_path, rpm_header({1000: "bash", 1001: "5", 1002: "1", 1003: 2, 1022: "x86_64"}))
    ref, _ = push({"etc/os-release": b"ID=fedora\nVERSION_ID=40\n", "usr/lib/sysimage/rpm/rpmdb.sqlite": database})
    assert packages(bill(client, ref)) == ["pkg:rpm/fedora/bash@5-1?arch=x86_64&distro=fedora-40&epoch=2"]


def test_the_last_layer_that_has_a_database_counts(client: RegistryClient, push: PushImage) -> None:
    first = b"Package: old\nStatus: install ok installed\nVersion: 1\n"
    last = b"Package: new\nStatus: install ok installed\nVersion: 2\n"
    assert packages(bill(client, push({STATUS: first}, {STATUS: last}, {"etc/motd": b"hello"})[0])) == ["pkg:deb/new@2"]


@pytest.mark.parametrize(
    "whiteout",
    ["var/lib/dpkg/.wh.status", "var/lib/.wh.dpkg", "var/lib/dpkg/.wh..wh..opq", ".wh..wh..opq"],
)
def test_a_database_that_a_later_layer_deleted_is_gone(client: RegistryClient, push: PushImage, whiteout: str) -> None:
    document = bill(client, push({STATUS: DPKG}, {whiteout: b""})[0])
    assert packages(document) == []


def test_a_folder_that_is_emptied_and_filled_in_one_layer_is_filled(client: RegistryClient, push: PushImage) -> None:
    new = b"Package: new\nStatus: install ok installed\nVersion: 2\n"
    ref, _ = push({STATUS: DPKG}, {"var/lib/dpkg/.wh..wh..opq": b"", STATUS: new})
    assert packages(bill(client, ref)) == ["pkg:deb/new@2"]


def test_an_image_without_files_has_a_bill_that_says_so(client: RegistryClient, push: PushImage) -> None:
    for document in (bill(client, push()[0]), bill(client, push({"app": b"\x7fELF"})[0])):
        assert packages(document) == []
        assert "no package database" in said(document, "note")[0]


@pytest.mark.parametrize(
    "compress",
    [gzip.compress, zstandard.ZstdCompressor().compress, lzma.compress, lambda data: data],
    ids=["gzip", "zstd", "xz", "plain"],
)
def test_layers_are_read_however_they_are_compressed(client: RegistryClient, push: PushImage, compress: Any) -> None:
    assert len(packages(bill(client, push(layer({STATUS: DPKG}, compress=compress))[0]))) == 2


@pytest.mark.parametrize(
    "broken",
    [b"no archive at all" * 100, layer({STATUS: DPKG})[:60], gzip.compress(b"\x01" * 5000)],
    ids=["text", "cut off", "no tar"],
)
def test_a_layer_that_cannot_be_read_is_said_and_the_others_count(
    client: RegistryClient, push: PushImage, broken: bytes
) -> None:
    document = bill(client, push({STATUS: DPKG}, broken)[0])
    assert len(packages(document)) == 2
    assert "could not be read" in said(document, "gap")[0]


def test_a_bomb_is_given_up(client: RegistryClient, push: PushImage) -> None:
    bomb = layer({"zeros": b"\0" * (200 << 20)}, compress=lambda data: lzma.compress(data, preset=0))
    document = bill(client, push(bomb)[0])
    assert "bomb" in said(document, "gap")[0]


def test_a_layer_of_a_vendor_is_not_fetched(client: RegistryClient, registry: Registry) -> None:
    ref = ImageReference.parse(f"{registry.name}/sbom/windows:1")
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    push_layers(client, ref, layer({STATUS: DPKG}), kind=kind)
    assert "kept by its vendor" in said(bill(client, ref), "gap")[0]


def test_each_image_of_an_index_has_a_bill_of_its_own(client: RegistryClient, registry: Registry) -> None:
    ref = ImageReference.parse(f"{registry.name}/sbom/index:1")
    entries, names = [], {}
    for architecture in ("amd64", "arm64", "unknown"):
        text = f"Package: for-{architecture}\nStatus: install ok installed\nVersion: 1\n".encode()
        image = push_layers(client, ref.with_tag(architecture), layer({STATUS: text}))
        names[image.digest] = architecture
        system = "unknown" if architecture == "unknown" else "linux"
        entries.append(image.as_json() | {"platform": {"os": system, "architecture": architecture}})
    index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": entries}
    client.put_manifest(ref, json.dumps(index).encode(), mediatype.OCI_INDEX)
    made = {
        names[about.digest]: json.loads(one.document) for about, one in bills(client, ref, created=NOW, version="1")
    }
    assert {architecture: packages(one) for architecture, one in made.items()} == {
        "amd64": ["pkg:deb/for-amd64@1"], "arm64": ["pkg:deb/for-arm64@1"],
    }  # fmt: skip


def test_other_bytes_than_the_manifest_names_are_refused(
    client: RegistryClient, push: PushImage, registry: Registry
) -> None:
    ref, _ = push({STATUS: DPKG})
    digest = client.manifest(ref).layers[0].digest.partition(":")[2]
    data = registry.folder / "data/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
    raw = data.read_bytes()
    data.write_bytes(raw[:4] + bytes([raw[4] ^ 1]) + raw[5:])  # the time of the gzip header
    with pytest.raises(BrokenContent):
        bill(client, ref)


def test_the_same_image_gives_the_same_bytes(client: RegistryClient, push: PushImage) -> None:
    ref, _ = push({"etc/os-release": DEBIAN, STATUS: DPKG})
    one, two = (list(bills(client, ref, created=NOW, version="1")) for _ in range(2))
    assert one == two
