"""The ledger: what arrives is kept once, worked on by one, and starts a thing once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from taskengine.errors import Conflict, NotFound
from taskengine.service.store import Connection, ledger, repeats
from taskengine.service.store.database import Database
from tests.service.support import AT, later


def record(conn: Connection, delivery: str = "d1", task: str = "web", body: bytes = b"{}") -> tuple[ledger.Event, bool]:
    return ledger.record(
        conn, source="github", task=task, headers={"x-github-event": "push"}, body=body, now=AT, delivery=delivery
    )


def test_a_delivery_is_kept_once_as_it_came(database: Database) -> None:
    with database.write() as conn:
        first, new = record(conn, body=b"\x00\xff")
        again, newer = record(conn, body=b"other")
        other, newest = record(conn, task="api")
    assert (new, newer, newest) == (True, False, True)
    assert (again.number, again.body) == (first.number, b"\x00\xff")
    assert other.number != first.number
    assert first.headers == {"x-github-event": "push"}


def test_deliveries_without_a_number_are_all_kept(database: Database) -> None:
    with database.write() as conn:
        assert record(conn, delivery="")[1]
        assert record(conn, delivery="")[1]


def test_many_that_arrive_at_once_are_kept_as_each_alone_would_be(database: Database) -> None:
    def arrived(delivery: str, task: str = "web", body: bytes = b"{}") -> ledger.Arrival:
        return ledger.Arrival(source="github", task=task, headers={"x": "y"}, body=body, delivery=delivery)

    with database.write() as conn:
        known = record(conn, "d0")[0].number
        answers = ledger.record_all(
            conn,
            [
                arrived("d1", body=b"\x00\xff"),
                arrived("d0"),
                arrived("d1"),
                arrived("d1", "api"),
                arrived(""),
                arrived(""),
            ],
            now=AT,
        )
        event = ledger.get(conn, answers[0][0])
    assert [new for _, new in answers] == [True, False, False, True, True, True]
    assert answers[1][0] == known
    assert answers[2][0] == answers[0][0]
    assert len({number for number, _ in answers}) == 5
    assert (event.task, event.headers, event.body, event.state) == ("web", {"x": "y"}, b"\x00\xff", "received")
    with database.write() as conn:
        assert len(ledger.due(conn, now=AT)) == 5


def test_an_event_is_worked_on_by_one_and_given_again_when_that_one_dies(database: Database) -> None:
    with database.write() as conn:
        number = record(conn)[0].number
    with database.write() as conn:
        assert [one.number for one in ledger.due(conn, now=AT)] == [number]
    with database.write() as conn:
        assert ledger.due(conn, now=later(1)) == []
        assert [one.number for one in ledger.due(conn, now=later(61))] == [number]
        assert ledger.hold(conn, number)
        ledger.settle(conn, number, "ignored", "nothing to do", now=later(62))
        assert not ledger.hold(conn, number)
        assert ledger.due(conn, now=later(9999)) == []


def test_content_is_claimed_once_and_the_second_is_told_what_it_became(database: Database) -> None:
    with database.write() as conn:
        first, second = record(conn)[0].number, record(conn, "d2")[0].number
        outcome, _ = ledger.claim(conn, first, task="web", key="push:web:main:abc", facts={"a": 1}, now=AT)
        ledger.conclude(conn, outcome, "queued", "a push", run="ca1")
        none, why = ledger.claim(conn, second, task="web", key="push:web:main:abc", facts={}, now=AT)
        found = ledger.outcomes(conn, first)
    assert none == 0
    assert why == f"event {first} told of it before: it was queued as ca1"
    assert [(one.state, one.run, one.facts) for one in found] == [("queued", "ca1", {"a": 1})]


def test_an_event_that_cannot_be_worked_on_is_tried_again_until_it_has_failed(database: Database) -> None:
    now = AT
    with database.write() as conn:
        number = record(conn)[0].number
        for pause in ledger.PAUSES:
            assert ledger.failed(conn, number, "no disk", now=now) == "received"
            assert ledger.due(conn, now=now + pause - timedelta(seconds=1)) == []
            now += pause
        assert ledger.failed(conn, number, "no disk", now=now) == "failed"
        assert ledger.get(conn, number).reason == "no disk"


def test_a_replay_works_on_it_again_and_may_start_the_same_again(database: Database) -> None:
    with database.write() as conn:
        number = record(conn)[0].number
        with pytest.raises(Conflict):
            ledger.replay(conn, number, now=AT)
        ledger.claim(conn, number, task="web", key="k", facts={}, now=AT)
        ledger.settle(conn, number, "queued", "", now=AT)
        assert ledger.replay(conn, number, now=later(5)).state == "received"
        assert ledger.claim(conn, number, task="web", key="k", facts={}, now=AT)[0]
        with pytest.raises(NotFound):
            ledger.replay(conn, 999, now=AT)


def test_events_are_listed_the_newest_first_by_state_task_and_source(database: Database) -> None:
    with database.write() as conn:
        numbers = [record(conn, f"d{n}", "web" if n % 2 else "api")[0].number for n in range(5)]
        found, cursor = ledger.page(conn, top=2)
        rest, end = ledger.page(conn, top=9, cursor=cursor)
        of_web, _ = ledger.page(conn, ledger.Wanted(task="web", state="received", source="github"))
        assert ledger.page(conn, ledger.Wanted(state="failed"))[0] == []
    assert [one.number for one in (*found, *rest)] == numbers[::-1]
    assert end is None
    assert {one.task for one in of_web} == {"web"}


def test_old_events_go_with_their_outcomes_and_open_ones_stay(database: Database) -> None:
    with database.write() as conn:
        old, still_open = record(conn)[0].number, record(conn, "d2")[0].number
        ledger.note(conn, old, task="web", state="ignored", reason="why", facts={}, now=AT)
        ledger.settle(conn, old, "ignored", "why", now=AT)
        assert ledger.prune(conn, before=later(1)) == 1
        assert ledger.outcomes(conn, old) == []
        assert ledger.get(conn, still_open).state == "received"


def test_events_are_found_by_what_they_led_to_and_by_when_they_came(database: Database) -> None:
    def found(**wanted: Any) -> list[int]:
        return [one.number for one in ledger.page(conn, ledger.Wanted(**wanted))[0]]

    with database.write() as conn:
        web, api = record(conn, task="web-a")[0].number, record(conn, task="api")[0].number
        shared, _ = ledger.record(conn, source="registry", task="", headers={}, body=b"{}", now=later(60))
        ledger.note(conn, shared.number, task="web-a", state="ignored", reason="no", facts={}, now=AT)
        assert found(task="web-a") == [shared.number, web]
        assert found(scopes=("web-*",)) == [shared.number, web]
        assert found(scopes=("api", "x")) == [api]
        assert found(since=later(1)) == [shared.number]
        assert found(until=later(1), state="received") == [api, web]


def test_a_key_of_an_event_is_new_once_and_goes_with_time(database: Database) -> None:
    def first(key: str, fingerprint: str = "replay:1") -> bool:
        return repeats.first(conn, owner="ann", key=key, fingerprint=fingerprint, event=1, now=AT)

    with database.write() as conn:
        assert (first("k"), first("k"), first(""), first("")) == (True, False, True, True)
        with pytest.raises(Conflict):
            first("k", "replay:2")
        repeats.prune(conn, before=AT)
        assert not first("k")
        repeats.prune(conn, before=later(1))
        assert first("k", "replay:2")
