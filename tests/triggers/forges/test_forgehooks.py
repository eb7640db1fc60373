"""A task that brings a token has its webhook at the forge, and takes it along when it goes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.service.settings import ServerSettings
from taskengine.service.store import forgehooks
from taskengine.service.store.forgehooks import ForgeHook
from taskengine.serving import take_deliveries
from tests.service.api.support import Api, inline
from tests.triggers.forges.fakes import FAKES, TOKEN, Fake, GitHubFake, GitLabFake
from tests.triggers.support import SECRET, post
from triggers.forgehooks import ForgeHooks

PUBLIC = "https://ci.example.com"
HERE = [name for name in sorted(FAKES) if name != "bitbucket"]  # whose API has one address in the world


class World:
    """A service, and a clock that is put forward by hand."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        given = {"public_url": PUBLIC, "hooks_to_private_addresses": True, "failed_logins": 1000, **settings}
        self.api = Api(folder, ServerSettings(**given))
        take_deliveries(self.api.app, self.api.services)
        self.services = self.api.services
        self._at = self.services.now()
        self.services.ambient = replace(self.services.ambient, now=lambda: self._at)
        self.duty = ForgeHooks(self.services)

    def later(self, **span: float) -> None:
        self._at += timedelta(**span)

    def document(self, fake: Fake, *events: str, token: str | None = TOKEN, name: str = "web", **more: Any) -> Any:
        repository: dict[str, Any] = {"repositoryUrl": more.pop("url", fake.url), "sourceControlType": fake.declared}
        if token:
            repository["sourceControlAuthProperties"] = {"token": token, "tokenType": "PAT"}
        source = {"name": "commits", "sourceTriggerEvents": list(events or ("commit",)), "sourceRepository": repository}
        return inline(name, trigger={"sourceTriggers": [source | more]}, webhookSecret=SECRET)

    def make(self, fake: Fake, *events: str, **more: Any) -> None:
        answer = self.api.admin.post("/tasks", self.document(fake, *events, **more))
        assert answer.status_code == 201, answer.text

    def change(self, fake: Fake, *events: str, **more: Any) -> None:
        answer = self.api.admin.put("/tasks/web", self.document(fake, *events, **more))
        assert answer.status_code == 200, answer.text

    def rows(self) -> list[ForgeHook]:
        with self.services.database.read() as conn:
            return forgehooks.every(conn)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.api.close()


@pytest.fixture
def github() -> Iterator[Fake]:
    made = GitHubFake()
    yield made
    made.close()


@pytest.fixture(params=HERE)
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    made = FAKES[request.param]()
    yield made
    made.close()


def test_the_webhook_comes_changes_and_goes_with_its_task(world: World, fake: Fake) -> None:
    door = {"Github": "github", "GitLab": "gitlab", "Gitea": "gitea", "Bitbucket": "bitbucket"}
    world.make(fake)
    assert fake.requests == []  # making a task waits for no forge
    assert world.duty.tick() == 1
    ((address, secret, events),) = fake.deliveries()
    assert address == f"{PUBLIC}/hooks/{door.get(fake.declared, 'azuredevops')}/web"
    assert secret == SECRET
    assert [(one.state, one.error, one.next_at) for one in world.rows()] == [("made", "", None)]
    assert world.duty.tick() == 0
    world.change(fake, "commit", "pullrequest")
    assert world.duty.tick() == 1
    assert len(fake.deliveries()[0][2]) > len(events)
    assert world.api.admin.delete("/tasks/web").status_code == 204
    assert world.duty.tick() == 1
    assert fake.deliveries() == []
    assert world.rows() == []
    with world.services.database.read() as conn:
        from sqlalchemy import text

        assert conn.execute(text("SELECT count(*) FROM secrets WHERE kind = 'forge'")).scalar() == 0


def test_its_address_and_secret_are_those_that_deliveries_come_to(world: World, github: Fake) -> None:
    world.make(github)
    world.duty.tick()
    ((address, secret, _),) = github.deliveries()
    _, _, forge, task = address.removeprefix(PUBLIC).split("/")
    headers = {"x-github-event": "ping", "x-github-delivery": "1"}
    assert post(world.api, forge, task, b'{"zen": "x"}', secret, headers).status_code == 202


@pytest.mark.parametrize(
    "change",
    [{"status": "Disabled"}, {"token": None}],
    ids=["a trigger that is disabled", "a token that is taken back"],
)
def test_what_is_not_wanted_any_more_goes(world: World, github: Fake, change: dict[str, Any]) -> None:
    world.make(github)
    world.duty.tick()
    # a token that is left out stays, so another trigger takes its place
    world.change(github, **change, **({"name": "web"} if "status" in change else {}))
    if "token" in change:
        document = world.document(github, token=None)
        document["trigger"]["sourceTriggers"][0]["name"] = "other"
        assert world.api.admin.put("/tasks/web", document).status_code == 200
    world.duty.tick()
    assert github.deliveries() == []
    assert world.rows() == []


