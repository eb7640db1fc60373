"""Which repositories are asked, for whom, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from taskengine.service.model import Task
from taskengine.service.settings import ServerSettings
from taskengine.service.store.heads import Repository
from triggers.gitplan import Budget, after_check, after_failure, is_due, watched

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SETTINGS = ServerSettings()


def task(name: str, url: str = "https://git.example.com/octo/web.git", owner: str = "ann", **trigger: Any) -> Task:
    source = {"name": "commits", "sourceTriggerEvents": ["commit"], "sourceRepository": {"repositoryUrl": url}}
    document = {"step": {"contextPath": url}, "trigger": {"sourceTriggers": [source | trigger]}}
    return Task(name=name, document=document, owner=owner, created=AT, updated=AT)


def test_a_repository_is_asked_once_however_it_is_spelled_and_for_how_many_tasks() -> None:
    urls = (
        "https://git.example.com/octo/web.git",
        "git@git.example.com:octo/web",
        "ssh://git@GIT.example.com/octo/web",
    )
    found = watched((task(f"t{n}", url), {}) for n, url in enumerate(urls))
    assert list(found) == ["git.example.com/octo/web"]
    assert set(found["git.example.com/octo/web"].scope) == {"t0", "t1", "t2"}


def test_only_what_is_enabled_and_wants_commits_or_tags_is_asked() -> None:
    none = [
        task("a", status="Disabled"),
        task("b", sourceTriggerEvents=["pullrequest"]),
        replace(task("c"), enabled=False),
    ]
    assert watched((one, {}) for one in none) == {}
    tags = task("d", sourceTriggerEvents=["pullrequest"], filters={"tags": ["v*"]})
    assert [one.tags for one in watched([(tags, {}), (task("e"), {})]).values()] == [True]


def test_a_token_shows_nothing_to_other_owners_without_one() -> None:
    tasks = [
        (task("a"), {"commits": "t1"}),
        (task("b"), {}),
        (task("c", owner="bob"), {}),
        (task("d"), {"commits": "t2"}),
    ]
    found = sorted((one.token, sorted(one.scope)) for one in watched(tasks).values())
    assert found == [("", ["c"]), ("t1", ["a", "b"]), ("t2", ["d"])]
    assert "t1" not in repr(watched(tasks))


def test_the_branches_of_all_its_tasks_are_wanted() -> None:
    (one,) = watched([(task("a"), {}), (task("b", filters={"branches": ["release/*"]}), {})]).values()
    assert one.wanting("refs/heads/main") == ["a"]
    assert one.wanting("refs/heads/release/1") == ["b"]
    assert one.wanting("refs/heads/topic") == []
    assert one.wanting("refs/tags/v1") == []


def test_somebody_new_makes_it_due_at_once_but_not_while_it_fails() -> None:
    (one,) = watched([(task("a"), {})]).values()
    row = Repository(repository=one.name, scope=one.scope, checked=AT, next_at=AT + timedelta(minutes=5))
    assert is_due(one, None, AT)
    assert not is_due(one, row, AT)
    assert is_due(one, row, AT + timedelta(minutes=5))
    (two,) = watched([(task("a"), {}), (task("b"), {})]).values()
    assert is_due(two, row, AT)
    assert not is_due(two, replace(row, failures=1), AT)


def test_what_changed_lately_is_asked_often_and_what_webhooks_tell_seldom() -> None:
    row = Repository(repository="git.example.com/octo/web", changed=AT, next_at=AT, failures=3, error="away")

    def minutes(row: Repository, *, hooked: bool = False) -> float:
        return (after_check(row, AT, SETTINGS, hooked=hooked).next_at - AT) / timedelta(minutes=1)

    assert 1.8 <= minutes(row) <= 2.2
    assert 4.5 <= minutes(replace(row, changed=AT - timedelta(hours=2))) <= 5.5
    assert 13.5 <= minutes(replace(row, changed=AT - timedelta(days=9))) <= 16.5
    assert 54 <= minutes(row, hooked=True) <= 66
    after = after_check(row, AT, SETTINGS, hooked=False)
    assert (after.failures, after.error, after.checked) == (0, "", AT)


def test_what_fails_is_asked_ever_more_seldom() -> None:
    row = Repository(repository="git.example.com/octo/web", next_at=AT)
    waits = []
    for _ in range(12):
        row = after_failure(row, "away", AT)
        waits.append((row.next_at - AT) / timedelta(minutes=1))
    assert 1.8 <= waits[0] <= 2.2
    assert 3.6 <= waits[1] <= 4.4
    assert 324 <= waits[-1] <= 396
    assert (row.failures, row.error) == (12, "away")


def test_a_host_is_asked_so_often_a_minute_and_no_more() -> None:
    budget = Budget(2)
    assert [budget.take("a", AT), budget.take("a", AT), budget.take("a", AT), budget.take("b", AT)] == [
        True,
        True,
        False,
        True,
    ]
    assert budget.take("a", AT + timedelta(minutes=1))
    assert budget.take("a", AT - timedelta(hours=1))  # a clock that was put back holds nothing up
