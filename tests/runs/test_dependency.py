"""What a Dockerfile asks for, put together with what a builder says."""

from __future__ import annotations

from taskengine.dockerfile.scan import scan
from taskengine.registry.reference import ImageReference
from taskengine.runs.dependency import UNNAMED, UNREAD, UNSAID, Used, dependencies
from taskengine.runs.model import Dependency

A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")


def used(**digests: str) -> list[Used]:
    """`used(one=A)` is r.io/one:1 with that digest."""
    return [Used(image=ImageReference.parse(f"r.io/{name}:1"), digest=digest) for name, digest in digests.items()]


def found(text: str, seen: list[Used], **options: str) -> list[tuple[str, str, str | None]]:
    made = dependencies(scan(text, **options), seen, platform="linux/amd64")
    return [(d.type.value, d.reference, d.digest) for d in made]


def test_each_image_has_its_use_and_the_digest_of_the_builder() -> None:
    text = "FROM r.io/one:1 AS a\nFROM r.io/two:1\nCOPY --from=a / /a\nCOPY --from=r.io/three:1 / /b\n"
    assert found(text, used(two=B, one=A, three=C)) == [
        ("runtime", "r.io/two:1", B),
        ("buildtime", "r.io/one:1", A),
        ("buildtime", "r.io/three:1", C),
    ]


def test_an_image_that_only_an_unneeded_stage_names_is_none() -> None:
    assert found("FROM r.io/one:1 AS a\nFROM r.io/two:1\n", used(two=B)) == [("runtime", "r.io/two:1", B)]


def test_scratch_is_no_dependency() -> None:
    assert found("FROM scratch\nCOPY a /\n", []) == []


def test_a_pinned_image_keeps_its_pin() -> None:
    seen = [Used(image=ImageReference.parse(f"r.io/one@{A}"), digest=A)]
    assert found(f"FROM r.io/one@{A}\n", seen) == [("runtime", f"r.io/one@{A}", A)]


def test_one_image_for_two_uses_stands_once() -> None:
    assert found("FROM r.io/one:1\nCOPY --from=r.io/one:1 / /x\n", used(one=A)) == [("runtime", "r.io/one:1", A)]


def test_the_front_end_comes_last() -> None:
    seen = [Used(image=ImageReference.parse("docker/dockerfile:1"), digest=D, is_frontend=True), *used(one=A)]
    text = "# syntax=docker/dockerfile:1\nFROM r.io/one:1\n"
    assert found(text, seen) == [("runtime", "r.io/one:1", A), ("syntax", "docker/dockerfile:1", D)]


def test_what_the_builder_used_counts_though_the_text_does_not_name_it() -> None:
    [_, extra] = dependencies(scan("FROM r.io/one:1\n"), used(one=A, two=B), platform="linux/amd64")
    assert (extra.type.value, extra.reference, extra.digest, extra.note) == ("buildtime", "r.io/two:1", B, UNNAMED)


def test_what_the_builder_did_not_tell_is_left_open() -> None:
    [base] = dependencies(scan("FROM r.io/one:1\n"), [], platform="linux/amd64")
    assert (base.digest, base.note) == (None, UNSAID)


def test_a_dockerfile_that_was_not_understood_leaves_what_the_builder_said() -> None:
    [base] = dependencies(None, used(one=A), platform="linux/amd64")
    assert (base.digest, base.note) == (A, UNREAD)


def test_a_stage_may_be_built_for_another_platform() -> None:
    text = "FROM --platform=$BUILDPLATFORM r.io/one:1 AS a\nFROM r.io/two:1\nCOPY --from=a / /a\n"
    made = dependencies(scan(text, platform="linux/arm64"), used(two=B, one=A), platform="linux/arm64")
    assert {d.reference: d.platform for d in made} == {"r.io/two:1": "linux/arm64", "r.io/one:1": "linux/amd64"}


def test_a_dependency_is_named_as_a_scan_names_images() -> None:
    seen = [Used(image=ImageReference.parse("alpine:3"), digest=A)]
    [base] = dependencies(scan("FROM alpine:3\n"), seen, platform="linux/amd64")
    assert base == Dependency(
        type=base.type, registry="registry.hub.docker.com", repository="library/alpine", tag="3", reference="alpine:3",
        digest=A, platform="linux/amd64",
    )  # fmt: skip


def test_what_another_build_left_in_the_builders_cache_under_another_name_is_none() -> None:
    """Docker 26 tells of each build whose steps the cache had, too: the same content has all of their names."""
    seen = [*used(one=A, copy=A), Used(image=ImageReference.parse("busybox:1"))]
    assert found("FROM r.io/one:1\n", seen) == [("runtime", "r.io/one:1", A)]
