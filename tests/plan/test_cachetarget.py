"""Caches are named as buildx names them; what no engine of ours offers is refused by name."""

from __future__ import annotations

import pytest

from taskengine.errors import InvalidInput
from taskengine.plan.buildline import parse_build
from taskengine.plan.cachetarget import CacheTarget, cache_source, cache_target
from taskengine.plan.option import LineError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("reg.io/app:cache", "reg.io/app:cache"),
        ("app", "docker.io/library/app:latest"),
        ("type=registry,ref=reg.io/app:cache", "reg.io/app:cache"),
        ("ref=reg.io/app:cache", "reg.io/app:cache"),
        ('type=registry,"ref=reg.io/app:cache"', "reg.io/app:cache"),
        (f"type=registry,ref=reg.io/app,digest={DIGEST}", f"reg.io/app@{DIGEST}"),
        ("type=inline,ref=reg.io/app:1", "reg.io/app:1"),
    ],
)
def test_a_source_is_a_reference(text: str, reference: str) -> None:
    assert cache_source(text) == reference


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("type=inline", CacheTarget()),
        ("reg.io/app:cache", CacheTarget(reference="reg.io/app:cache")),
        ("type=registry,ref=reg.io/app:cache", CacheTarget(reference="reg.io/app:cache")),
        ("type=registry,ref=r.io/a:c,mode=max", CacheTarget(reference="r.io/a:c", all_stages=True)),
        ("type=registry,ref=r.io/a:c,mode=min,compression=zstd", CacheTarget(reference="r.io/a:c")),
    ],
)
def test_a_target_is_a_registry_or_the_image_itself(text: str, target: CacheTarget) -> None:
    assert cache_target(text) == target
    assert cache_target(text).is_inline is (target == CacheTarget())


@pytest.mark.parametrize("kind", ["gha", "s3", "azblob", "local", "nonsense"])
def test_other_kinds_are_refused_by_name_with_a_way_out(kind: str) -> None:
    for read in (cache_source, cache_target):
        with pytest.raises(InvalidInput, match=f"type={kind}") as caught:
            read(f"type={kind},dest=x")
        assert "type=registry,ref=" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "type=registry", "type=inline", "ref=", "type=registry,ref=NOT VALID", "type=registry,nonsense",
        "type=registry,ref=a,scope=x", "", "a\nb", f"ref={'a' * 200_000}",
    ],
)  # fmt: skip
def test_a_source_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        cache_source(text)


@pytest.mark.parametrize(
    "text",
    [
        "type=registry", "type=inline,ref=a", "type=registry,ref=a,mode=most", f"type=registry,ref=a@{DIGEST}",
        "type=registry,ref=a,scope=x", "",
    ],
)  # fmt: skip
def test_a_target_where_nothing_can_be_kept_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        cache_target(text)


def test_a_mistake_is_told_at_its_place_in_the_build_line() -> None:
    with pytest.raises(LineError, match="type=gha") as caught:
        parse_build("-t x --cache-to type=gha .")
    assert (caught.value.code, caught.value.offset) == ("E405", 16)
