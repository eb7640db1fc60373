"""The ledger over HTTP: who sees what, pages, filters, and what people may do with an event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskengine.errors import Conflict
from taskengine.service.caller import Caller as Who
from taskengine.service.model import Role
from taskengine.service.services import Services
from taskengine.service.store import audit, ledger
from tests.service.api.support import Api

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def came(api: Api, task: str = "web", body: bytes = b'{"ref":"main"}', minutes: int = 0, **more: Any) -> int:
    with api.services.database.write() as conn:
        event, _ = ledger.record(
            conn, source=more.pop("source", "github"), task=task, headers={"x-github-event": "push"}, body=body,
            now=AT + timedelta(minutes=minutes),
        )  # fmt: skip
        for one in more.pop("outcomes", ()):
            ledger.note(conn, event.number, task=one, state="ignored", reason=f"{one} no", facts={"kind": "x"}, now=AT)
        if state := more.pop("state", ""):
            ledger.settle(conn, event.number, state, "because", now=AT)
    return event.number


def numbers(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [one["number"] for one in answer.json()["value"]]


def test_events_are_listed_the_newest_first_in_pages(api: Api) -> None:
    made = [came(api) for _ in range(5)]
    first = api.reader.get("/events?top=2").json()
    assert [one["number"] for one in first["value"]] == [made[4], made[3]]
    assert "body" not in first["value"][0]
    rest = api.reader.get(f"/events?top=9&cursor={first['nextCursor']}")
    assert numbers(rest) == [made[2], made[1], made[0]]
    assert rest.json()["nextCursor"] is None
    assert api.reader.get("/events?cursor=abc").status_code == 422


def test_events_are_filtered_by_state_task_source_and_time(api: Api) -> None:
    one = came(api, "web", state="ignored")
    two = came(api, "api", source="gitlab", minutes=5)
    three = came(api, "", source="registry", minutes=10, outcomes=["web"])
    assert numbers(api.reader.get("/events?state=ignored")) == [one]
    assert numbers(api.reader.get("/events?source=gitlab")) == [two]
    assert numbers(api.reader.get("/events?task=web")) == [three, one]
    assert numbers(api.reader.get("/events?from=2026-11-24T12:04:00Z&to=2026-11-24T12:06:00Z")) == [two]
    assert api.reader.get("/events?state=lost").status_code == 422


def test_an_event_is_shown_with_its_outcomes_and_its_body_for_those_who_may(api: Api) -> None:
    number = came(api, outcomes=["web"], state="ignored")
    shown = api.developer.get(f"/events/{number}").json()
    assert shown["outcomes"] == [
        {
            "task": "web", "state": "ignored", "reason": "web no", "run": None, "facts": {"kind": "x"},
            "at": "2026-11-24T12:00:00Z",
        }
    ]  # fmt: skip
    assert (shown["body"], shown["headers"]) == ('{"ref":"main"}', {"x-github-event": "push"})
    read = api.reader.get(f"/events/{number}").json()
    assert read["headers"] is None
    assert "body" not in read
    assert read["reason"] == "because"


def test_a_body_that_is_no_text_is_shown_as_base64(api: Api) -> None:
    number = came(api, body=b"\xff\x00")
    shown = api.admin.get(f"/events/{number}").json()
    assert shown["bodyBase64"] == "/wA="
    assert "body" not in shown


def test_a_token_of_some_tasks_sees_their_events_and_those_that_led_to_something_for_them(api: Api) -> None:
    bound = api.caller(Role.DEVELOPER, name="bound", scopes=("web-*",))
    mine, other = came(api, "web-a"), came(api, "api")
    shared = came(api, "", source="registry", outcomes=["web-a", "api"])
    assert numbers(bound.get("/events")) == [shared, mine]
    assert bound.get(f"/events/{other}").status_code == 404
    assert bound.get(f"/events/{other}").json() == {
        **bound.get("/events/999").json(), "detail": f"there is no event {other}",
    }  # fmt: skip
    assert bound.get(f"/events/{mine}").json()["body"]
    seen = bound.get(f"/events/{shared}").json()
    assert [one["task"] for one in seen["outcomes"]] == ["web-a"]
    assert "body" not in seen
    assert bound.post(f"/events/{shared}/replay").status_code == 403
    assert bound.post(f"/events/{other}/replay").status_code == 404
    assert bound.post(f"/events/{mine}/replay").status_code == 409  # it is still to be worked on


def test_a_replay_is_done_once_for_a_key_and_is_in_the_audit_log(api: Api) -> None:
    number = came(api, state="failed")
    key = {"Idempotency-Key": "k1"}
    first = api.developer.post(f"/events/{number}/replay", headers=key)
    assert (first.status_code, first.json()["state"]) == (200, "received")
    with api.services.database.write() as conn:
        ledger.settle(conn, number, "ignored", "again", now=AT)
    assert api.developer.post(f"/events/{number}/replay", headers=key).json()["state"] == "ignored"
    assert api.developer.post(f"/events/{came(api, state='failed')}/replay", headers=key).status_code == 409
    (entry,) = api.developer.get(f"/events/{number}").json()["history"]
    assert (entry["actor"], entry["action"]) == ("developer", "event.replay")
    assert api.operator.get("/audit").json()["value"][0]["action"] == "event.replay"
    assert api.developer.post("/events/999/replay").status_code == 404


def test_a_key_of_a_run_is_none_for_a_replay(api: Api) -> None:
    number = came(api, state="failed")
    key = {"Idempotency-Key": "k1"}
    assert api.developer.post("/runs", {"text": "steps:\n  - cmd: bash\n"}, headers=key).status_code == 201
    assert api.developer.post(f"/events/{number}/replay", headers=key).status_code == 409


class Decisions:
    """Stands for the triggers."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, int, str]] = []

    def approve(self, services: Services, caller: Who, number: int) -> None:
        self.made.append(("approve", caller.name, number, ""))
        with services.database.write() as conn:
            ledger.settle(conn, number, "queued", "approved", now=AT)

    def refuse(self, services: Services, caller: Who, number: int, *, reason: str) -> None:
        if self.made:
            raise Conflict(f"event {number} waits for nobody")
        self.made.append(("refuse", caller.name, number, reason))


