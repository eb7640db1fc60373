from __future__ import annotations

from typing import Any

import pytest

from runners.docker.buildkit import BuildRequest, Empty, Ulimit
from runners.docker.buildkit.attrs import entitlements, exporter_attrs, frontend_attrs
from taskengine.errors import InvalidInput


def request(**fields: Any) -> BuildRequest:
    return BuildRequest(context=Empty(), **fields)


@pytest.mark.parametrize(
    ("fields", "attrs"),
    [
        ({}, {}),
        ({"build_args": {"A": "1", "B": ""}}, {"build-arg:A": "1", "build-arg:B": ""}),
        ({"labels": {"team": "x=y"}}, {"label:team": "x=y"}),
        ({"target": "test", "platform": "linux/arm64"}, {"target": "test", "platform": "linux/arm64"}),
        ({"no_cache": True, "pull": True}, {"no-cache": "", "image-resolve-mode": "pull"}),
        ({"network": "none"}, {"force-network-mode": "none"}),
        ({"network": "default"}, {}),
        ({"add_hosts": ("db:10.0.0.5", "six:[::1]", "seven=::2")}, {"add-hosts": "db=10.0.0.5,six=::1,seven=::2"}),
        ({"shm_size": 67108864}, {"shm-size": "67108864"}),
        ({"ulimits": (Ulimit(name="nofile", soft=1, hard=2),)}, {"ulimit": "nofile=1:2"}),
        ({"cache_from": ("a/b:1", "type=x,ref=y")}, {"cache-from": 'a/b:1,"type=x,ref=y"'}),
        ({"extra_attrs": {"x": "y"}}, {"x": "y"}),
    ],
)
def test_a_request_becomes_the_frontends_attributes(fields: dict[str, Any], attrs: dict[str, str]) -> None:
    assert frontend_attrs(request(**fields)) == attrs


def test_an_image_gets_all_its_names_at_once() -> None:
    assert exporter_attrs(request(tags=("a:1", "b:2"))) == {"name": "a:1,b:2"}


def test_the_hosts_network_needs_leave_and_nothing_else_does() -> None:
    assert [entitlements(request(network=n)) for n in ("host", "none", "")] == [("network.host",), (), ()]


@pytest.mark.parametrize(
    "fields", [{"network": "my-net"}, {"add_hosts": ("db",)}, {"add_hosts": ("db:x",)}, {"build_args": {"A": "\udcff"}}]
)
def test_what_buildkit_cannot_do_is_refused_with_a_hint(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        frontend_attrs(request(**fields))
    assert caught.value.hint


def test_secrets_and_credentials_are_not_in_a_requests_text() -> None:
    text = repr(request(secrets={"id": b"hunter2"}, credentials=lambda _: ("user", "hunter2")))
    assert "hunter2" not in text
