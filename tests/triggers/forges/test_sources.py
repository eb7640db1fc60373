"""What lies between a task and its forge, over the API: visible, and tried again on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskengine.context.access import access_of
from taskengine.service.api.schema.source import SourceList, StatusList
from taskengine.service.store import forgehooks
from tests.triggers.forges.fakes import TOKEN, Fake, GitHubFake
from tests.triggers.forges.test_commitstatus import Statuses
from triggers.answers import Answers
from triggers.forgehooks import ForgeHooks
from triggers.gitpoll import GitPoller


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Statuses]:
    made = Statuses(tmp_path)
    made.services.triggers = Answers()
    yield made
    made.api.close()


@pytest.fixture
def github() -> Iterator[Fake]:
    made = GitHubFake()
    yield made
    made.close()


def test_a_task_shows_its_repository_its_webhook_and_what_went_wrong(world: Statuses, github: Fake) -> None:
    world.make(github)
    fresh = world.api.reader.get("/tasks/web/sources")
    assert fresh.status_code == 200
    SourceList.model_validate(fresh.json())
    (one,) = fresh.json()["value"]
    assert (one["polling"]["lastCheck"], one["webhook"]) == (None, None)
    github.broken = [(403, {"message": "Resource not accessible by personal access token"}, {})]
    ForgeHooks(world.services).tick()
    # this forge speaks no git: asking it for its branches goes wrong
    GitPoller(world.services, lambda logins: access_of({}, files=False, logins=logins)).tick()
    world.push(github)
    shown = world.api.reader.get("/tasks/web/sources")
    SourceList.model_validate(shown.json())
    (one,) = shown.json()["value"]
    assert one["repositoryUrl"] == github.url
    assert one["webhook"]["state"] == "waiting"
    assert "Resource not accessible" in one["webhook"]["lastError"]
    assert (one["polling"]["failures"], one["polling"]["lastCheck"]) == (1, None)
    assert one["polling"]["lastError"]
    assert one["polling"]["nextCheck"] > one["lastDelivery"]
    assert TOKEN not in shown.text


def test_what_was_given_up_is_tried_again_on_request(world: Statuses, github: Fake) -> None:
    duty = ForgeHooks(world.services)
    github.broken = [(404, {}, {})] * 100
    world.make(github)
    for pause in forgehooks.PAUSES:
        duty.tick()
        world.later(seconds=pause.total_seconds())
    duty.tick()
    assert world.api.reader.get("/tasks/web/sources").json()["value"][0]["webhook"]["state"] == "dead"
    assert world.api.reader.post("/tasks/web/sources/retry").status_code == 403
    github.broken = []
    answer = world.api.developer.post("/tasks/web/sources/retry")
    assert answer.json()["value"][0]["webhook"]["state"] == "waiting"
    duty.tick()
    assert world.api.reader.get("/tasks/web/sources").json()["value"][0]["webhook"]["state"] == "made"


def test_statuses_are_listed_and_told_again(world: Statuses, github: Fake) -> None:
    github.broken = [(404, {"message": "Not Found"}, {})]
    world.make(github)
    run = world.push(github)
    world.duty.tick()
    listed = world.api.reader.get("/tasks/web/statuses?state=waiting")
    StatusList.model_validate(listed.json())
    (one,) = listed.json()["value"]
    assert (one["run"], one["told"], one["status"]) == (run, "queued", 404)
    assert "Not Found" in one["lastError"]
    again = world.api.developer.post(f"/tasks/web/statuses/{one['number']}/replay")
    assert (again.status_code, again.json()["attempts"]) == (200, 0)
    world.duty.tick()
    assert github.told() == ["pending"]
    assert world.api.developer.post("/tasks/web/statuses/99/replay").status_code == 404
    assert json.loads(world.api.admin.get("/audit").text)["value"][0]["action"] == "status.replay"


def test_a_token_bound_to_other_tasks_sees_none_of_it(world: Statuses, github: Fake) -> None:
    from taskengine.service.model import Role

    world.make(github)
    other = world.api.caller(Role.DEVELOPER, name="bob", scopes=("other-*",))
    for path in ("sources", "statuses"):
        assert other.get(f"/tasks/web/{path}").status_code == 404
    assert other.post("/tasks/web/sources/retry").status_code == 404
    assert other.post("/tasks/web/statuses/1/replay").status_code == 404