def test_a_new_token_and_a_new_secret_are_taken_over(world: World, github: Fake) -> None:
    world.make(github, token="old-0123456789")
    world.duty.tick()
    assert "401" in world.rows()[0].error
    world.change(github)
    assert world.duty.tick() == 1
    document = world.document(github) | {"webhookSecret": "another"}
    assert world.api.admin.put("/tasks/web", document).status_code == 200
    assert world.duty.tick() == 1
    assert [one[1] for one in github.deliveries()] == ["another"]


def test_a_task_that_moves_to_another_forge_leaves_nothing_at_the_old_one(world: World, github: Fake) -> None:
    gitlab = GitLabFake()
    try:
        world.make(github)
        world.duty.tick()
        world.change(gitlab)
        world.duty.tick()
        assert github.deliveries() == []
        assert len(gitlab.deliveries()) == 1
        assert [one.forge for one in world.rows()] == ["gitlab"]
    finally:
        gitlab.close()


def test_two_triggers_of_a_repository_share_a_webhook(world: World, github: Fake) -> None:
    document = world.document(github)
    other = world.document(github, "pullrequest", token=None)["trigger"]["sourceTriggers"][0] | {"name": "pulls"}
    document["trigger"]["sourceTriggers"].append(other)
    assert world.api.admin.post("/tasks", document).status_code == 201
    world.duty.tick()
    assert [one[2] for one in github.deliveries()] == [["pull_request", "push"]]


def test_a_forge_that_is_away_is_asked_ever_more_seldom_and_then_given_up(
    world: World, github: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    github.broken = [(503, {"message": "maintenance"}, {})] * 100
    world.make(github)
    waits = []
    for _ in range(len(forgehooks.PAUSES)):
        assert world.duty.tick() == 1
        (row,) = world.rows()
        assert row.next_at is not None
        assert "answered 503: maintenance" in row.error
        assert world.duty.tick() == 0
        waits.append(row.next_at - world.services.now())
        world.later(seconds=waits[-1].total_seconds())
    assert waits == list(forgehooks.PAUSES)
    assert world.duty.tick() == 1
    (row,) = world.rows()
    assert (row.state, row.next_at) == ("dead", None)
    github.broken = []
    with world.services.database.write() as conn:
        assert forgehooks.retry(conn, "web", now=world.services.now()) == 1
    world.duty.tick()
    assert [one.state for one in world.rows()] == ["made"]
    assert TOKEN not in caplog.text
    assert SECRET not in caplog.text


def test_a_forge_says_how_long_to_wait(world: World, github: Fake) -> None:
    github.broken = [(429, {}, {"Retry-After": "900"})]
    world.make(github)
    world.duty.tick()
    assert world.rows()[0].next_at == world.services.now() + timedelta(seconds=900)


def test_a_webhook_is_removed_later_when_the_forge_was_away_as_its_task_went(world: World, github: Fake) -> None:
    world.make(github)
    world.duty.tick()
    github.broken = [(500, {}, {})]
    world.api.admin.delete("/tasks/web")
    world.duty.tick()
    assert [one.state for one in world.rows()] == ["removing"]
    world.later(seconds=10)
    world.duty.tick()
    assert (github.deliveries(), world.rows()) == ([], [])


def test_a_task_that_went_before_its_webhook_was_made_leaves_nothing(world: World, github: Fake) -> None:
    github.broken = [(500, {}, {})]
    world.make(github)
    world.duty.tick()
    world.api.admin.delete("/tasks/web")
    world.duty.tick()
    assert (github.deliveries(), world.rows()) == ([], [])


def test_of_two_services_one_makes_webhooks(world: World, github: Fake) -> None:
    world.make(github)
    other = ForgeHooks(world.services)
    assert world.duty.tick() == 1
    assert other.tick() == 0
    world.later(minutes=5)
    world.change(github, "commit", "pullrequest")
    assert other.tick() == 1
    assert world.duty.tick() == 0
    other.close()  # in order: nobody has to wait
    world.change(github, "commit")
    assert world.duty.tick() == 1


def test_tokens_are_sealed(world: World, github: Fake, tmp_path: Path) -> None:
    world.make(github)
    world.duty.tick()
    for path in tmp_path.rglob("service.db*"):
        data = path.read_bytes()
        assert TOKEN.encode() not in data
        assert SECRET.encode() not in data


def test_an_address_of_no_forge_says_so(world: World, github: Fake) -> None:
    world.make(github, url="http://git.example.com/octo/web.git")
    world.duty.tick()
    assert "without encryption" in world.rows()[0].error


@pytest.mark.parametrize("settings", [{"public_url": ""}, {"make_forge_hooks": False}])
def test_without_an_address_for_them_or_by_will_no_webhooks_are_made(
    tmp_path: Path, github: Fake, settings: dict[str, Any]
) -> None:
    world = World(tmp_path, **settings)
    try:
        world.make(github)
        assert world.duty.tick() == 0
        assert github.requests == []
    finally:
        world.api.close()


def test_a_forge_on_this_machine_is_not_asked_without_an_operators_will(tmp_path: Path, github: Fake) -> None:
    world = World(tmp_path, hooks_to_private_addresses=False)
    try:
        world.make(github)
        world.duty.tick()
        assert github.requests == []
        assert "is an address of this machine" in world.rows()[0].error
    finally:
        world.api.close()
