"""Which tags a policy follows, and which of them is the one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from triggers.tagpolicy import TagPolicy

TAGS = ["1", "1.2", "1.2.3", "1.2.10", "v1.9.0", "1.10.0", "2.0.0-rc1", "2.0.0", "0.3.1", "0.3.9", "0.4.0", "latest"]


@pytest.mark.parametrize(
    ("policy", "best"),
    [
        ("semver:^1.2", "1.10.0"),
        ("semver:~1.2", "1.2.10"),
        ("semver:~1.2.3", "1.2.10"),
        ("semver:1.2.x", "1.2.10"),
        ("semver:1", "1.10.0"),
        ("semver:1.2.3", "1.2.3"),
        ("semver:*", "2.0.0"),
        ("semver:>=1.2 <1.10", "v1.9.0"),
        ("semver:>= 1.2, < 2", "1.10.0"),
        ("semver:>1.2", "2.0.0"),
        ("semver:<=1.2", "1.2.10"),
        ("semver:^0.3", "0.3.9"),
        ("semver:^0", "0.4.0"),
        ("semver:^9 || ~0.3.0", "0.3.9"),
        ("semver:^9", ""),
        ("newest", "2.0.0"),
        (r"regex:^1\.2\.", "1.2.10"),
        ("regex:rc", "2.0.0-rc1"),
        ("regex:^lat", "latest"),
        ("regex:^none$", ""),
    ],
)
def test_the_highest_tag_that_matches_is_followed(policy: str, best: str) -> None:
    assert TagPolicy.parse(policy).best(TAGS) == best


def test_of_one_version_the_fullest_tag_is_followed() -> None:
    assert TagPolicy.parse("semver:1").best(["1", "1.0", "1.0.0"]) == "1.0.0"


def test_tags_that_are_no_versions_are_ordered_by_their_numbers() -> None:
    assert TagPolicy.parse("regex:^build-[0-9]").best(["build-9", "build-10", "build-²"]) == "build-10"


def test_digits_of_other_scripts_are_letters() -> None:
    assert TagPolicy.parse("regex:.").best(["²", "a1"]) == "²"


def test_versions_before_a_release_are_ordered_among_each_other() -> None:
    tags = ["2.0.0-rc2", "2.0.0-rc.10", "2.0.0-rc.9", "2.0.0-alpha"]
    assert TagPolicy.parse("regex:^2").best([*tags, "2.0.0"]) == "2.0.0"
    assert TagPolicy.parse(r"regex:rc\.").best(tags) == "2.0.0-rc.10"


@pytest.mark.parametrize(
    "text",
    ["", "latest", "semver", "semver:", "regex:", "newest:1", "semver:one", "semver:1 ||", "regex:(", "regex:(?=a)"],
)
def test_what_is_no_policy_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        TagPolicy.parse(text)
    assert caught.value.hint


@given(
    policy=st.text(max_size=30) | st.from_regex(r"(semver|regex):[0-9xX*^~<>=|. ()\[\]-]{1,20}", fullmatch=True),
    tags=st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True) | st.text(max_size=8), max_size=6),
)
def test_no_policy_and_no_tag_raise_anything_but_invalid_input(policy: str, tags: list[str]) -> None:
    with contextlib.suppress(InvalidInput):
        found = TagPolicy.parse(policy)
        assert found.best(tags) in [*tags, ""]
