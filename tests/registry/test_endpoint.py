"""Where registries are reached and how far they are trusted; the user's file about it; the platforms of an index."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.errors import InvalidInput, TaskEngineError
from taskengine.registry.config import load_registries, parse_registries
from taskengine.registry.content import Descriptor, Manifest, manifest_type
from taskengine.registry.digest import digest_of, is_digest
from taskengine.registry.endpoint import HostConfig, Registries, is_loopback
from taskengine.registry.platform import choose, platforms_of


@pytest.mark.parametrize(
    ("domain", "base"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("reg.example.com:5000", "https://reg.example.com:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.3.2.1", "http://127.3.2.1"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_everything_but_loopback_is_encrypted(domain: str, base: str) -> None:
    assert Registries().endpoint(domain).base == base


@pytest.mark.parametrize("host", ["localhost.example.com", "127.0.0.1.example.com", "0.0.0.0", "", "10.0.0.1"])
def test_a_name_that_looks_like_loopback_is_none(host: str) -> None:
    assert not is_loopback(host)


def test_plain_http_does_not_give_the_login_away() -> None:
    plain = Registries(hosts={"reg.lan": HostConfig(plain_http=True)}).endpoint("reg.lan")
    assert (plain.base, plain.may_login) == ("http://reg.lan", False)
    assert Registries().endpoint("localhost").may_login


def test_mirrors_are_read_before_the_registry() -> None:
    registries = Registries(hosts={"docker.io": HostConfig(mirrors=("https://mirror.example.com/",))})
    assert [one.base for one in registries.readable("docker.io")] == [
        "https://mirror.example.com",
        "https://registry-1.docker.io",
    ]


def test_a_mirror_over_plain_http_must_be_allowed() -> None:
    hosts = {"docker.io": HostConfig(mirrors=("http://mirror.lan",))}
    with pytest.raises(InvalidInput, match="plain http"):
        Registries(hosts=hosts).readable("docker.io")
    allowed = Registries(hosts={**hosts, "mirror.lan": HostConfig(plain_http=True)})
    assert allowed.readable("docker.io")[0].may_login is False


def test_the_file_configures_hosts(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    text = f"""
registries:
  docker.io: {{mirrors: [https://mirror.example.com]}}
  reg.lan:5000: {{plain_http: true, login_in_clear: true}}
  harbor.example.com: {{ca_file: {tmp_path}/ca.pem}}
"""
    (tmp_path / "registries.yaml").write_text(text)
    hosts = load_registries(tmp_path / "registries.yaml").hosts
    assert hosts["docker.io"].mirrors == ("https://mirror.example.com",)
    assert hosts["reg.lan:5000"] == HostConfig(plain_http=True, login_in_clear=True)
    assert hosts["harbor.example.com"].ca_file.endswith("ca.pem")


def test_no_file_configures_nothing(tmp_path: Path) -> None:
    assert load_registries(tmp_path / "none.yaml") == Registries()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("registries: {a.b: {plain_htp: true}}", "no setting 'plain_htp'"),
        ("hosts: {}", "no setting 'hosts'"),
        ("registries: []", "must be a mapping"),
        ("registries: {https://a.b: {}}", "no registry host"),
        ("registries: {a.b: {plain_http: yes please}}", "true or false"),
        ("registries: {a.b: {mirrors: https://x}}", "must be a list"),
        ("registries: {a.b: {mirrors: ['https://u:p@x']}}", "no address of a registry"),
        ("registries: {a.b: {ca_file: /not/there.pem}}", "not there"),
        ("registries: {a.b: {client_key: /dev/null}}", "without client_cert"),
        ("registries: {a: [", "no YAML"),
        ("registries: {a.b: {mirrors: ['http://[']}}", "no address of a registry"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_registries(text.encode(), source="registries.yaml")


def entry(platform: str, **more: str) -> Descriptor:
    return Descriptor(digest=digest_of(platform.encode()), platform=platform, annotations=more)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v2"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/v5", None),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64", "linux/arm64"),
        ("windows/amd64", None),
        ("unknown/unknown", None),
    ],
)
def test_the_best_image_for_a_platform_is_chosen(wanted: str, found: str | None) -> None:
    names = ("unknown/unknown", "linux/arm/v6", "linux/amd64", "linux/amd64/v2", "linux/arm/v7", "linux/arm64")
    chosen = choose([entry(name) for name in names], wanted)
    assert (chosen.platform if chosen else None) == found


def test_an_attestation_is_no_image_of_its_platform() -> None:
    attestation = entry("linux/amd64", **{"vnd.docker.reference.type": "attestation-manifest"})
    assert choose([attestation], "linux/amd64") is None
    assert platforms_of([attestation, entry("linux/s390x")]) == ("linux/s390x",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["manifests", "layers", "config", "digest", "size", "mediaType", "platform", "os", "subject"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["", "application/vnd.oci.image.index.v1+json", "text/html"]))
def test_any_document_is_read_or_refused_and_never_crashes(document: object, header: str) -> None:
    import json

    raw = json.dumps(document).encode()
    try:
        manifest = Manifest.of(raw, manifest_type(raw, header))
        named = (*manifest.manifests, *manifest.blobs, *filter(None, [manifest.subject]))
    except TaskEngineError:
        named = ()
    assert all(is_digest(one.digest) for one in named)


@given(st.text(max_size=90))
def test_a_digest_can_be_put_into_an_address(text: str) -> None:
    assert not is_digest(text) or text.replace(":", "").isalnum()
    assert is_digest(digest_of(text.encode()))
