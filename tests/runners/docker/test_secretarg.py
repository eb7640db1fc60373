"""Which build arguments would leave a secret in an image's history."""

from __future__ import annotations

import pytest

from runners.docker.secretarg import exposed, warning

DOCKERFILE = b"ARG EARLY\nFROM busybox:1 AS one\nARG FIRST SECOND=x\nFROM one\nARG THIRD\n"


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ({"FIRST": "s3cret"}, ("FIRST",)),
        ({"SECOND": "s3cret", "THIRD": "s3cret"}, ("SECOND", "THIRD")),
        ({"THIRD": "https://user:longersecret@host/"}, ("THIRD",)),
        ({"THIRD": "as3cretb"}, ()),
        ({"EARLY": "s3cret", "OTHER": "s3cret"}, ()),
        ({"FIRST": "plain"}, ()),
        ({}, ()),
    ],
)
def test_what_a_stage_declares_and_holds_a_secret_is_exposed(args: dict[str, str], found: tuple[str, ...]) -> None:
    assert exposed(DOCKERFILE, args, ("s3cret", "longersecret", "")) == found


def test_the_warning_names_them_and_a_way_out() -> None:
    assert warning(("A",)).startswith("the build argument A can")
    assert warning(("A", "B")).startswith("the build arguments A, B can")
    assert "--mount=type=secret" in warning(("A",))
