"""Tokens, failed logins, the audit log, retention: what those do who run the service."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

import pytest

from taskengine.ambient import Ambient
from taskengine.service.logline import JsonLines
from taskengine.service.settings import ServerSettings, parse_settings
from tests.service.api.support import TEXT, Api, Hand, begun, ended


def test_a_token_is_shown_once_works_and_is_revoked(api: Api) -> None:
    made = api.admin.post("/tokens", {"name": "ci", "role": "developer", "scopes": ["app-*"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    who = api.client.get("/api/v1/version", headers=headers).json()
    assert (who["name"], who["role"], who["scopes"]) == ("ci", "developer", ["app-*"])
    assert made["token"] not in api.admin.get("/tokens").text
    assert api.admin.delete(f"/tokens/{made['id']}").status_code == 204
    assert api.client.get("/api/v1/version", headers=headers).status_code == 401
    assert api.admin.delete(f"/tokens/{made['id']}").status_code == 204
    assert made["token"] not in api.admin.get("/audit").text


def test_a_token_expires(api: Api) -> None:
    later = api.services.now() + timedelta(hours=1)
    made = api.admin.post("/tokens", {"name": "short", "role": "reader", "expires": later.isoformat()}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert api.client.get("/api/v1/version", headers=headers).status_code == 200
    real = api.services.ambient
    api.services.ambient = Ambient(
        now=lambda: later + timedelta(seconds=1), monotonic=real.monotonic, new_id=real.new_id
    )
    assert api.client.get("/api/v1/version", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "body", [{"role": "king"}, {"expires": "2001-01-01T00:00:00Z"}, {"scopes": ["a b"]}, {"name": ""}]
)
def test_a_token_that_cannot_be_is_not_made(api: Api, body: dict[str, object]) -> None:
    assert api.admin.post("/tokens", {"name": "x", "role": "reader", **body}).status_code == 422


class TestFailedLogins:
    @pytest.fixture
    def settings(self) -> ServerSettings:
        return ServerSettings(failed_logins=3)

    def test_too_many_wrong_tokens_close_the_door_for_a_while(self, api: Api) -> None:
        wrong = {"Authorization": "Bearer wrong"}
        answers = [api.client.get("/api/v1/tasks", headers=wrong) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert api.admin.get("/tasks").status_code == 429


def test_nothing_of_the_code_comes_out_of_an_accident(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("s3cret words")

    api.app.dependency_overrides = {}
    api.services.feeds.text = lambda *_: broken()  # type: ignore[assignment, method-assign]
    run = api.developer.post("/runs", {"text": TEXT}).json()["runId"]
    answer = api.reader.get(f"/runs/{run}/logs")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "s3cret" not in answer.text
    assert "Traceback" not in answer.text
    number = answer.json()["detail"].split()[-1]
    assert number in caplog.text


def test_a_database_that_is_away_is_told_and_no_token_is_called_wrong(api: Api) -> None:
    path = api.services.data / "service.db"
    away = path.rename(path.with_suffix(".away"))
    try:
        assert api.admin.get("/tasks").status_code == 503
        assert api.admin.get("/tasks").json()["code"] == "unavailable"
        ready = api.client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "it does not answer")
        assert "acr_task_database_up 0.0" in api.client.get("/metrics").text
        assert api.client.get("/healthz").status_code == 200
    finally:
        away.rename(path)
    assert api.admin.get("/tasks").status_code == 200


def test_retention_says_what_would_go_and_then_does_it(api: Api) -> None:
    hand = Hand(api)
    for _ in range(2):
        run = api.developer.post("/runs", {"text": TEXT}).json()["runId"]
        leased = hand.lease()
        assert leased is not None
        hand.append(run, leased["epoch"], 0, begun(api, run, "hello") + ended(api, run))
    api.developer.patch("/runs/ca1", {"isArchiveEnabled": True})
    dry = api.operator.get("/retention?days=0").json()
    assert ([loss["name"] for loss in dry["value"] if loss["kind"] == "run"], dry["dryRun"]) == (["ca2"], True)
    assert api.reader.get("/runs/ca2").status_code == 200
    api.operator.post("/retention", {"days": 0})
    assert api.reader.get("/runs/ca2").status_code == 404
    assert api.reader.get("/runs/ca1").status_code == 200
    assert api.admin.get("/audit").json()["value"][0]["action"] == "run.delete"


def test_the_audit_log_comes_in_pages(api: Api) -> None:
    for n in range(3):
        api.admin.post("/tokens", {"name": f"t{n}", "role": "reader"})
    first = api.operator.get("/audit?top=2").json()
    second = api.operator.get(f"/audit?top=2&cursor={first['nextCursor']}").json()
    assert [entry["detail"]["name"] for entry in first["value"] + second["value"]] == ["t2", "t1", "t0"]


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 19, "9" * 100])
def test_a_cursor_that_no_page_gave_is_told(api: Api, cursor: str) -> None:
    hook = api.operator.post("/hooks", {"url": "https://hooks.invalid/"}).json()["id"]
    for path in ("/audit", "/runs", f"/hooks/{hook}/deliveries"):
        answer = api.operator.get(f"{path}?cursor={cursor}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-input")


def test_settings_may_say_that_there_is_no_bound() -> None:
    assert parse_settings({"perOwner": 0, "drainSeconds": 0, "retentionDays": 0}).per_owner == 0


def test_every_setting_is_in_the_documents() -> None:
    from dataclasses import fields
    from pathlib import Path

    from pydantic.alias_generators import to_camel

    page = (Path(__file__).parents[3] / "docs" / "service.md").read_text()
    assert not [f.name for f in fields(ServerSettings) if f"`{to_camel(f.name)}`" not in page]


def test_log_lines_are_json_with_the_ids_that_they_are_about() -> None:
    record = logging.LogRecord("taskengine.x", logging.WARNING, __file__, 1, "run %s is late", ("ca1",), None)
    record.run = "ca1"
    out = json.loads(JsonLines().format(record))
    assert (out["level"], out["message"], out["run"]) == ("warning", "run ca1 is late", "ca1")


@pytest.mark.parametrize(
    "given",
    [
        {"leaseSecond": 1},
        {"leaseSeconds": "30"},
        {"leaseSeconds": -1},
        {"leaseSeconds": 10},
        {"failedLogins": 0},
        {"stepLimits": {"gpus": 1}},
    ],
)
def test_settings_that_cannot_be_are_told(given: dict[str, object]) -> None:
    from taskengine.errors import InvalidInput

    with pytest.raises(InvalidInput):
        parse_settings(given)
