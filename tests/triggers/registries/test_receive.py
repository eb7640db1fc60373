"""Payloads as each product sends them, what they say, and who may send them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from triggers.registries.document import LARGEST_BODY
from triggers.registries.model import Delivery, ImagePushed, Product, Untrusted
from triggers.registries.receive import product, read, verify

DIGEST = "sha256:" + "a1" * 32
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

EVENT: dict[str, Any] = {
    "id": "asdf-asdf-asdf-asdf-0",
    "timestamp": "2026-03-04T05:06:07.123456789Z",
    "action": "push",
    "target": {
        "mediaType": MANIFEST,
        "digest": DIGEST,
        "size": 1,
        "length": 1,
        "repository": "base/alpine",
        "url": "http://registry.example.com:5000/v2/base/alpine/manifests/" + DIGEST,
        "tag": "3",
    },
    "request": {
        "id": "r",
        "addr": "10.0.0.1:1",
        "host": "registry.example.com:5000",
        "method": "PUT",
        "useragent": "d",
    },
    "actor": {"name": "ci"},
    "source": {"addr": "host:5000", "instanceID": "i"},
}
ZOT_DATA = {"name": "golang", "reference": "1.20", "digest": DIGEST, "mediaType": INDEX, "manifest": "{}"}
HARBOR_DATA = {
    "resources": [{"digest": DIGEST, "tag": "v1", "resource_url": "harbor.example.com/team/app:v1"}],
    "repository": {"date_created": 1, "name": "app", "namespace": "team", "repo_full_name": "team/app"},
}
SAMPLES: dict[Product, tuple[dict[str, str], Any]] = {
    Product.DISTRIBUTION: ({}, {"events": [EVENT]}),
    Product.ACR: ({}, EVENT | {"request": {"host": "mine.azurecr.io", "method": "PUT"}}),
    Product.HARBOR: (
        {},
        {"type": "PUSH_ARTIFACT", "occur_at": 1586922308, "operator": "admin", "event_data": HARBOR_DATA},
    ),
    Product.ZOT: ({"ce-type": "zotregistry.image.updated", "ce-id": "z1", "ce-time": "2026-03-04T05:06:07Z"}, ZOT_DATA),
    Product.DOCKER_HUB: (
        {},
        {
            "callback_url": "https://registry.hub.docker.com/u/me/app/hook/1/",
            "push_data": {"pushed_at": 1417566161, "pusher": "me", "tag": "latest"},
            "repository": {"repo_name": "me/app", "name": "app", "namespace": "me", "status": "Active"},
        },
    ),
    Product.GHCR: (
        {"x-github-event": "registry_package", "x-github-delivery": "d-1"},
        {
            "action": "published",
            "registry_package": {
                "name": "app",
                "namespace": "Octo-Org",
                "package_type": "CONTAINER",
                "updated_at": "2026-03-04T05:06:07Z",
                "package_version": {
                    "version": DIGEST,
                    "package_url": "ghcr.io/octo-org/app:main",
                    "container_metadata": {
                        "tag": {"name": "main", "digest": DIGEST},
                        "manifest": {"media_type": MANIFEST},
                    },
                },
            },
        },
    ),
    Product.QUAY: (
        {},
        {
            "name": "app",
            "repository": "me/app",
            "namespace": "me",
            "docker_url": "quay.io/me/app",
            "homepage": "https://quay.io/repository/me/app",
            "updated_tags": ["latest", "v2"],
        },
    ),
}


def delivery(document: Any, headers: dict[str, str] | None = None, token: str = "") -> Delivery:
    return Delivery(headers=headers or {}, body=json.dumps(document).encode(), token=token)


def sample(kind: Product) -> Delivery:
    headers, document = SAMPLES[kind]
    return delivery(document, headers)


def test_an_event_of_distribution_says_all() -> None:
    (found,) = read(Product.DISTRIBUTION, sample(Product.DISTRIBUTION)).pushed
    assert found == ImagePushed(
        registry="registry.example.com:5000",
        repository="base/alpine",
        tag="3",
        digest=DIGEST,
        media_type=MANIFEST,
        event_id="asdf-asdf-asdf-asdf-0",
        at=datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC),
    )
    assert found.image.normalised == "registry.example.com:5000/base/alpine:3"


@pytest.mark.parametrize(
    ("kind", "images"),
    [
        (Product.ACR, ["mine.azurecr.io/base/alpine:3"]),
        (Product.HARBOR, ["harbor.example.com/team/app:v1"]),
        (Product.DOCKER_HUB, ["docker.io/me/app:latest"]),
        (Product.GHCR, ["ghcr.io/octo-org/app:main"]),
        (Product.QUAY, ["quay.io/me/app:latest", "quay.io/me/app:v2"]),
    ],
)
def test_each_product_names_its_image(kind: Product, images: list[str]) -> None:
    reading = read(kind, sample(kind))
    assert [one.image.normalised for one in reading.pushed] == images
    assert reading.ignored == ()


@pytest.mark.parametrize("kind", [Product.DISTRIBUTION, Product.ACR, Product.HARBOR, Product.ZOT, Product.GHCR])
def test_products_that_tell_a_digest(kind: Product) -> None:
    (found,) = read(kind, sample(kind), registry="r.example.com").pushed
    assert found.digest == DIGEST


@pytest.mark.parametrize("kind", [Product.DOCKER_HUB, Product.QUAY])
def test_products_that_tell_none_leave_it_open(kind: Product) -> None:
    assert {one.digest for one in read(kind, sample(kind)).pushed} == {""}


def test_an_official_image_of_docker_hub_is_found_by_its_full_name() -> None:
    body = {"push_data": {"tag": "3"}, "repository": {"repo_name": "library/alpine"}}
    (found,) = read(Product.DOCKER_HUB, delivery(body)).pushed
    assert found.image.normalised == "docker.io/library/alpine:3"


def test_zot_has_to_be_told_its_own_name() -> None:
    reading = read(Product.ZOT, sample(Product.ZOT))
    assert reading.pushed == ()
    assert reading.ignored == ("golang:1.20 does not say on which registry it is",)
    (found,) = read(Product.ZOT, sample(Product.ZOT), registry="zot.example.com").pushed
    assert (found.image.normalised, found.event_id) == ("zot.example.com/golang:1.20", "z1")


def test_zot_may_send_its_event_in_one_piece() -> None:
    body = {"specversion": "1.0", "type": "zotregistry.image.updated", "id": "z2", "data": ZOT_DATA}
    (found,) = read(Product.ZOT, delivery(body), registry="zot.example.com").pushed
    assert (found.event_id, found.media_type) == ("z2", INDEX)


def test_harbor_may_send_cloud_events() -> None:
    body = {"specversion": "1.0", "type": "harbor.artifact.pushed", "id": "h1", "data": HARBOR_DATA}
    (found,) = read(Product.HARBOR, delivery(body | {"time": "2026-03-04T05:06:07Z"})).pushed
    assert (found.event_id, found.at) == ("h1", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))


def test_a_hook_of_one_registry_cannot_speak_of_another() -> None:
    (found,) = read(Product.DISTRIBUTION, sample(Product.DISTRIBUTION), registry="own.example.com").pushed
    assert found.registry == "own.example.com"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"action": "pull"}, "base/alpine: 'pull' is no push"),
        ({"action": "delete"}, "base/alpine: 'delete' is no push"),
        ({"target": {"repository": "base/alpine", "digest": DIGEST}}, "base/alpine was pushed without a tag"),
        ({"target": {"repository": "a", "tag": "1", "digest": "sha256:1"}}, "a:1 names 'sha256:1', which is no digest"),
        ({"target": {"repository": "A b", "tag": "1"}}, "white space"),
        ({"target": None}, "something was pushed without a tag"),
        ({"target": {"repository": "a", "tag": "1@" + DIGEST}}, "without a tag"),
    ],
)
def test_what_is_no_push_of_a_tag_is_ignored_and_said(change: dict[str, Any], reason: str) -> None:
    reading = read(Product.DISTRIBUTION, delivery({"events": [EVENT | change, EVENT]}))
    assert len(reading.pushed) == 1
    assert reason in reading.ignored[0]


@pytest.mark.parametrize(
    ("kind", "document", "reason"),
    [
        (Product.HARBOR, {"type": "DELETE_ARTIFACT"}, "'DELETE_ARTIFACT' is no push"),
        (Product.HARBOR, {"type": "PUSH_ARTIFACT"}, "the push names no resource"),
        (Product.ZOT, {"type": "zotregistry.image.deleted"}, "'zotregistry.image.deleted' is no push"),
        (Product.GHCR, {"zen": "x", "hook_id": 1}, "the event '' is about no package"),
        (Product.GHCR, {"package": {"name": "x", "package_type": "npm"}}, "x is no container image"),
        (Product.QUAY, {"repository": "a/b"}, "no tag was updated"),
    ],
)
def test_other_events_of_a_product_are_ignored_and_said(kind: Product, document: Any, reason: str) -> None:
    reading = read(kind, delivery(document))
    assert (reading.pushed, reading.ignored) == ((), (reason,))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"x" * (LARGEST_BODY + 1)])
@pytest.mark.parametrize("kind", list(Product))
def test_what_is_no_notification_at_all_is_refused(kind: Product, body: bytes) -> None:
    with pytest.raises(InvalidInput, match="the notification"):
        read(kind, Delivery(body=body))


def test_an_envelope_without_events_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no list of events"):
        read(Product.DISTRIBUTION, delivery({"event": []}))


def test_an_unknown_product_is_refused_with_those_that_are_known() -> None:
    assert product("harbor") is Product.HARBOR
    with pytest.raises(InvalidInput) as caught:
        product("nexus")
    assert "distribution, harbor" in (caught.value.hint or "")


BASIC = base64.b64encode(b"registry:s3cret").decode()


@pytest.mark.parametrize("header", ["Bearer s3cret", "bearer  s3cret", "s3cret", f"Basic {BASIC}"])
@pytest.mark.parametrize("kind", [Product.DISTRIBUTION, Product.HARBOR, Product.ZOT, Product.ACR])
def test_the_secret_comes_in_the_authorization_header(kind: Product, header: str) -> None:
    verify(kind, Delivery(headers={"authorization": header}), "s3cret")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer s3cre", "Bearer s3cret2", "Basic !!", "Basic czNjcmV0", "\udcff"]
)
def test_a_wrong_header_is_refused(header: str) -> None:
    with pytest.raises(Untrusted, match="Authorization"):
        verify(Product.HARBOR, Delivery(headers={"authorization": header}, token="s3cret"), "s3cret")


@pytest.mark.parametrize("kind", [Product.DOCKER_HUB, Product.QUAY])
def test_products_without_headers_prove_themselves_by_the_address(kind: Product) -> None:
    verify(kind, Delivery(token="s3cret"), "s3cret")
    with pytest.raises(Untrusted, match="token"):
        verify(kind, Delivery(headers={"authorization": "Bearer s3cret"}), "s3cret")


def test_github_signs_the_body() -> None:
    body = b'{"a": 1}'
    signature = "sha256=" + hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    verify(Product.GHCR, Delivery(headers={"x-hub-signature-256": signature}, body=body), "s3cret")
    for wrong in (Delivery(headers={"x-hub-signature-256": signature}, body=body + b" "), Delivery(body=body)):
        with pytest.raises(Untrusted, match="signature"):
            verify(Product.GHCR, wrong, "s3cret")


@pytest.mark.parametrize("kind", list(Product))
def test_a_hook_without_a_secret_trusts_nobody(kind: Product) -> None:
    with pytest.raises(Untrusted, match="no secret"):
        verify(kind, Delivery(headers={"authorization": "Bearer "}), "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def _changed(document: Any, draw: Any) -> Any:
    """The sample with parts of it replaced by anything."""
    if draw(st.integers(0, 7)) == 0:
        return draw(json_values)
    if isinstance(document, dict):
        return {key: _changed(value, draw) for key, value in document.items()}
    if isinstance(document, list):
        return [_changed(value, draw) for value in document]
    return document


@settings(max_examples=400, deadline=None)
@given(data=st.data(), kind=st.sampled_from(list(Product)), registry=st.sampled_from(["", "r.example.com"]))
def test_no_payload_raises_anything_but_invalid_input(data: st.DataObject, kind: Product, registry: str) -> None:
    headers, document = SAMPLES[kind]
    body = json.dumps(_changed(document, data.draw)).encode()
    try:
        reading = read(kind, Delivery(headers=headers, body=body), registry=registry)
    except InvalidInput:
        return
    for one in reading.pushed:
        one.image.normalised.encode()


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200), kind=st.sampled_from(list(Product)), header=st.text(max_size=40))
def test_no_bytes_raise_anything_but_invalid_input(body: bytes, kind: Product, header: str) -> None:
    names = ("authorization", "x-hub-signature-256", "ce-type", "x-github-delivery", "x-github-event")
    shown = Delivery(headers=dict.fromkeys(names, header), body=body, token=header)
    for action in (lambda: read(kind, shown), lambda: verify(kind, shown, "s3cret")):
        with contextlib.suppress(InvalidInput):
            action()
