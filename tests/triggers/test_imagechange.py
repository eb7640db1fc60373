"""What is news for a platform and what is not, and the reason that is said."""

from __future__ import annotations

import json

import pytest

from taskengine.registry.content import Manifest
from taskengine.registry.mediatype import OCI_INDEX, OCI_MANIFEST
from taskengine.runs.model import Dependency, DependencyType
from triggers.imagechange import Change, Seen, Unchanged, changed


def digest(character: str) -> str:
    return "sha256:" + character * 64


INDEX = Seen(digest=digest("1"), platforms={"linux/amd64": digest("a"), "linux/arm64": digest("b")})
SINGLE = Seen(digest=digest("a"))


def index(number: str, amd64: str = "a", arm64: str = "b") -> Seen:
    return Seen(digest=digest(number), platforms={"linux/amd64": digest(amd64), "linux/arm64": digest(arm64)})


def test_another_manifest_for_the_platform_is_a_change() -> None:
    assert changed(INDEX, index("2", amd64="c"), "linux/amd64") == Change(
        platform="linux/amd64", before=digest("a"), after=digest("c"), digest=digest("2")
    )


def test_another_single_image_is_a_change() -> None:
    found = changed(SINGLE, Seen(digest=digest("c")), "linux/amd64")
    assert found == Change(platform="linux/amd64", before=digest("a"), after=digest("c"), digest=digest("c"))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (None, INDEX, "seen for the first time"),
        (INDEX, INDEX, "the same content as before"),
        (INDEX, index("2"), "only the index changed"),
        (INDEX, index("2", arm64="d"), "only other platforms changed: linux/arm64"),
        (INDEX, Seen(digest=digest("a")), "became a single image, with the same image for linux/amd64"),
        (SINGLE, INDEX, "became an index, with the same image for linux/amd64"),
        (INDEX, Seen(digest=digest("3"), platforms={"linux/arm64": digest("b")}), "no image for linux/amd64 any more"),
    ],
)
def test_all_else_is_none_and_says_why(before: Seen | None, after: Seen, reason: str) -> None:
    found = changed(before, after, "linux/amd64")
    assert isinstance(found, Unchanged)
    assert reason in found.reason


def test_a_platform_is_matched_as_engines_do() -> None:
    old = Seen(digest=digest("1"), platforms={"linux/arm/v6": digest("a"), "linux/arm/v7": digest("b")})
    new = Seen(digest=digest("2"), platforms={"linux/arm/v6": digest("c"), "linux/arm/v7": digest("b")})
    assert isinstance(changed(old, new, "linux/arm"), Unchanged)
    assert isinstance(changed(old, new, "linux/arm/v6"), Change)


def test_an_index_is_read_without_its_attestations() -> None:
    def entry(character: str, system: str, architecture: str) -> dict[str, object]:
        platform = {"os": system, "architecture": architecture}
        return {"mediaType": OCI_MANIFEST, "digest": digest(character), "size": 1, "platform": platform}

    document = {"schemaVersion": 2, "manifests": [entry("a", "linux", "amd64"), entry("e", "unknown", "unknown")]}
    seen = Seen.of_manifest(Manifest.of(json.dumps(document).encode(), OCI_INDEX))
    assert seen.platforms == {"linux/amd64": digest("a")}


def test_what_was_seen_survives_being_stored() -> None:
    assert Seen.of_json(json.loads(json.dumps(INDEX.as_json()))) == INDEX


def test_what_a_run_used_is_what_was_seen_last() -> None:
    used = Dependency(
        type=DependencyType.RUNTIME, registry="r", repository="a", reference="r/a:1", digest=digest("1"),
        platform="linux/amd64", platform_digest=digest("a"),
    )  # fmt: skip
    before = Seen.of_dependency(used)
    assert isinstance(changed(before, index("2"), "linux/amd64"), Unchanged)
    assert isinstance(changed(before, index("2", amd64="c"), "linux/amd64"), Change)


def test_a_run_that_does_not_know_its_digest_has_seen_nothing() -> None:
    used = Dependency(type=DependencyType.RUNTIME, registry="r", repository="a", reference="r/a:1")
    assert Seen.of_dependency(used) is None