def test_what_waits_is_approved_or_refused_by_developers(api: Api) -> None:
    number = came(api, state="waiting")
    assert api.developer.post(f"/events/{number}/approve").status_code == 503
    api.services.triggers = decisions = Decisions()
    answer = api.developer.post(f"/events/{number}/refuse", {"reason": "not ours"})
    assert (answer.status_code, answer.json()["number"]) == (200, number)
    assert api.developer.post(f"/events/{number}/refuse").status_code == 409
    assert api.developer.post(f"/events/{number}/approve").json()["state"] == "queued"
    assert decisions.made == [("refuse", "developer", number, "not ours"), ("approve", "developer", number, "")]


def test_who_approves_twice_does_so_once(api: Api) -> None:
    api.services.triggers = decisions = Decisions()
    number = came(api, state="waiting")
    with api.services.database.write() as conn:
        audit.note(conn, "developer", "event.approve", f"events/{number}", now=AT)
    assert api.developer.post(f"/events/{number}/approve").status_code == 200
    assert decisions.made == []
    assert api.operator.post(f"/events/{number}/approve").status_code == 200
    assert [one[1] for one in decisions.made] == ["operator"]


@pytest.mark.parametrize("way", ["approve", "refuse"])
def test_nobody_decides_for_tasks_of_others(api: Api, way: str) -> None:
    api.services.triggers = decisions = Decisions()
    bound = api.caller(Role.DEVELOPER, name="bound", scopes=("web-*",))
    assert bound.post(f"/events/{came(api, 'api', state='waiting')}/{way}").status_code == 404
    assert decisions.made == []
