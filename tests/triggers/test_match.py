"""Which task wants which event, and the reason why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.match import judge
from triggers.patterns import chosen, fits
from triggers.sourcecontrol.model import Kind, SourceEvent

PUSH = SourceEvent(
    kind=Kind.PUSH, provider="Github", repositories=("https://github.com/octo/web.git", "git@github.com:octo/web.git"),
    ref="refs/heads/main", branch="main", commit="a" * 40, author="ann", sender="ann", message="Mend the page",
    paths=("web/index.html",),
)  # fmt: skip
PULL = replace(PUSH, kind=Kind.PULL_REQUEST, ref="refs/pull/7/head", number="7", paths=None)
TAG = replace(PUSH, kind=Kind.TAG, ref="refs/tags/v1", branch="", tag="v1", paths=None)


def task(context: str = "https://github.com/octo/web.git", **trigger: Any) -> dict[str, Any]:
    given = {"name": "commits", "sourceRepository": {"repositoryUrl": "https://github.com/Octo/web"}} | trigger
    step = {"type": "Docker", "contextPath": context, "dockerFilePath": "Dockerfile"}
    return {"step": step, "trigger": {"sourceTriggers": [given]}}


def test_a_push_to_the_branch_is_wanted() -> None:
    verdict = judge(task(), PUSH)
    assert (verdict.wanted, verdict.trigger, verdict.needs_approval) == (True, "commits", False)
    assert verdict.reason == "a push to main at aaaaaaaaaaaa"


@pytest.mark.parametrize(
    ("document", "event", "reason"),
    [
        ({}, PUSH, "the task has no source trigger"),
        (task(status="Disabled"), PUSH, "the trigger is disabled"),
        (task(sourceRepository={"repositoryUrl": "https://github.com/octo/api"}), PUSH, "the trigger watches"),
        (task(), PULL, "the trigger wants commit events only"),
        (task(sourceTriggerEvents=["pullrequest"]), PUSH, "the trigger wants pullrequest events only"),
        (task(), TAG, "the trigger wants no tags"),
        (task(filters={"tags": ["v2*"]}), TAG, "the tag v1 passes no filter"),
        (task("https://github.com/octo/web#next"), PUSH, "of the branch main, not next"),
        (task(), replace(PUSH, branch="topic"), "main and master are meant"),
        (task(filters={"branches": ["release/*"]}), PUSH, "the branch main passes no filter"),
        (task(filters={"authors": ["!ann"]}), PUSH, "ann and ann passes no filter for authors"),
        (task(), replace(PUSH, message="Mend [skip ci]"), "the message says to skip it"),
        (task("https://github.com/octo/web#:api"), PUSH, "none of the 1 changed files is in api/**"),
        (task(filters={"paths": ["docs/**"]}), PUSH, "none of the 1 changed files is in docs/**"),
    ],
)
def test_what_is_not_wanted_says_why(document: dict[str, Any], event: SourceEvent, reason: str) -> None:
    verdict = judge(document, event)
    assert not verdict.wanted
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("document", "event"),
    [
        (task("https://github.com/octo/web#:web"), PUSH),
        (task("https://github.com/octo/web#:api"), replace(PUSH, paths=None)),
        (task("https://github.com/octo/web#next"), replace(PUSH, branch="next")),
        (task(filters={"tags": ["v*"]}), TAG),
        (task(filters={"branches": ["**", "!release/**"]}), PUSH),
        (task(sourceTriggerEvents=["commit", "pullrequest"]), PULL),
    ],
)
def test_what_passes_every_filter_is_wanted(document: dict[str, Any], event: SourceEvent) -> None:
    assert judge(document, event).wanted


def test_a_dockerfile_outside_of_the_folder_counts_as_part_of_it() -> None:
    document = task("https://github.com/octo/web#:api")
    document["step"]["dockerFilePath"] = "../docker/api.Dockerfile"
    assert judge(document, replace(PUSH, paths=("docker/api.Dockerfile",))).wanted


def test_a_pull_request_of_a_fork_waits_for_approval() -> None:
    verdict = judge(task(sourceTriggerEvents=["pullrequest"]), replace(PULL, is_fork=True))
    assert verdict.wanted
    assert verdict.needs_approval


def test_of_several_triggers_the_one_that_came_closest_says_why_not() -> None:
    document = task(filters={"paths": ["docs/**"]})
    document["trigger"]["sourceTriggers"].insert(0, {"name": "other", "status": "Disabled"})
    assert judge(document, PUSH).trigger == "commits"


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("a/b/c", "a/**", True), ("a", "a/**", True), ("a/b", "a/*", True), ("a/b/c", "a/*", False),
        ("a/b/c", "**/c", True), ("c", "**/c", True), ("a/b/c", "a/**/c", True), ("ab", "a?", True),
    ],
)  # fmt: skip
def test_a_star_stays_within_a_part_and_two_do_not(text: str, pattern: str, expected: bool) -> None:
    assert fits(text, pattern) is expected


@given(st.text(), st.lists(st.text(), max_size=4))
def test_any_patterns_decide_about_any_text(text: str, patterns: list[str]) -> None:
    assert chosen(text, patterns) in (True, False)
    assert chosen(text, [*patterns, "**"])


def test_a_context_of_another_repository_says_nothing_of_branches_and_folders() -> None:
    assert judge(task("https://github.com/octo/other.git#next:api"), PUSH).wanted
    assert not judge(task("https://github.com/octo/web.git#next:api"), PUSH).wanted
