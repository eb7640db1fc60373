"""Values of properties and options, as plain numbers."""

from __future__ import annotations

import pytest

from taskengine.errors import InvalidInput
from taskengine.plan.value import Mount, Port, exposed, gpu_count, mount, nano_cpus, nanoseconds, published, size_bytes


def test_a_port_is_published_on_an_address_and_a_port_or_on_any() -> None:
    assert published("80") == (Port("80/tcp"),)
    assert published("127.0.0.1::53/udp") == (Port("53/udp", "127.0.0.1"),)
    assert published("[::1]:8080:80") == (Port("80/tcp", "::1", "8080"),)
    assert published("81-82:1-2") == (Port("1/tcp", outside="81"), Port("2/tcp", outside="82"))


@pytest.mark.parametrize(
    "text", ["", "abc", "80/ip", "1:2:3:4", "80:1-2", "-5:80", "9-8", "65536", "70000:80", "1-" + "9" * 5000]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="port"):
        published(text)


def test_exposed_ports_have_a_protocol() -> None:
    assert exposed("8080") == ("8080/tcp",)
    assert exposed("5-6/udp") == ("5/udp", "6/udp")


@pytest.mark.parametrize("text", ["", "abc", "/tcp", "a-b", "1-x", "1-999999999999"])
def test_what_cannot_be_exposed_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="port"):
        exposed(text)


def test_processors_are_counted_in_billionths() -> None:
    assert nano_cpus("0.5") == 500_000_000


@pytest.mark.parametrize("text", ["lots", "", "nan", "inf", "1e999", "1e305"])
def test_what_is_no_number_of_processors_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a number"):
        nano_cpus(text)


@pytest.mark.parametrize("text", ["lots", "", "1x", "-2", "9" * 400])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a size"):
        size_bytes(text)


def test_a_duration_without_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a duration"):
        nanoseconds("9" * 400 + "h")


def test_all_gpus_are_minus_one() -> None:
    assert (gpu_count("all"), gpu_count("2")) == (-1, 2)


def test_a_mount_has_short_names_for_its_keys() -> None:
    assert mount("dst=/m") == Mount("/m")
    assert mount("type=bind,src=/a,destination=/b,ro") == Mount("/b", "bind", "/a", read_only=True)
    assert mount("target=/b,readonly=false") == Mount("/b")


@pytest.mark.parametrize("key", ["volume-opt", "bind-propagation", "tmpfs-size", "redonly", ""])
def test_a_key_of_a_mount_that_would_have_no_effect_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidInput, match=repr(key)):
        mount(f"target=/m,{key}=1")
