"""Why a run was queued: every kind of cause, followed to its end, in words and as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.cli.server.explain import lines
from taskengine.service.caller import Caller as Reading
from taskengine.service.model import Role
from taskengine.service.settings import ServerSettings
from taskengine.service.store import ledger, queue
from taskengine.service.store.database import Database
from taskengine.serving import take_deliveries
from tests.service.api.support import BOX, TEXT, Api, Caller, Hand, inline
from tests.service.support import request
from tests.triggers.support import deliver, make
from tests.triggers.wavehouse import House, digest
from triggers import imageevent
from triggers.answers import Answers
from triggers.explain import explain
from triggers.imagechange import Seen
from triggers.processor import process_due
from triggers.timers import Timers

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
COMMIT = "a" * 8 + "1" * 32
OLD, NEW, INNER, OUTER = (f"sha256:{digit * 64}" for digit in "1234")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path, ServerSettings(failed_logins=1000))
    take_deliveries(made.app, made.services)
    made.services.triggers = Answers()
    try:
        yield made
    finally:
        made.close()


def told(api: Api, run: str, caller: Caller | None = None) -> dict[str, Any]:
    answer = (caller or api.reader).get(f"/runs/{run}/explanation")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def words(api: Api, run: str, caller: Caller | None = None) -> list[tuple[int, str]]:
    return [(one["depth"], one["text"]) for one in told(api, run, caller)["causes"]]


def run_of(api: Api, *cause: dict[str, Any], task: str = "web", spec: dict[str, Any] | None = None) -> str:
    with api.services.database.write() as conn:
        run, _ = queue.enqueue(
            conn, request(cause=cause, task=task, spec=spec or {"platform": "linux/amd64"}), now=AT, box=BOX
        )
    return run.id


def changed(api: Api, source: str, image: str = "docker.io/library/alpine:3", **told_by: Any) -> int:
    event = imageevent.ImageEvent(
        source=source, image=image, before=Seen(digest=OLD, platforms={"linux/amd64": INNER}),
        after=Seen(digest=NEW, platforms={"linux/amd64": OUTER}), key=f"{source}{image}", told_by=told_by,
    )  # fmt: skip
    with api.services.database.write() as conn:
        return imageevent.put(conn, event, now=AT)


def test_a_run_by_hand_names_who_and_when(api: Api) -> None:
    api.developer.post("/runs", {"text": TEXT})
    api.developer.post("/tasks", inline("hello"))
    api.developer.post("/tasks/hello/runs")
    quick, stored = told(api, "ca1"), told(api, "ca2")
    assert quick["causes"][0]["text"] == "developer asked for it, without a stored task"
    assert stored["causes"][0]["text"] == "developer ran the task by hand"
    assert stored["causes"][0]["at"] == stored["createTime"]
    assert lines(stored) == [
        f"run ca2 of task hello, queued {stored['createTime']}: Queued",
        f"  because developer ran the task by hand ({stored['createTime']})",
    ]
    assert api.reader.get("/runs/ca9/explanation").status_code == 404


def test_a_push_names_the_commit_the_delivery_and_who_had_it_worked_on_again(api: Api) -> None:
    make(api, "commit")
    deliver(api, "github-push")
    process_due(api.services)
    found = told(api, "ca1")
    (cause,) = found["causes"]
    assert cause["text"].startswith(f"commit {COMMIT} was pushed to main of https://github.com/octo/web")
    assert "GitHub told of it (delivery " in cause["text"]
    assert (cause["event"], found["commit"]) == (1, COMMIT)
    assert found["context"] == f"https://github.com/octo/web#{COMMIT}:web"
    assert api.developer.post("/events/1/replay").status_code == 200
    process_due(api.services)
    assert len(words(api, "ca1")) == 1
    assert words(api, "ca2")[1] == (1, "developer replayed event 1")


def test_an_approved_pull_request_names_who_approved(api: Api) -> None:
    make(api, "pullrequest", document={"step": {
        "type": "Docker", "contextPath": "https://github.com/octo/web#main", "imageNames": ["web:1"],
    }})  # fmt: skip
    deliver(api, "github-fork-pull-request")
    process_due(api.services)
    assert api.operator.post("/events/1/approve").status_code == 200
    (depth, text), approved = words(api, "ca1")
    assert depth == 0
    assert text.startswith("pull request ")
    assert approved == (1, "operator approved it")


def test_a_timer_names_its_instant_and_schedule(api: Api) -> None:
    now = AT
    api.services.ambient = replace(api.services.ambient, now=lambda: now)
    api.admin.post("/tasks", inline("web", trigger={"timerTriggers": [{"name": "t", "schedule": "0 * * * *"}]}))
    timers = Timers(api.services)
    timers.tick()
    now = AT + timedelta(minutes=70)
    timers.tick()
    assert words(api, "ca1") == [
        (
            0,
            "the timer t was due at 2026-11-24T13:00:00Z (schedule 0 * * * *); it was made up for at 2026-11-24T13:10:00Z",
        )
    ]


def test_an_image_names_its_digests_before_and_after_and_who_found_out(api: Api) -> None:
    record = {"id": "1", "timestamp": "T", "images": []}
    event = changed(api, imageevent.POLL)
    run = run_of(api, {"kind": "imageUpdate", "event": event, "wave": 4, "imageUpdateTrigger": record})
    assert words(api, run) == [
        (0, f"alpine:3 went from {OLD} to {NEW}, for linux/amd64 from {INNER} to {OUTER}"),
        (1, "a check of its registry found it"),
    ]
    first = told(api, run)["causes"][0]
    assert (first["event"], first["wave"], first["facts"]["before"]["digest"]) == (event, 4, OLD)
    with api.services.database.write() as conn:
        notice, _ = ledger.record(conn, source="harbor", task="", headers={}, body=b"{}", now=AT)
    event = changed(api, imageevent.REGISTRY, event=notice.number)
    run = run_of(api, {"kind": "imageUpdate", "event": event, "imageUpdateTrigger": record})
    last = told(api, run)["causes"][1]
    assert (last["text"], last["event"]) == ("its registry told of a push (harbor), and was asked", notice.number)


def test_an_image_of_our_own_leads_on_to_the_run_that_pushed_it(api: Api) -> None:
    api.developer.post("/tasks", inline("base"))
    api.developer.post("/tasks/base/runs")
    event = changed(api, imageevent.OWN, "r.example.com/base:1", run="ca1")
    record = {"id": "1", "timestamp": "T", "images": []}
    run = run_of(api, {"kind": "imageUpdate", "event": event, "imageUpdateTrigger": record})
    assert words(api, run)[1:] == [(1, "run ca1 pushed it"), (2, "developer ran the task by hand")]
    bound = api.caller(Role.READER, name="bound", scopes=("web",))
    assert words(api, run, bound)[2] == (2, "why run ca1 was queued is not known here any more")


def test_a_member_of_a_wave_names_the_runs_above_it_and_what_began_it(api: Api) -> None:
    def image(name: str, digest: str) -> dict[str, str]:
        return {"registry": "r.example.com", "repository": name, "tag": "1", "digest": digest}

    event = changed(api, imageevent.POLL)
    run = run_of(
        api,
        {"kind": "imageUpdate", "event": event, "wave": 2, "runs": ["ca8"],
         "imageUpdateTrigger": {"id": "w", "timestamp": "T", "images": [image("left", NEW)]}},
        {"kind": "wave", "wave": 2, "task": "left", "run": "ca8", "images": [image("left", NEW)]},
        {"kind": "wave", "wave": 2, "task": "top", "run": "ca7", "images": [image("top", OLD)]},
        {"kind": "imageUpdate", "event": event, "wave": 2, "at": "T", "images": [image("alpine", NEW)]},
    )  # fmt: skip
    assert [line.strip().partition(" (")[0] for line in lines(told(api, run))[1:]] == [
        f"because what it stands on is new: r.example.com/left:1@{NEW}",
        f"because run ca8 of task left pushed r.example.com/left:1@{NEW}",
        f"because run ca7 of task top pushed r.example.com/top:1@{OLD}",
        f"because alpine:3 went from {OLD} to {NEW}, for linux/amd64 from {INNER} to {OUTER}",
        "because a check of its registry found it",
    ]
    assert [depth for depth, _ in words(api, run)] == [0, 1, 2, 3, 4]
    assert not told(api, run)["isCoalesced"]


def test_several_causes_of_one_run_are_said_to_be_coalesced(api: Api) -> None:
    event = changed(api, imageevent.POLL)
    record = {"id": "1", "timestamp": "T", "images": []}
    push = {
        "kind": "push",
        "event": 99,
        "commitId": "c0ffee",
        "branchName": "main",
        "repositoryUrl": "https://x.example/r",
    }
    run = run_of(api, {"kind": "imageUpdate", "event": event, "imageUpdateTrigger": record}, push)
    found = told(api, run)
    assert found["isCoalesced"]
    assert lines(found)[1] == "  several things asked for this one run:"
    # the ledger does not keep that event any more, and the run's own record tells all the same
    assert found["causes"][2]["text"] == "commit c0ffee was pushed to main of https://x.example/r"
    shown = api.reader.get(f"/runs/{run}").json()
    assert shown["sourceTrigger"]["commitId"] == "c0ffee"
    assert shown["imageUpdateTrigger"]["id"] == "1"


def test_an_attempt_that_broke_off_is_told(api: Api) -> None:
    api.developer.post("/runs", {"text": TEXT})
    hand = Hand(api)
    leased = hand.lease()
    assert leased is not None
    api.worker.post(f"/workers/{hand.id}/runs/ca1/release", {"epoch": leased["epoch"], "reason": "it goes"})
    found = told(api, "ca1")
    assert [one["kind"] for one in found["causes"]] == ["retry", "manual"]
    assert "attempt 1 broke off" in found["causes"][0]["text"]
    assert found["attempts"][0]["attempt"] == 1
    assert lines(found)[1].startswith("  attempt 1 broke off")


@pytest.mark.parametrize(
    "cause", [{}, {"kind": "imageUpdate", "event": "x"}, {"kind": "other", "event": -1}, {"kind": "wave"}]
)
def test_strange_causes_are_told_as_well_as_can_be(api: Api, cause: dict[str, Any]) -> None:
    assert words(api, run_of(api, cause))


def test_a_real_wave_is_explained_down_to_its_base(sqlite: Database, tmp_path: Path) -> None:
    house = House(sqlite, tmp_path)
    house.diamond()
    house.end(_quick(house, "left"), "left=1")
    event = house.change("docker.io/library/alpine:3", "1", "2")
    house.work()
    for run, pushed in (("ca2", "top=2"), ("ca3", "left=2"), ("ca4", "right=2")):
        house.end(run, pushed)
        house.work()
    found = explain(house.services, Reading(id="1", name="ann", role=Role.READER), "ca5")
    assert [(one["depth"], one["kind"], one["run"], one["event"]) for one in found["causes"]] == [
        (0, "imageUpdate", None, event),
        (1, "wave", "ca3", None),
        (1, "wave", "ca4", None),
        (1, "wave", "ca2", None),
        (3, "imageUpdate", None, event),
        (4, "poll", None, None),
    ]
    first, left = found["causes"][0]["text"], found["causes"][1]["text"]
    assert first.endswith("it is on level 2 of wave 1, which has 3 levels")
    assert left == (
        f"run ca3 of task left pushed reg.example.com/left:1@{digest('2')}; "
        f"reg.example.com/left:1 was {digest('1')} before"
    )
    assert not found["isCoalesced"]


def _quick(house: House, task: str) -> str:
    with house.database.write() as conn:
        return queue.enqueue(conn, request(task=task), now=house.at, box=BOX)[0].id


def test_who_told_of_the_same_again_is_named(api: Api) -> None:
    make(api, "commit")
    deliver(api, "github-push")
    deliver(api, "github-push", more={"again": True}, **{"x-github-delivery": "another"})
    process_due(api.services)
    again = told(api, "ca1")["causes"][1]
    assert (again["kind"], again["event"]) == ("again", 2)
    assert again["text"] == "the same was told again by GitHub, and started nothing more"
