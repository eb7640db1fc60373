"""A forge is told how the run of its commit goes: in order, once, and again until it is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskengine.service.caller import Caller
from taskengine.service.model import Role
from taskengine.service.store import statuses
from taskengine.service.store.statuses import CommitStatus
from tests.service.api.support import Hand, begun, ended
from tests.triggers.forges.fakes import COMMIT, FAKES, TOKEN, Fake, GitHubFake
from tests.triggers.forges.test_forgehooks import HERE, PUBLIC, World
from tests.triggers.support import PAYLOADS, SECRET, post
from triggers.approval import approve
from triggers.commitstatus import CommitStatuses
from triggers.processor import process_due


class Statuses(World):
    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self.duty: Any = CommitStatuses(self.services)

    def push(self, fake: Fake, commit: str = COMMIT) -> str:
        """A commit that came by a webhook; its run."""
        told = {"repository": fake.url, "ref": "main", "commit": commit}
        assert post(self.api, "generic", "web", json.dumps(told).encode(), SECRET, {}).status_code == 202
        process_due(self.services)
        run: str = self.api.admin.get("/runs").json()["value"][0]["runId"]
        return run

    def carry_out(self, run: str, status: str = "Succeeded", message: str = "") -> None:
        hand = Hand(self.api)
        leased = hand.lease()
        assert leased is not None
        assert leased["run"] == run
        first = begun(self.api, run)
        assert hand.append(run, leased["epoch"], 0, first).status_code == 204
        self.duty.tick()
        last = ended(self.api, run, status, message=message)
        assert hand.append(run, leased["epoch"], len(first), last).status_code == 204

    def told(self) -> list[CommitStatus]:
        """The oldest first."""
        with self.services.database.read() as conn:
            return statuses.page(conn, "web", top=100)[0][::-1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Statuses]:
    made = Statuses(tmp_path)
    yield made
    made.api.close()


@pytest.fixture
def github() -> Iterator[Fake]:
    made = GitHubFake()
    yield made
    made.close()


@pytest.mark.parametrize("name", HERE)
def test_a_run_is_told_when_it_waits_begins_and_ends(world: Statuses, name: str) -> None:
    fake = FAKES[name]()
    try:
        world.make(fake)
        run = world.push(fake)
        world.duty.tick()
        world.carry_out(run)
        world.duty.tick()
        assert world.duty.tick() == 0
        assert [one.told for one in world.told()] == ["queued", "running", "succeeded"]
        assert {(one.state, one.error) for one in world.told()} == {("delivered", "")}
        assert len(fake.statuses) == 3
        assert fake.link() == f"{PUBLIC}/api/v1/runs/{run}"
        assert fake.statuses[-1][0] == COMMIT
    finally:
        fake.close()


def test_a_failure_says_what_failed(world: Statuses, github: Fake) -> None:
    world.make(github)
    run = world.push(github)
    world.carry_out(run, "Failed", "step 'build' failed: exit code 1")
    world.duty.tick()
    assert github.told()[-1] == "failure"
    assert github.statuses[-1][1]["description"] == "step 'build' failed: exit code 1"
    assert github.statuses[-1][1]["context"] == "acr-task/web"


def test_a_run_that_is_canceled_is_told_so(world: Statuses, github: Fake) -> None:
    world.make(github)
    run = world.push(github)
    world.duty.tick()
    world.api.admin.post(f"/runs/{run}/cancel")
    world.duty.tick()
    assert github.told() == ["pending", "error"]


def test_a_newer_state_takes_the_place_of_one_that_was_not_told_yet(world: Statuses, github: Fake) -> None:
    github.broken = [(503, {}, {})]
    world.make(github)
    run = world.push(github)
    world.duty.tick()
    world.carry_out(run)
    world.duty.tick()
    world.later(hours=9)
    world.duty.tick()
    assert github.told()[-1] == "success"
    assert [one.state for one in world.told()] == ["superseded", "delivered", "delivered"]


def test_what_the_forge_does_not_take_is_tried_again_and_is_dead_at_last(world: Statuses, github: Fake) -> None:
    github.broken = [(404, {"message": "Not Found"}, {})] * 100
    world.make(github)
    world.push(github)
    for pause in statuses.PAUSES:
        assert world.duty.tick() == 1
        assert world.duty.tick() == 0
        world.later(seconds=pause.total_seconds())
    assert world.duty.tick() == 1
    (one,) = world.told()
    assert (one.state, one.status, one.attempts) == ("dead", 404, len(statuses.PAUSES) + 1)
    assert "the forge answered 404 to show a status: Not Found; the token needs" in one.error
    github.broken = []
    with world.services.database.write() as conn:
        statuses.replay(conn, "web", one.number, now=world.services.now())
    world.duty.tick()
    assert github.told() == ["pending"]


def test_without_a_token_or_by_an_operators_will_nothing_is_told(tmp_path: Path, github: Fake) -> None:
    for number, (token, settings) in enumerate([(None, {}), (TOKEN, {"report_statuses": False})]):
        (tmp_path / str(number)).mkdir()
        world = Statuses(tmp_path / str(number), **settings)
        try:
            world.make(github, token=token)
            world.push(github)
            world.duty.tick()
            assert (github.requests, world.told()) == ([], [])
        finally:
            world.api.close()


def test_runs_by_hand_are_not_told(world: Statuses, github: Fake) -> None:
    world.make(github)
    world.api.admin.post("/tasks/web/runs")
    assert world.told() == []


def test_a_task_that_is_gone_tells_nothing_more(world: Statuses, github: Fake) -> None:
    world.make(github)
    world.push(github)
    world.api.admin.delete("/tasks/web")
    world.duty.tick()
    assert [(one.state, one.error) for one in world.told()] == [("dead", "there is no task web")]
    assert github.requests == []


def test_the_token_goes_to_the_host_of_the_trigger_whatever_the_delivery_says(world: Statuses, github: Fake) -> None:
    other = GitHubFake()
    try:
        world.make(github)
        # another spelling of the same repository, and a second address beside it
        sample = json.loads((PAYLOADS / "github-push.json").read_text())
        sample["body"]["repository"] |= {"clone_url": other.url, "html_url": github.url, "ssh_url": "", "git_url": ""}
        post(world.api, "github", "web", json.dumps(sample["body"]).encode(), SECRET, sample["headers"])
        process_due(world.services)
        world.duty.tick()
        assert other.requests == []
        assert github.told() == ["pending"]
    finally:
        other.close()


def test_an_approved_commit_of_a_fork_is_told_though_its_run_has_no_token(world: Statuses, github: Fake) -> None:
    world.make(github, "pullrequest")
    sample = json.loads((PAYLOADS / "github-fork-pull-request.json").read_text())
    sample["body"]["pull_request"]["base"]["repo"]["clone_url"] = github.url
    post(world.api, "github", "web", json.dumps(sample["body"]).encode(), SECRET, sample["headers"])
    process_due(world.services)
    assert world.told() == []
    approve(world.services, Caller(id="1", name="ann", role=Role.ADMIN), 1)
    world.duty.tick()
    assert github.told() == ["pending"]


def test_of_two_services_one_tells(world: Statuses, github: Fake) -> None:
    world.make(github)
    world.push(github)
    other = CommitStatuses(world.services)
    assert world.duty.tick() == 1
    assert other.tick() == 0
    assert github.told() == ["pending"]
