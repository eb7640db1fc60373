"""Repositories without webhooks, on a real server: what moved is found once, after a downtime too."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.context.access import access_of
from taskengine.context.model import Access
from taskengine.context.source import UrlLogin
from taskengine.service.settings import ServerSettings
from taskengine.service.store import heads
from taskengine.service.store.heads import Repository as Row
from taskengine.serving import take_deliveries
from tests.context.servers import Repository, Server
from tests.service.api.support import Api, inline
from tests.triggers.support import SECRET, all_runs, events, post
from triggers.gitpoll import GitPoller
from triggers.processor import process_due

TOKEN = "ghp_0123456789abcdefghijklmnop"


class World:
    """A service, a git server, and a clock that is put forward by hand."""

    def __init__(self, folder: Path, settings: ServerSettings) -> None:
        self.api = Api(folder, settings)
        take_deliveries(self.api.app, self.api.services)
        self.services = self.api.services
        self.server = Server(folder / "served")
        self.repository = Repository(folder / "served" / "app")
        self.first = self.repository.commit({"Dockerfile": "FROM scratch\n", "web/index.html": "<p>\n"})
        self.url = f"{self.server.url}/git/app/.git"
        self.poller = GitPoller(self.services, self.asking)
        self._at = self.services.now()
        self.services.ambient = replace(self.services.ambient, now=lambda: self._at)

    def asking(self, logins: Mapping[str, UrlLogin]) -> Access:
        environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        return access_of(environ, files=False, logins=logins)

    def later(self, **span: float) -> None:
        self._at += timedelta(**span)

    def make(self, name: str = "web", *, url: str = "", token: str = "", context: str = "", **trigger: Any) -> None:
        repository: dict[str, Any] = {"repositoryUrl": url or self.url}
        if token:
            repository["sourceControlAuthProperties"] = {"token": token, "tokenType": "PAT"}
        source = {"name": "commits", "sourceTriggerEvents": ["commit"], "sourceRepository": repository, **trigger}
        document = inline(name, trigger={"sourceTriggers": [source]}, webhookSecret=SECRET)
        document["step"]["contextPath"] = context or f"{self.url}#main"
        answer = self.api.admin.post("/tasks", document)
        assert answer.status_code == 201, answer.text

    def poll(self, **span: float) -> list[str]:
        """Ask (after a while), work on what was found; the commits of the new runs, the oldest first."""
        before = len(all_runs(self.services))
        self.later(**(span or {"minutes": 20}))
        self.poller.tick()
        while process_due(self.services):
            pass
        return [run.spec.get("commit", "") for run in all_runs(self.services)[before:]]

    def row(self) -> Row:
        with self.services.database.read() as conn:
            (found,) = heads.every(conn).values()
        return found

    def asked(self) -> int:
        """How often the server was asked for its refs."""
        return sum(one.path.endswith("/info/refs") for one in self.server.requests)

    def close(self) -> None:
        self.poller.stop()
        self.server.close()
        self.api.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, ServerSettings(failed_logins=1000))
    yield made
    made.close()


def test_the_first_sight_starts_nothing_and_a_push_does(world: World) -> None:
    world.make()
    assert world.poll() == []
    assert world.poll() == []
    commit = world.repository.commit({"web/index.html": "<p>2\n"})
    assert world.poll() == [commit]
    assert world.poll() == []
    (event,), (run,) = events(world.services), all_runs(world.services)
    assert (event.source, event.state) == ("git", "queued")
    assert run.spec["context"] == f"{world.url}#{commit}"
    assert run.cause[0]["commitId"] == commit
    assert run.cause[0]["branchName"] == "main"


def test_several_pushes_are_built_at_the_newest_commit(world: World) -> None:
    world.make()
    world.poll()
    world.repository.commit({"a": "1"})
    newest = world.repository.commit({"a": "2"})
    assert world.poll() == [newest]


def test_what_was_pushed_while_no_service_ran_is_found_by_the_next(world: World) -> None:
    world.make()
    world.poll()
    commit = world.repository.commit({"a": "1"})
    world.poller.stop()
    world.poller = GitPoller(world.services, world.asking)
    assert world.poll(days=3) == [commit]


def test_a_webhook_and_polling_start_one_run(world: World) -> None:
    world.make()
    world.poll()
    commit = world.repository.commit({"a": "1"})
    told = f'{{"repository": "{world.url}", "ref": "main", "commit": "{commit}"}}'.encode()
    assert post(world.api, "generic", "web", told, SECRET, {}).status_code == 202
    assert world.poll() == [commit]
    assert [one.state for one in events(world.services)] == ["ignored", "queued"]
    commit = world.repository.commit({"a": "2"})
    assert world.poll() == [commit]
    told = f'{{"repository": "{world.url}", "ref": "main", "commit": "{commit}"}}'.encode()
    assert post(world.api, "generic", "web", told, SECRET, {}).status_code == 202
    process_due(world.services)
    assert events(world.services)[0].state == "ignored"
    assert len(all_runs(world.services)) == 2


def test_a_repository_whose_webhooks_arrive_is_asked_seldom_until_one_is_lost(world: World) -> None:
    world.make()
    world.poll()
    commit = world.repository.commit({"a": "1"})
    told = f'{{"repository": "{world.url}", "ref": "main", "commit": "{commit}"}}'.encode()
    world.later(seconds=1)
    post(world.api, "generic", "web", told, SECRET, {})
    process_due(world.services)
    world.poll()
    assert world.row().next_at - world.services.now() > timedelta(minutes=50)
    lost = world.repository.commit({"a": "2"})
    assert world.poll(minutes=30) == []
    assert world.poll(minutes=60) == [lost]
    assert world.row().next_at - world.services.now() < timedelta(minutes=5)


def test_only_changed_paths_start_a_run_and_skipped_commits_do_not(world: World) -> None:
    world.make(context=f"{world.url}#main:web")
    world.poll()
    world.repository.commit({"docs/a.md": "1"})
    assert world.poll() == []
    assert events(world.services)[0].reason == "none of the 1 changed files is in web/**"
    (world.repository.folder / "web" / "b").write_text("1")
    world.repository.git("add", "-A")
    world.repository.git("commit", "-q", "-m", "Change it [skip ci]")
    assert world.poll() == []
    assert events(world.services)[0].reason == "the message says to skip it"
    assert world.poll() == []
    commit = world.repository.commit({"web/c": "1"})
    assert world.poll() == [commit]


def test_new_branches_and_tags_that_are_wanted_start_runs(world: World) -> None:
    world.repository.git("tag", "v1")
    world.make(filters={"branches": ["release/*"], "tags": ["v*"]})
    world.poll()
    world.repository.git("branch", "release/1")
    world.repository.git("branch", "topic")
    assert world.poll() == [world.first]
    world.repository.git("tag", "-a", "-m", "x", "v2")
    world.repository.git("tag", "nightly")
    assert world.poll() == [world.first]
    assert [run.cause[0]["branchName"] for run in all_runs(world.services)] == ["release/1", "v2"]


def test_a_branch_that_goes_and_comes_again_with_its_commit_starts_one_run(world: World) -> None:
    world.make(filters={"branches": ["release/*"]})
    world.poll()
    world.repository.git("branch", "release/1")
    assert world.poll() == [world.first]
    world.repository.git("branch", "-D", "release/1")
    assert world.poll() == []
    world.repository.git("branch", "release/1")
    assert world.poll() == []


def test_a_new_task_starts_nothing_for_what_was_there_before(world: World) -> None:
    world.make("one")
    world.poll()
    commit = world.repository.commit({"a": "1"})
    world.make("two")
    assert world.poll() == [commit]
    assert [run.task for run in all_runs(world.services)] == ["one"]
    commit = world.repository.commit({"a": "2"})
    assert world.poll() == [commit, commit]


def test_many_tasks_of_a_repository_cost_one_request(world: World) -> None:
    for name in ("one", "two", "three"):
        world.make(name)
    world.poll()
    assert world.asked() == 1
    world.poll(seconds=20)
    assert world.asked() == 1


def test_of_two_services_one_asks_and_the_other_takes_over_when_it_is_silent(world: World) -> None:
    world.make()
    other = GitPoller(world.services, world.asking)
    world.poll()
    assert other.tick() == 0
    world.later(minutes=10)
    assert other.tick() == 1
    assert world.poller.tick() == 0


def test_a_private_repository_is_asked_with_the_triggers_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.server.login = ("x-access-token", TOKEN)
    world.make(token=TOKEN)
    world.poll()
    assert world.row().error == ""
    commit = world.repository.commit({"a": "1"})
    assert world.poll() == [commit]
    assert TOKEN not in caplog.text
    assert TOKEN not in str([(one.body, one.headers) for one in events(world.services)])


def test_what_is_wrong_is_shown_asked_again_later_and_then_forgotten(world: World) -> None:
    world.server.login = ("x-access-token", TOKEN)
    world.make()
    world.poll()
    row = world.row()
    assert "wants a login" in row.error
    assert (row.failures, row.checked) == (1, None)
    assert timedelta(minutes=1) < row.next_at - world.services.now() < timedelta(minutes=3)
    world.server.login = None
    world.poll()
    assert (world.row().error, world.row().failures) == ("", 0)
    commit = world.repository.commit({"a": "1"})
    assert world.poll() == [commit]


def test_a_repository_that_no_task_watches_any_more_is_forgotten(world: World) -> None:
    world.make()
    world.poll()
    assert world.api.admin.delete("/tasks/web").status_code == 204
    asked = world.asked()
    world.poll()
    assert world.asked() == asked
    with world.services.database.read() as conn:
        assert heads.every(conn) == {}


def test_more_news_than_fit_into_a_turn_are_told_in_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triggers.gitpoll._MOST_NEWS", 2)
    world.make(filters={"branches": ["b*"]})
    world.poll()
    for number in range(5):
        world.repository.git("branch", f"b{number}")
    found = [len(world.poll(seconds=1) if turn else world.poll()) for turn in range(4)]
    assert found == [2, 2, 1, 0]


def test_a_bug_in_looking_after_one_repository_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.make()
    monkeypatch.setattr("triggers.gitpoll.list_heads", lambda *_, **__: 1 / 0)
    world.poll()
    assert world.row().error == "looking after it failed unexpectedly: ZeroDivisionError"


def test_polling_can_be_turned_off(tmp_path: Path) -> None:
    world = World(tmp_path, ServerSettings(git_poll_seconds=0))
    try:
        world.make()
        world.poll()
        assert world.asked() == 0
    finally:
        world.close()
