"""A cache holds the tops of all needed stages; what has no name is given one."""

from __future__ import annotations

import pytest

from taskengine.dockerfile.cachestages import cache_stages
from taskengine.dockerfile.scan import check


def labels(text: str, **more: str) -> list[str]:
    return [label for label, _ in cache_stages(text, **more).stages]  # type: ignore[arg-type]


def test_one_stage_has_none_besides_itself() -> None:
    assert labels("FROM a\nRUN x\n") == []


def test_a_stage_that_is_copied_from_is_kept() -> None:
    assert labels("FROM a AS build\nRUN x\nFROM b\nCOPY --from=build /o /o\n") == ["build"]


def test_a_stage_that_another_begins_with_is_kept_with_that_one() -> None:
    text = "FROM a AS deps\nRUN x\nFROM deps AS build\nRUN y\nFROM b\nCOPY --from=build /o /o\n"
    assert labels(text) == ["build"]


def test_what_the_built_stage_begins_with_is_kept_with_it() -> None:
    assert labels("FROM a AS base\nRUN x\nFROM base\nRUN y\n") == []


def test_what_the_target_does_not_need_is_not_kept() -> None:
    text = "FROM a AS one\nFROM a AS two\nCOPY --from=one / /\nFROM a AS three\nCOPY --from=two / /\n"
    assert labels(text) == ["one", "two"]
    assert labels(text, target="two") == ["one"]
    assert labels(text, target="TWO") == ["one"]
    assert labels(text, target="0") == []


def test_a_stage_without_a_name_is_given_one_and_nothing_else_changes() -> None:
    text = "FROM a\nRUN x\nFROM b\nCOPY --from=0 /o /o\n"
    found = cache_stages(text)
    assert found.stages == (("0", "acr-task-stage-0"),)
    assert found.dockerfile == "FROM a AS acr-task-stage-0\nRUN x\nFROM b\nCOPY --from=0 /o /o\n"
    assert not [p for p in check(found.dockerfile, target="acr-task-stage-0") if p.severity.name == "ERROR"]


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\r\nRUN x\r\nFROM b\r\nCOPY --from=0 /o /o\r\n",
        "ARG V=1\nFROM \\\n  a:$V\nRUN x\nFROM b\nCOPY --from=0 /o /o",
        "# escape=`\nFROM `\n# why\n  a\nRUN x\nFROM b\nCOPY --from=0 /o /o\n",
    ],
)
def test_a_name_finds_its_place_however_the_line_is_written(text: str) -> None:
    found = cache_stages(text)
    assert found.stages == (("0", "acr-task-stage-0"),)
    assert len(found.dockerfile) == len(text) + len(" AS acr-task-stage-0")


def test_of_two_stages_with_one_name_only_the_later_can_be_asked_for() -> None:
    text = "FROM a AS x\nRUN 1\nFROM b AS x\nCOPY --from=0 /o /o\nFROM c\nCOPY --from=x /o /o\nCOPY --from=0 /o /p\n"
    assert labels(text) == ["x"]


def test_a_file_for_a_front_end_of_its_own_has_no_stages_that_we_know() -> None:
    found = cache_stages("this is no Dockerfile")
    assert found.stages == ()
    assert found.dockerfile == "this is no Dockerfile"


def test_a_mount_from_a_stage_counts() -> None:
    assert labels("FROM a AS tools\nRUN x\nFROM b\nRUN --mount=from=tools,target=/t /t/x\n") == ["tools"]
