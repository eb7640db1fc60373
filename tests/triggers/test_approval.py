"""Pull requests from forks: a person decides, the very commit is built, and it gets nothing that is secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import Conflict, InvalidInput, NotFound
from taskengine.service.caller import Caller
from taskengine.service.model import Role
from taskengine.service.settings import ServerSettings
from taskengine.service.store import secrets
from taskengine.serving import take_deliveries
from tests.service.api.support import Api, encoded
from tests.triggers.support import all_runs, deliver, events, make
from triggers.answers import Answers
from triggers.approval import approve, refuse
from triggers.processor import process_due

ANN = Caller(id="1", name="ann", role=Role.DEVELOPER)
COMMIT = "a" * 8 + "1" * 32


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path, ServerSettings(failed_logins=1000, registry="registry.example.com"))
    take_deliveries(made.app, made.services)
    try:
        yield made
    finally:
        made.close()


def waiting(api: Api, **document: Any) -> int:
    """An event that waits for approval."""
    make(api, "pullrequest", document=document)
    deliver(api, "github-fork-pull-request")
    process_due(api.services)
    (event,) = events(api.services)
    assert event.state == "waiting", event.reason
    return event.number


def secretive() -> dict[str, Any]:
    """A task with everything that a run may be given."""
    step = {
        "type": "Docker", "contextPath": "https://github.com/octo/web#main:web", "contextAccessToken": "ghp_context",
        "imageNames": ["web:1"], "arguments": [{"name": "key", "value": "hidden", "isSecret": True}],
    }  # fmt: skip
    login = {"userName": {"value": "robot"}, "password": {"value": "pass"}}
    return {"step": step, "credentials": {"customRegistries": {"other.example.com": login}}, "grants": ["privileged"]}


def test_an_approved_commit_is_built_without_secrets_logins_grants_or_a_push(api: Api) -> None:
    number = waiting(api, **secretive())
    (made,) = approve(api.services, ANN, number)
    (run,) = all_runs(api.services)
    assert made.id == run.id
    assert run.spec["context"] == f"https://github.com/octo/web#{COMMIT}:web"
    assert run.spec["untrusted"] is True
    assert run.spec["build"]["push"] is False
    assert not {"grants", "secret_names"} & run.spec.keys()
    with api.services.database.read() as conn:
        assert secrets.names(conn, "run", run.id) == []
    assert run.cause[0]["approvedBy"] == "ann"
    (event,) = events(api.services)
    assert (event.state, event.reason) == ("queued", f"{run.id}: approved by ann")
    shown = api.admin.get("/audit").json()["value"][0]
    assert (shown["action"], shown["object"]) == ("event.approve", f"events/{number}")


def test_what_was_decided_is_decided_once(api: Api) -> None:
    number = waiting(api)
    approve(api.services, ANN, number)
    for again in (approve, refuse):
        with pytest.raises(Conflict, match="does not wait for approval: it is queued"):
            again(api.services, ANN, number)
    assert len(all_runs(api.services)) == 1


def test_what_was_refused_starts_nothing_and_says_who_refused_it(api: Api) -> None:
    number = waiting(api)
    after = refuse(api.services, ANN, number, reason="it reads /etc")
    assert (after.state, after.reason) == ("ignored", "refused by ann: it reads /etc")
    with pytest.raises(Conflict):
        approve(api.services, ANN, number)
    deliver(api, "github-fork-pull-request", more={"told": "again"})
    process_due(api.services)
    assert events(api.services)[0].reason == f"event {number} told of it before: refused by ann: it reads /etc"
    assert all_runs(api.services) == []


def test_who_may_not_see_the_task_may_not_decide(api: Api) -> None:
    number = waiting(api)
    other = Caller(id="2", name="bob", role=Role.DEVELOPER, scopes=("other-*",))
    for decide in (approve, refuse):
        with pytest.raises(NotFound, match=f"there is no event {number}"):
            decide(api.services, other, number)
        with pytest.raises(NotFound):
            decide(api.services, ANN, 999)
    assert events(api.services)[0].state == "waiting"


def test_a_task_that_is_gone_or_disabled_since_starts_nothing(api: Api) -> None:
    number = waiting(api)
    assert api.admin.patch("/tasks/web", {"status": "Disabled"}).status_code == 200
    with pytest.raises(Conflict, match="disabled"):
        approve(api.services, ANN, number)
    assert api.admin.delete("/tasks/web").status_code == 204
    with pytest.raises(NotFound):
        approve(api.services, ANN, number)
    assert events(api.services)[0].state == "waiting"
    refuse(api.services, ANN, number)


def test_a_task_that_pushes_is_told_that_a_strangers_commit_may_not(api: Api) -> None:
    text = "version: v1.1.0\nsteps:\n  - build: -t $Registry/web .\n  - push: ['$Registry/web']\n"
    make(api, "pullrequest", document={"step": {"type": "EncodedTask", "encodedTaskContent": encoded(text)}})
    deliver(api, "github-fork-pull-request")
    process_due(api.services)
    (event,) = events(api.services)
    assert event.state == "failed"
    assert "is not allowed on this server" in event.reason
    with pytest.raises((Conflict, InvalidInput)):
        approve(api.services, ANN, event.number)


def test_it_is_decided_over_the_api_once(api: Api) -> None:
    api.services.triggers = Answers()
    number = waiting(api)
    assert api.reader.post(f"/events/{number}/approve").status_code == 403
    for _ in range(2):
        answer = api.developer.post(f"/events/{number}/approve")
        assert (answer.status_code, answer.json()["outcomes"][0]["run"]) == (200, "ca1"), answer.text
    assert len(all_runs(api.services)) == 1
    answer = api.operator.post(f"/events/{number}/refuse", {"reason": "too late"})
    assert answer.status_code == 409
    assert "does not wait" in answer.json()["detail"]
