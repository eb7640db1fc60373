"""From a forge's delivery, and from a timer's instant, to a queued run: each once, whoever else is at it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.ambient import Ambient
from taskengine.errors import Conflict, NotFound, Unreachable
from taskengine.service.api.limit import Intake
from taskengine.service.bell import Bell
from taskengine.service.refusal import Unauthorized
from taskengine.service.services import Services
from taskengine.service.settings import ServerSettings
from taskengine.service.store import ledger, tasks
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.uploads import UploadFolder
from taskengine.serving import take_deliveries
from tests.service.api.support import Api, inline
from tests.service.support import BOX
from tests.triggers.support import SECRET, all_runs, deliver, events, make, source
from triggers.intake import Arrived, receive, receive_all
from triggers.processor import process_due
from triggers.refusals import Refusals
from triggers.timers import Timers, due_instants

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path, ServerSettings(failed_logins=1000))
    take_deliveries(made.app, made.services)
    try:
        yield made
    finally:
        made.close()


def test_a_push_is_kept_acknowledged_and_becomes_a_run_of_its_commit(api: Api) -> None:
    make(api, "commit")
    answer = deliver(api, "github-push")
    assert answer.status_code == 202, answer.text
    assert [one.state for one in events(api.services)] == ["received"]
    assert process_due(api.services) == 1
    (event,), (run,) = events(api.services), all_runs(api.services)
    commit = "a" * 8 + "1" * 32
    assert (event.state, event.reason) == ("queued", "ca1: a push to main at aaaaaaaa1111")
    assert "x-hub-signature-256" not in event.headers
    assert run.spec["context"] == f"https://github.com/octo/web#{commit}:web"
    shown = api.admin.call("GET", "/runs/ca1").json()
    assert shown["sourceTrigger"]["commitId"] == commit
    assert shown["sourceTrigger"]["branchName"] == "main"
    assert shown["sourceTrigger"]["providerType"] == "Github"
    assert shown["cause"][0]["event"] == event.number


def test_the_same_delivery_is_kept_once_and_the_same_commit_built_once(api: Api) -> None:
    make(api, "commit")
    assert deliver(api, "github-push").status_code == 202
    assert deliver(api, "github-push").status_code == 200
    assert deliver(api, "github-push", **{"x-github-delivery": "another"}).status_code == 200  # nobody signed that
    assert deliver(api, "github-push", more={"pushed": "again"}).status_code == 202
    process_due(api.services)
    assert len(all_runs(api.services)) == 1
    assert events(api.services)[0].reason == "event 1 told of it before: it was queued as ca1"


def test_who_does_not_know_the_secret_learns_nothing(api: Api) -> None:
    make(api, "commit")
    wrong, absent = deliver(api, "github-push", secret="other"), deliver(api, "github-push", task="nobody")
    assert wrong.status_code == absent.status_code == 401
    assert wrong.json() == absent.json()
    assert events(api.services) == []
    assert api.client.post("/hooks/sourceforge/web", content=b"{}").status_code == 404


def test_in_a_crowd_only_the_believed_are_kept_and_each_hears_its_own(api: Api) -> None:
    make(api, "commit")

    def arrived(forge: str, secret: str, delivery: str) -> Arrived:
        body = json.dumps({"ref": "refs/heads/main", "number": delivery}).encode()
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": delivery}
        return Arrived(forge=forge, task="web", headers=headers, body=body)

    crowd = [
        arrived("github", SECRET, "d1"), arrived("github", "other", "d2"), arrived("nowhere", SECRET, "d3"),
        arrived("github", SECRET, "d4"), arrived("github", SECRET, "d1"),
    ]  # fmt: skip
    answers = receive_all(api.services, crowd)
    assert [answers[0], answers[3], answers[4]] == [(1, True), (2, True), (1, False)]
    assert isinstance(answers[1], Unauthorized)
    assert isinstance(answers[2], NotFound)
    assert [one.headers["x-github-delivery"] for one in events(api.services)] == ["d4", "d1"]


def test_what_the_task_does_not_want_starts_nothing_and_says_why(api: Api) -> None:
    make(api, "pullrequest")
    deliver(api, "github-push")
    deliver(api, "github-ping", **{"x-github-delivery": "d2"})
    process_due(api.services)
    found = [(one.state, one.reason) for one in events(api.services)]
    assert found == [
        ("ignored", "the event 'ping' is neither a push nor a pull request"),
        ("ignored", "the trigger wants pullrequest events only"),
    ]
    assert all_runs(api.services) == []


def test_a_pull_request_of_a_fork_waits_and_starts_nothing(api: Api) -> None:
    make(api, "pullrequest")
    deliver(api, "github-fork-pull-request")
    process_due(api.services)
    (event,) = events(api.services)
    assert event.state == "waiting"
    assert "waits for approval" in event.reason
    assert all_runs(api.services) == []


def test_a_replayed_event_starts_its_run_again(api: Api) -> None:
    make(api, "commit")
    deliver(api, "github-push")
    process_due(api.services)
    with api.services.database.write() as conn:
        ledger.replay(conn, 1, now=api.services.now())
    process_due(api.services)
    assert len(all_runs(api.services)) == 2


def test_an_event_that_shows_a_bug_holds_up_none_behind_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    make(api, "commit")
    deliver(api, "github-push")
    deliver(api, "github-ping", **{"x-github-delivery": "d2"})

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("triggers.processor.judge", broken)
    assert process_due(api.services) == 2
    found = [(one.state, one.reason) for one in events(api.services)]
    assert found == [
        ("ignored", "the event 'ping' is neither a push nor a pull request"),
        ("received", "working on it failed unexpectedly: ZeroDivisionError"),
    ]


def test_what_was_not_believed_is_counted_and_no_more(api: Api) -> None:
    make(api, "commit")
    refusals = Refusals(api.services)
    for task in ("web", "web", "nobody"):
        with pytest.raises(Unauthorized):
            receive(api.services, "github", task, {"User-Agent": "x" * 999, "X-Secret": "y"}, b"{}" * 999, refusals)
    refusals.note("github", "web", "again", {})
    assert refusals.flush() == 2
    assert refusals.flush() == 0
    found = {one.task: one for one in events(api.services)}
    assert (found["web"].state, found["web"].attempts, found["web"].reason) == ("refused", 3, "again")
    assert found["nobody"].reason == "there is no such task, or it has no webhook secret"
    assert found["nobody"].headers == {"user-agent": "x" * 100}
    with api.services.database.write() as conn:
        assert ledger.get(conn, found["web"].number).body == b""
        with pytest.raises(Conflict, match="was not believed"):
            ledger.replay(conn, found["web"].number, now=AT)


def test_strangers_cannot_fill_the_ledger(api: Api) -> None:
    for turn in range(3):
        refusals = Refusals(api.services)
        for number in range(150):
            refusals.note("github", f"task-{turn}-{number}", "no", {})
        refusals.flush()
    with api.services.database.read() as conn:
        assert len(ledger.page(conn, top=1000)[0]) == 100


def test_a_large_delivery_is_taken_and_a_larger_one_refused(api: Api) -> None:
    make(api, "commit")
    assert deliver(api, "github-push", more={"padding": "x" * (24 << 20)}).status_code == 202
    with api.services.database.read() as conn:
        assert len(ledger.get(conn, 1).body) > 24 << 20
        assert ledger.page(conn)[0][0].body == b""  # lists do without
    assert deliver(api, "github-push", more={"padding": "x" * (25 << 20)}).status_code == 413
    process_due(api.services)
    assert len(all_runs(api.services)) == 1


def test_bodies_share_a_bounded_memory() -> None:
    async def chunks(*sizes: int) -> AsyncIterator[bytes]:
        for size in sizes:
            yield b"x" * size

    async def slow() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def read() -> None:
        intake = Intake(small=10, most=20)
        async with intake.body(chunks(10, 15)) as held:
            assert len(held) == 25
            async with intake.body(chunks(10, 5)), intake.body(chunks(10)):
                with pytest.raises(Unreachable, match="too much"):
                    async with intake.body(chunks(5, 6)):
                        pass
        async with intake.body(chunks(30)) as held:  # what was refused, and what is done, holds nothing
            assert len(held) == 30
        with pytest.raises(Unreachable, match="not there within"):
            async with Intake(seconds=0).body(slow()):
                pass

    asyncio.run(read())


@pytest.mark.parametrize(("away", "status"), [(0, 202), (-299, 202), (-301, 401), (301, 401)])
def test_a_signed_moment_has_to_be_fresh(api: Api, away: int, status: int) -> None:
    make(api, "commit")
    fixed = api.services.now()
    api.services.ambient = replace(api.services.ambient, now=lambda: fixed)
    body = json.dumps({"repository": "https://github.com/octo/web", "ref": "main", "commit": "a" * 40}).encode()
    moment = str(int(fixed.timestamp()) + away)
    digest = hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"x-acr-task-signature": digest, "x-acr-task-timestamp": moment}
    assert api.client.post("/hooks/generic/web", content=body, headers=headers).status_code == status


def test_a_mapping_of_the_task_says_where_a_generic_delivery_has_what(api: Api) -> None:
    mapping = {"repository": "=https://github.com/octo/web", "ref": "change.branch", "commit": "change.id"}
    make(api, "commit", mapping=mapping)
    body = json.dumps({"change": {"branch": "main", "id": "b" * 40}}).encode()
    headers = {"authorization": f"Bearer {SECRET}"}
    assert api.client.post("/hooks/generic/web", content=body, headers=headers).status_code == 202
    process_due(api.services)
    assert [run.spec["commit"] for run in all_runs(api.services)] == ["b" * 40]


@pytest.mark.parametrize(
    ("trigger", "place", "words"),
    [
        ({"filters": {"path": ["a"]}}, "trigger.sourceTriggers.0.filters.path", "did you mean 'paths'?"),
        ({"filters": {"zzz": ["a"]}}, "trigger.sourceTriggers.0.filters.zzz", "there are branches, tags, paths, auth"),
        ({"filters": {"paths": ["!/web"]}}, "trigger.sourceTriggers.0.filters.paths.0", "begin without a slash"),
        ({"filters": {"tags": ["!"]}}, "trigger.sourceTriggers.0.filters.tags.0", "is empty"),
        ({"mapping": {"commmit": "a"}}, "trigger.sourceTriggers.0.mapping.commmit", "did you mean 'commit'?"),
    ],
)
def test_what_a_trigger_cannot_mean_is_refused_when_it_is_stored(
    api: Api, trigger: dict[str, Any], place: str, words: str
) -> None:
    document = inline("web", trigger={"sourceTriggers": [source("commit", **trigger)]})
    answer = api.admin.post("/tasks", document)
    assert answer.status_code == 422
    assert place in answer.text
    assert words in answer.text


class Clock:
    def __init__(self) -> None:
        self.at = AT

    def services(self, database: Database, folder: Path) -> Services:
        bell = Bell()
        return Services(
            database=database, box=BOX, bell=bell, feeds=Feeds(database, folder / "runs", bell),
            uploads=UploadFolder(database, folder / "uploads"), data=folder,
            ambient=replace(Ambient.system(), now=lambda: self.at),
        )  # fmt: skip


def timed(database: Database, **timer: Any) -> None:
    document = inline("web", trigger={"timerTriggers": [{"name": "t", "schedule": "*/10 * * * *"} | timer]})
    with database.write() as conn:
        tasks.create(conn, "web", document, owner="ann", now=AT)


def test_a_timer_fires_once_an_instant_with_two_services_on_one_database(database: Database, tmp_path: Path) -> None:
    clock = Clock()
    timed(database)
    both = [Timers(clock.services(database, tmp_path)) for _ in range(2)]
    errors: list[Exception] = []

    def tick(timers: Timers, gate: threading.Barrier) -> None:
        try:
            gate.wait(30)
            timers.tick()
        except Exception as error:  # noqa: BLE001 - whatever it is
            errors.append(error)

    for minutes in (0, 10, 20):
        clock.at = AT + timedelta(minutes=minutes, seconds=2)
        gate = threading.Barrier(2)
        threads = [threading.Thread(target=tick, args=(one, gate)) for one in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert errors == []
    found = all_runs(clock.services(database, tmp_path))
    assert [one.cause[0]["scheduleOccurrence"] for one in found] == ["2026-11-24T12:10:00Z", "2026-11-24T12:20:00Z"]
    assert {one.cause[0]["timerTriggerName"] for one in found} == {"t"}


def test_a_time_zone_that_this_machine_has_not_stops_no_other_timer(database: Database, tmp_path: Path) -> None:
    clock = Clock()
    triggers = [{"name": "t", "schedule": "*/10 * * * *", "timeZone": zone} for zone in ("Nowhere/Land", "UTC")]
    with database.write() as conn:
        for name, timer in zip(("a", "b"), triggers, strict=True):
            tasks.create(conn, name, inline(name, trigger={"timerTriggers": [timer]}), owner="ann", now=AT)
    timers = Timers(clock.services(database, tmp_path))
    timers.tick()
    clock.at = AT + timedelta(minutes=10, seconds=2)
    assert len(timers.tick()) == 1


def test_a_timers_event_that_is_replayed_queues_its_run_again(database: Database, tmp_path: Path) -> None:
    clock = Clock()
    timed(database)
    services = clock.services(database, tmp_path)
    timers = Timers(services)
    timers.tick()
    clock.at = AT + timedelta(minutes=10, seconds=2)
    assert timers.tick() == ["ca1"]
    with database.write() as conn:
        ledger.replay(conn, 1, now=clock.at)
    process_due(services)
    first, second = all_runs(services)
    assert second.cause == first.cause
    (event,) = events(services)
    assert (event.state, event.reason) == ("queued", "ca2: the timer t was due at 2026-11-24T12:10:00Z")
    with database.write() as conn:
        tasks.delete(conn, "web")
        ledger.replay(conn, 1, now=clock.at)
    process_due(services)
    assert events(services)[0].state == "failed"


@pytest.mark.parametrize(
    ("policy", "away", "expected"),
    [("once", 45, 1), ("once", 3000, 1), ("skip", 45, 0), ("all", 45, 4), ("skip", 11, 1), ("all", 60 * 24 * 30, 100)],
)
def test_missed_instants_are_left_to_the_policy(policy: str, away: int, expected: int) -> None:
    timer = {"schedule": "*/10 * * * *", "missed": policy}
    assert len(due_instants(timer, AT, AT + timedelta(minutes=away))) == expected


def test_a_missed_instant_older_than_the_grace_window_is_left_out() -> None:
    assert due_instants({"schedule": "0 13 * * *"}, AT, AT + timedelta(hours=2, minutes=1)) == []
    assert len(due_instants({"schedule": "0 13 * * *"}, AT, AT + timedelta(hours=1, minutes=59))) == 1
