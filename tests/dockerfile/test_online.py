"""A scan that asks a real registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskengine.dockerfile.online import Online, ask, online_json
from taskengine.dockerfile.scan import scan, scan_json
from taskengine.registry import mediatype
from taskengine.registry.body import Content
from taskengine.registry.client import RegistryClient
from taskengine.registry.reference import ImageReference
from tests.cli.conftest import Outcome, Wiring, cli, wiring  # noqa: F401
from tests.registry.conftest import LAYER, client, make_client, plain, push_image, push_index, ref  # noqa: F401
from tests.support.registry import Registry


def push_with_triggers(client: RegistryClient, where: ImageReference, *triggers: str) -> str:  # noqa: F811
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"OnBuild": list(triggers)}}).encode()
    parts = [
        client.push_blob(where, Content.of_bytes(config, mediatype.OCI_CONFIG)),
        client.push_blob(where, Content.of_bytes(b"layer", LAYER)),
    ]
    document = {"schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": parts[0].as_json(), "layers": [parts[1].as_json()]}  # fmt: skip
    return client.put_manifest(where, json.dumps(document).encode(), mediatype.OCI_MANIFEST).digest


def look(client: RegistryClient, text: str, platform: str = "") -> tuple[Online, dict[str, Any]]:  # noqa: F811
    online = ask(lambda triggers: scan(text, platform=platform, triggers=triggers), client, platform=platform)
    return online, online_json(online, scan_json(online.found))


def test_digests_are_those_that_the_tags_stand_for(client: RegistryClient, plain: Registry) -> None:  # noqa: F811
    base, tool = push_image(client, ref(plain, "on/base:1"), "a"), push_image(client, ref(plain, "on/tool:1"), "b")
    text = f"FROM {plain.name}/on/base:1\nCOPY --from={plain.name}/on/tool:1 / /\n"
    _, found = look(client, text)
    assert (found["runtime"]["digest"], found["runtime"]["platformDigest"]) == (base.digest, base.digest)
    assert [image["digest"] for image in found["buildtime"]] == [tool.digest]


def test_an_index_has_the_manifest_of_the_platform_beside_its_own(client: RegistryClient, plain: Registry) -> None:  # noqa: F811
    where = ref(plain, "on/many:1")
    index = push_index(client, where, "linux/amd64", "linux/arm64")
    arm = client.platform_manifest(where, "linux/arm64").digest
    _, found = look(client, f"FROM {where}\n", "linux/arm64")
    assert {key: found["runtime"][key] for key in ("digest", "platform", "platformDigest")} == {
        "digest": index.digest,
        "platform": "linux/arm64",
        "platformDigest": arm,
    }


def test_what_the_triggers_of_a_base_take_from_is_found(client: RegistryClient, plain: Registry) -> None:  # noqa: F811
    tool = push_image(client, ref(plain, "on/trigger-tool:1"), "t")
    base = push_with_triggers(
        client, ref(plain, "on/trigger:1"),
        f"COPY --from={plain.name}/on/trigger-tool:1 /t /t", "RUN echo hi", "COPY --from=a /x /x", "NOT AN INSTRUCTION",
    )  # fmt: skip
    text = f"FROM {plain.name}/on/base:2 AS a\nFROM {plain.name}/on/trigger:1\n"
    push_image(client, ref(plain, "on/base:2"), "z")
    online, found = look(client, text)
    assert online.troubles == ()
    assert found["runtime"]["digest"] == base
    assert [image["reference"] for image in found["buildtime"]] == [f"{plain.name}/on/base:2", f"{plain.name}/on/trigger-tool:1"]  # fmt: skip
    assert found["buildtime"][1]["digest"] == tool.digest


def test_an_image_that_is_not_there_is_trouble_of_its_own(client: RegistryClient, plain: Registry) -> None:  # noqa: F811
    base = push_image(client, ref(plain, "on/there:1"), "y")
    online, found = look(client, f"FROM {plain.name}/on/there:1\nCOPY --from={plain.name}/on/missing:1 / /\n")
    assert found["runtime"]["digest"] == base.digest
    [missing] = found["buildtime"]
    assert (missing["digest"], missing["platformDigest"]) == ("", None)
    assert "missing" in missing["problem"]
    assert [error.exit_code for error in online.troubles] == [2]


@pytest.mark.parametrize("text", ["FROM scratch\n", "FROM scratch AS a\nFROM a\n"])
def test_nothing_is_asked_where_nothing_is_named(client: RegistryClient, text: str) -> None:  # noqa: F811
    online, found = look(client, text)
    assert (online.answers, found["runtime"]) == ({}, None)


def test_the_command_shows_both_digests(
    client: RegistryClient, plain: Registry, cli: Callable[..., Outcome], tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    where = ref(plain, "on/shown:1")
    index = push_index(client, where, "linux/amd64")
    (tmp_path / "Dockerfile").write_text(f"FROM {where}\n")
    told = cli("scan", ".", "--resolve")
    assert told.code == 0, told.err
    assert index.digest in told.out
    assert client.platform_manifest(where, "linux/amd64").digest in told.out
    assert index.digest not in cli("scan", ".").out


def test_the_command_says_what_could_not_be_asked(cli: Callable[..., Outcome], tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "Dockerfile").write_text("FROM 127.0.0.1:9/nobody/here:1\n")
    told = cli("scan", ".", "--resolve", "-o", "json")
    assert told.code == 3
    assert json.loads(told.out)["runtime"]["digest"] == ""
    assert told.err.startswith("warning: ")


def test_triggers_that_are_known_count_in_a_scan() -> None:
    base = ImageReference.parse("r.io/base:1")
    seen = partial(scan, "FROM r.io/base:1\n")
    assert [i.familiar for i in seen(triggers={base: ("RUN --mount=from=r.io/tool:1 true",)}).buildtime] == ["r.io/tool:1"]  # fmt: skip
    assert seen(triggers={base: ("FROM r.io/no:1", "ADD", "", "COPY --from=$X a b")}).buildtime == ()
