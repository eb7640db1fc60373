"""What would happen: the same as what does happen then, and for every other task what holds it back. Nothing is done."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import InvalidInput, Unreachable
from taskengine.registry.client import RegistryClient
from taskengine.registry.reference import ImageReference
from taskengine.service.caller import Caller
from taskengine.service.model import Role
from taskengine.service.store import tasks
from taskengine.service.store.database import Database
from taskengine.service.store.rows import run_id
from taskengine.service.store.taskimages import Relation, TaskImage, put, scan_of
from taskengine.service.triggering import Push, Question
from tests.registry.conftest import push_index
from tests.service.api.support import Api, inline
from tests.support.registry import Registry
from tests.triggers.support import source
from tests.triggers.wavehouse import ALPINE, AMD64, AT, House, digest, image
from triggers.answers import Answers
from triggers.imagechange import Seen
from triggers.imagined import Hold, Imagined, Planned
from triggers.looking import Looking
from triggers.simulate import event_of, simulate
from triggers.timers import Timers

ANN = Caller(id="1", name="ann", role=Role.DEVELOPER)
WEB = "https://github.com/octo/web"


@pytest.fixture
def house(sqlite: Database, tmp_path: Path) -> House:
    return House(sqlite, tmp_path)


def ask(house: House, look: Any = None, caller: Caller = ANN, **question: Any) -> dict[str, Any]:
    with house.database.read() as conn:
        before = conn.exec_driver_sql("select count(*) from events").scalar()
    found = simulate(house.services, caller, Question(**question), look)
    with house.database.read() as conn:
        assert conn.exec_driver_sql("select count(*) from events").scalar() == before
    return found


def plan(found: dict[str, Any]) -> list[tuple[int, str, list[str]]]:
    return [(one["level"], one["task"], one["waitsFor"]) for one in found["runs"]]


def held(found: dict[str, Any]) -> dict[str, str]:
    return {one["task"]: one["kind"] for one in found["held"]}


def why(found: dict[str, Any], task: str) -> str:
    return next(str(one["reason"]) for one in (*found["held"], *found["runs"]) if one["task"] == task)


def seen(house: House, name: str, what: Seen) -> None:
    """The watch of an image has seen it, and nothing followed."""
    house.change(name, None, what)
    house.work()


# images


def test_a_changed_image_starts_what_it_really_starts_in_that_order(house: House) -> None:
    house.diamond()
    found = ask(house, image="alpine:3")
    assert found["asked"] == "alpine:3 stands for something new on every platform"
    assert plan(found) == [
        (0, "top", []), (1, "left", ["top"]), (1, "right", ["top"]), (2, "bottom", ["top", "left", "right"]),
    ]  # fmt: skip
    assert why(found, "top") == f"alpine:3 is new for {AMD64}"
    assert why(found, "left") == "if what top makes is new"
    assert found["held"] == []
    assert house.runs() == []
    house.change(ALPINE, "1", "2")
    house.work()
    assert house.states() == {
        "top": "started", "left": "waiting", "right": "waiting", "bottom": "waiting",
    }  # fmt: skip


def test_the_content_that_is_known_starts_nothing_and_another_one_does(house: House) -> None:
    house.task("top", ALPINE)
    seen(house, ALPINE, Seen(digest=digest("1"), platforms={AMD64: digest("a")}))
    same = ask(house, image=f"alpine:3@{digest('1')}")
    assert (plan(same), held(same)) == ([], {"top": "unchanged"})
    other = ask(house, image=f"alpine:3@{digest('2')}")
    assert plan(other) == [(0, "top", [])]
    assert other["notes"] == [
        "which platforms this digest has is not known, all are taken for changed: no registry was asked"
    ]


def test_a_registry_tells_whether_the_platform_in_use_is_new(house: House) -> None:
    house.task("top", ALPINE)
    seen(house, ALPINE, Seen(digest=digest("1"), platforms={AMD64: digest("a"), "linux/arm64": digest("b")}))
    asked: list[str] = []

    def look(reference: ImageReference) -> Seen:
        asked.append(reference.normalised)
        return Seen(digest=reference.digest, platforms={AMD64: digest("a"), "linux/arm64": digest("c")})

    found = ask(house, look, image=f"alpine:3@{digest('2')}")
    assert (plan(found), held(found)) == ([], {"top": "unchanged"})
    assert why(found, "top") == "only other platforms changed: linux/arm64"
    assert asked == [f"{ALPINE}@{digest('2')}"]

    def away(reference: ImageReference) -> Seen:
        raise Unreachable(f"{reference.domain} does not answer")

    assert ask(house, away, image=f"alpine:3@{digest('2')}")["notes"][0].endswith("docker.io does not answer")
    asked.clear()
    ask(house, look, replace(ANN, role=Role.READER), image=f"alpine:3@{digest('2')}")
    ask(house, look, image=f"intranet.example.com/x:1@{digest('2')}")
    assert asked == [], "nobody makes the service speak to a host of their choice"


def test_a_real_registry_is_asked_once_for_a_digest(house: House, registry: Registry, client: RegistryClient) -> None:
    base = ImageReference.parse(f"{registry.name}/base:1")
    pushed = push_index(client, base, AMD64, "linux/arm64")
    house.task("top", base.normalised)
    seen(house, base.normalised, Seen(digest=digest("1"), platforms={AMD64: digest("a")}))
    made: list[int] = []

    def connect() -> RegistryClient:
        made.append(1)
        return client.bound()

    look = Looking(connect)
    for _ in range(2):
        found = ask(house, look, image=f"{base.normalised}@{pushed.digest}")
        assert (plan(found), found["notes"]) == ([(0, "top", [])], [])
        look.close()
    assert made == [1]
    lost = ask(house, look, image=f"{base.normalised}@{digest('9')}")
    assert "is not known" in lost["notes"][0]


def test_disabled_tasks_and_triggers_that_leave_an_image_out_are_named(house: House) -> None:
    house.task("on", ALPINE)
    house.task("off", ALPINE, watching=False)
    house.task("gone", ALPINE, watching=False)
    house.task("stages", "other")
    with house.database.write() as conn:
        tasks.replace(conn, "gone", inline("gone"), now=AT, enabled=False)
        scan = scan_of(conn, "stages")
        assert scan is not None
        left_out = TaskImage(task="stages", relation=Relation.UNWATCHED, image=ALPINE, reason="a stage only")
        put(conn, scan, [left_out], revision=1, watching=True, now=AT)
    found = ask(house, image=ALPINE)
    assert plan(found) == [(0, "on", [])]
    assert held(found) == {"gone": "disabled", "off": "disabled", "stages": "filter"}
    assert why(found, "gone") == "the task is disabled"
    assert why(found, "off") == "its base image trigger is disabled, or it has none"


def test_a_storm_and_an_open_wave_are_told(house: House) -> None:
    house.task("top", ALPINE)
    house.task("below", "top")
    house.change(ALPINE, "0", "1")
    house.work()
    assert ask(house, image=ALPINE)["notes"] == ["wave 1 is open and would take it in"]
    for n in range(1, 7):
        house.end(run_id(2 * n - 1), f"top={n}")
        house.work()
        house.end(run_id(2 * n), f"below={n}")
        house.work()
        house.later(minutes=6)
        if n < 6:
            house.change(ALPINE, f"{n}", f"{n + 1}")
            house.work()
    assert house.count_waves() == 6
    found = ask(house, image=ALPINE)
    assert (plan(found), held(found)) == ([], {"top": "storm"})
    assert "taken for a storm" in why(found, "top")


def test_a_task_that_could_not_run_holds_up_what_waits_for_it_alone(house: House) -> None:
    broken = inline("left", text="version: v1.1.0\nsteps:\n  - cmd: bash\n    nonsense: [\n")
    house.task("top", ALPINE)
    house.task("left", "top", document=broken)
    house.task("under", "left")
    house.task("beside", "left", ALPINE)
    found = ask(house, image=ALPINE)
    assert [task for _, task, _ in plan(found)] == ["top", "beside"]
    assert held(found) == {"left": "invalid", "under": "parents"}
    assert "left would not be rebuilt" in why(found, "under")


def test_a_full_group_that_skips_is_told(house: House) -> None:
    house.task("a", ALPINE, document=inline("a", concurrency={"group": "g", "limit": 1, "policy": "skip"}))
    assert plan(ask(house, image=ALPINE)) == [(0, "a", [])]
    house.change(ALPINE, "1", "2")
    house.work()
    assert "group g is full (ca1)" in why(ask(house, image=ALPINE), "a")


def test_tasks_that_stand_on_each_other_are_said_to(house: House) -> None:
    house.task("a", ALPINE, "b")
    house.task("b", "a")
    found = ask(house, image=ALPINE)
    assert [task for _, task, _ in plan(found)] == ["a", "b"]
    assert "stand on each other" in found["notes"][0]


def test_a_token_of_some_tasks_hears_of_these_alone(house: House) -> None:
    house.diamond()
    house.task("off", ALPINE, watching=False)
    bound = replace(ANN, scopes=("bott*", "left"))
    found = ask(house, caller=bound, image=ALPINE)
    assert plan(found) == [(1, "left", []), (2, "bottom", ["left"])]
    assert found["held"] == []


@pytest.mark.parametrize("seed", range(8))
def test_what_is_simulated_is_what_happens(house: House, seed: int) -> None:
    """Random graphs, with tasks that are disabled, platforms that did not change, and runs that all push something new."""
    chance = random.Random(seed)
    names = [f"t{n}" for n in range(14)]
    for n, name in enumerate(names):
        uses = chance.sample([*names[:n], ALPINE], k=min(n + 1, chance.randint(1, 3)))
        platform = chance.choice([AMD64, AMD64, "linux/arm64"])
        house.task(name, *uses, platform=platform, watching=chance.random() > 0.2)
    old = Seen(digest=digest("1"), platforms={AMD64: digest("a"), "linux/arm64": digest("b")})
    new = Seen(digest=digest("2"), platforms={AMD64: digest("c"), "linux/arm64": digest("b")})
    seen(house, ALPINE, old)
    found = ask(house, lambda _: new, image=f"{ALPINE}@{digest('2')}")
    house.change(ALPINE, old, new)
    house.work()
    begun: list[str] = []
    while waiting := [run for run in house.runs() if not run.status.is_final]:
        for run in waiting:
            begun.append(run.task)
            house.end(run.id, f"{run.task}=new")
        house.work()
    assert sorted(begun) == sorted(one["task"] for one in found["runs"])
    place = {task: n for n, task in enumerate(begun)}
    for one in found["runs"]:
        assert all(place[parent] < place[one["task"]] for parent in one["waitsFor"])


# pushes


def sourced(house: House, name: str, *events: str, enabled: bool = True, makes: str = "", **trigger: Any) -> None:
    document = inline(name, trigger={"sourceTriggers": [source(*(events or ("commit",)), **trigger)]})
    document["step"]["contextPath"] = f"{WEB}#main"
    with house.database.write() as conn:
        tasks.create(conn, name, document, owner="ann", now=AT, enabled=enabled)
        if makes:
            house.put_images(conn, name, makes=[makes])


def test_a_push_starts_who_wants_it_and_then_what_stands_on_that(house: House) -> None:
    sourced(house, "web", makes="web")
    sourced(house, "docs", filters={"paths": ["docs/**"]})
    sourced(house, "pulls", "pullrequest")
    sourced(house, "off", enabled=False)
    sourced(house, "paused", status="Disabled")
    house.task("app", "web")
    house.task("top", "app")
    with house.database.write() as conn:
        other = {**source("commit"), "sourceRepository": {"repositoryUrl": "https://github.com/octo/api"}}
        tasks.create(conn, "api", inline("api", trigger={"sourceTriggers": [other]}), owner="ann", now=AT)
    push = Push(repository="git@github.com:octo/web.git", ref="main", commit="c0ffee1", paths=("web/a.js",))
    found = ask(house, push=push)
    assert found["asked"] == "refs/heads/main of git@github.com:octo/web.git has a new commit at c0ffee1"
    assert plan(found) == [(0, "web", []), (1, "app", ["web"]), (2, "top", ["app"])]
    assert held(found) == {"docs": "filter", "off": "disabled", "paused": "disabled", "pulls": "filter"}
    assert found["notes"] == ["1 task with source triggers watch other repositories"]


def test_a_commit_that_was_built_is_known(house: House, tmp_path: Path) -> None:
    del house
    from taskengine.service.settings import ServerSettings
    from taskengine.serving import take_deliveries
    from tests.triggers.support import deliver, make
    from triggers.processor import process_due

    api = Api(tmp_path / "api", ServerSettings())
    try:
        api.services.triggers = Answers()
        take_deliveries(api.app, api.services)
        make(api, "commit")
        deliver(api, "github-push")
        process_due(api.services)
        push = {"repository": WEB, "ref": "refs/heads/main", "commit": "a" * 8 + "1" * 32}
        found = api.reader.post("/simulate", {"push": push}).json()
        assert found["runs"] == []
        assert found["held"] == [
            {"task": "web", "kind": "known", "reason": "event 1 told of it before: it was queued as ca1"}
        ]
        assert "no changed files were named" in found["notes"][0]
        anew = api.reader.post("/simulate", {"push": {**push, "commit": ""}}).json()
        assert [one["task"] for one in anew["runs"]] == ["web"]
        for body in ({}, {"push": push, "at": "2026-11-24T12:00:00Z"}, {"image": "Not An Image"}, {"image": None}):
            assert api.reader.post("/simulate", body).status_code == 422
    finally:
        api.close()


def test_a_pull_request_of_a_fork_waits_for_approval_and_pushes_nothing(house: House) -> None:
    sourced(house, "web", "pullrequest", makes="web")
    house.task("app", "web")
    found = ask(house, push=Push(repository=WEB, ref="refs/pull/7/head", into="main", is_fork=True))
    assert plan(found) == [(0, "web", [])]
    assert found["runs"][0]["needsApproval"]


@pytest.mark.parametrize(
    ("ref", "kind", "branch", "tag", "number"),
    [
        ("main", "push", "main", "", ""), ("refs/heads/a/b", "push", "a/b", "", ""),
        ("refs/tags/v1", "tag", "", "v1", ""), ("refs/pull/7/head", "pullRequest", "main", "", "7"),
        ("refs/merge-requests/8/head", "pullRequest", "main", "", "8"),
    ],
)  # fmt: skip
def test_a_ref_says_what_was_pushed(ref: str, kind: str, branch: str, tag: str, number: str) -> None:
    found = event_of(Push(repository=WEB, ref=ref))
    assert (found.kind.value, found.branch, found.tag, found.number) == (kind, branch, tag, number)
    if kind != "pullRequest":
        with pytest.raises(InvalidInput):
            event_of(Push(repository=WEB, ref=ref, is_fork=True))


# moments


def timed(house: House, name: str, schedule: str, **timer: Any) -> None:
    document = inline(name, trigger={"timerTriggers": [{"name": "t", "schedule": schedule, **timer}]})
    with house.database.write() as conn:
        tasks.create(conn, name, document, owner="ann", now=AT)


def test_a_moment_starts_the_timers_that_are_due_and_no_other(house: House) -> None:
    timed(house, "hourly", "0 * * * *")
    timed(house, "daily", "0 3 * * *")
    timed(house, "off", "0 * * * *", status="Disabled")
    timed(house, "zoned", "0 14 * * *", timeZone="Europe/Berlin")
    timed(house, "lost", "0 * * * *", timeZone="Nowhere/Land")
    found = ask(house, at=AT + timedelta(hours=1))
    assert plan(found) == [(0, "hourly", []), (0, "zoned", [])]
    assert why(found, "hourly") == "the timer t is due at 2026-11-24T13:00:00Z (schedule 0 * * * *)"
    assert held(found) == {"lost": "invalid", "off": "disabled"}
    assert plan(ask(house, at=AT + timedelta(minutes=61, seconds=1))) == []


def test_an_instant_that_has_fired_is_known(house: House) -> None:
    timed(house, "hourly", "0 * * * *")
    timers = Timers(house.services)
    timers.tick()
    house.later(hours=1)
    timers.tick()
    found = ask(house, at=house.at)
    assert held(found) == {"hourly": "known"}
    assert why(found, "hourly") == "the timer t has fired for 2026-11-24T13:00:00Z: ca1"


def test_names_out_of_sight_are_in_no_note() -> None:
    found = Imagined(asked="x")
    found.note("about a", "a")
    found.note("about all")
    found.hold("a", Hold.CAP, "no")
    found.runs.append(Planned(task="b", level=0, waits_for=("a",), reason="yes"))
    shown = found.as_json(lambda task: task == "b")
    assert (shown["notes"], shown["held"], shown["runs"][0]["waitsFor"]) == (["about all"], [], [])
    assert image("top") == "reg.example.com/top:1"
