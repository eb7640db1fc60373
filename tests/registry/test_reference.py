"""Image references: the grammar, Docker Hub's shorthands, and errors that say how to mend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.registry.reference import ImageReference, InvalidReference, auth_key

DIGEST = "sha256:" + "3b" * 32


@pytest.mark.parametrize(
    ("text", "normalised", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("library/alpine:3", "docker.io/library/alpine:3", "alpine:3"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("a/b/c:1", "docker.io/a/b/c:1", "a/b/c:1"),
        ("library/a/b:1", "docker.io/library/a/b:1", "library/a/b:1"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("host:5000/a/b:2", "host:5000/a/b:2", "host:5000/a/b:2"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000/app:1"),
        ("127.0.0.1/app", "127.0.0.1/app:latest", "127.0.0.1/app:latest"),
        ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
        ("corp.azurecr.io/a__b/c-d--e.f_g:V1.0_x-", "corp.azurecr.io/a__b/c-d--e.f_g:V1.0_x-", None),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}", f"alpine:3@{DIGEST}"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128, None),
    ],
)
def test_a_reference_has_one_full_and_one_short_spelling(text: str, normalised: str, familiar: str | None) -> None:
    reference = ImageReference.parse(text)
    assert reference.normalised == normalised
    assert reference.familiar == (familiar or normalised.removeprefix("docker.io/library/"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("a b", "white space"),
        ("alpine\n", "white space"),
        ("https://reg.example.com/app", "begins with https://"),
        ("Alpine", "must be lowercase"),
        ("Conf/Base:1", "must be lowercase"),
        ("team/App:1", "must be lowercase"),
        ("conf/base:", "tag after ':' is empty"),
        (":1", "repository name is empty"),
        ("conf/base:1+2", "is no tag"),
        ("conf/base:-x", "is no tag"),
        ("x:" + "t" * 129, "longer than 128"),
        ("a//b", "between slashes is empty"),
        ("a/b/", "between slashes is empty"),
        ("/a", "between slashes is empty"),
        ("a..b", "separator"),
        ("a___b", "separator"),
        ("-a", "separator"),
        ("a$b", "variable"),
        ("a@b", "incomplete"),
        ("a@", "incomplete"),
        ("a@md5:" + "0" * 32, "no digest algorithm"),
        ("a@sha256:" + "0" * 63, "64 lower-case hexadecimal"),
        ("a@sha256:" + "A" * 64, "64 lower-case hexadecimal"),
        ("0" * 64, "image's id"),
        ("host_x:5000/app", "no registry host"),
        ("reg.example.com/", "repository name is empty"),
        ("a" * 256, "longer than 255"),
        ("é", "must not contain"),
    ],
)
def test_what_is_no_reference_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference, match=reason):
        ImageReference.parse(text)


def test_an_upper_case_name_is_mended_in_the_hint() -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageReference.parse("team/App:V1")
    assert caught.value.hint == "write team/app:V1"


def test_the_registry_of_a_short_name_is_docker_hub_as_acr_prints_it() -> None:
    assert ImageReference.parse("alpine").registry == "registry.hub.docker.com"
    assert ImageReference.parse("alpine").domain == "docker.io"
    assert ImageReference.parse("reg.example.com:5000/app").registry == "reg.example.com:5000"


def test_the_reference_is_what_was_written_with_the_tag_it_means() -> None:
    assert ImageReference.parse("library/alpine").reference == "library/alpine:latest"
    assert ImageReference.parse("docker.io/alpine:3").reference == "docker.io/alpine:3"


def test_spellings_of_one_image_are_equal() -> None:
    assert ImageReference.parse("alpine") == ImageReference.parse("docker.io/library/alpine:latest")
    assert len({ImageReference.parse("alpine"), ImageReference.parse("library/alpine")}) == 1


def test_another_tag_takes_the_digest_away() -> None:
    assert ImageReference.parse(f"alpine:3@{DIGEST}").with_tag("4").familiar == "alpine:4"
    assert ImageReference.parse("alpine:3").with_digest(DIGEST).familiar == f"alpine:3@{DIGEST}"
    with pytest.raises(InvalidReference):
        ImageReference.parse("alpine").with_tag("a/b")


def test_a_bare_name_can_be_kept_bare() -> None:
    assert ImageReference.parse("alpine", default_tag=False).normalised == "docker.io/library/alpine"


def test_logins_of_docker_hub_have_one_key() -> None:
    hub = "https://index.docker.io/v1/"
    assert ImageReference.parse("alpine").auth_key() == hub
    assert {auth_key(host) for host in ("docker.io", hub, "index.docker.io", "registry-1.docker.io")} == {hub}
    assert auth_key("https://reg.example.com:5000/v2/") == "reg.example.com:5000"


@given(st.one_of(st.text(max_size=80), st.text(alphabet="aA0.:/@-_[]$ sha256", max_size=80)))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except InvalidReference:
        return
    assert ImageReference.parse(reference.normalised) == reference
    assert ImageReference.parse(reference.familiar) == reference
    assert ImageReference.parse(reference.reference) == reference
