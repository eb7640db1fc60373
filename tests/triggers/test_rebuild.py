"""From a new base image to the runs that it leads to: each once, parents first, and for every other task the reason."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from taskengine.runs.model import RunStatus
from taskengine.service.model import RunRequest, RunType
from taskengine.service.store import ledger, queue, runs, tasks, waves
from taskengine.service.store.database import Database
from tests.service.api.support import inline
from tests.service.support import BOX
from tests.triggers.wavehouse import ALPINE, AT, House, digest, image
from triggers.imagechange import Seen
from triggers.processor import process_due
from triggers.wavekeeper import keep


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return House(database, tmp_path)


def test_every_dependent_of_a_diamond_is_run_once_after_its_parents(house: House) -> None:
    house.diamond()
    event = house.change(ALPINE, "1", "2")
    house.work()
    assert house.tasks_run() == ["top"]
    assert house.event(event) == ("queued", "wave 1: 4 tasks in 3 levels")
    assert house.outcomes(event)["left"] == ("waiting", "", "wave 1: waits for top")
    house.end("ca1", "top=2")
    house.work()
    assert house.tasks_run() == ["top", "left", "right"]
    house.end("ca2", "left=2")
    house.work()
    assert house.tasks_run() == ["top", "left", "right"]
    house.end("ca3", "right=2")
    house.work()
    assert house.tasks_run() == ["top", "left", "right", "bottom"]
    assert house.wave().state == "open"
    house.end("ca4", "bottom=2")
    house.work()
    assert house.wave().state == "over"
    assert set(house.states().values()) == {"changed"}
    assert {task: run for task, (_, run, _) in house.outcomes(event).items()} == {
        "top": "ca1", "left": "ca2", "right": "ca3", "bottom": "ca4",
    }  # fmt: skip


def test_each_run_carries_its_exact_chain_of_causes(house: House) -> None:
    house.diamond()
    event = house.change(ALPINE, "1", "2")
    house.work()
    for run, pushed in (("ca1", "top=2"), ("ca2", "left=2"), ("ca3", "right=2")):
        house.end(run, pushed)
        house.work()
    top, left, _, bottom = house.runs()
    alpine = {"registry": "docker.io", "repository": "library/alpine", "tag": "3", "digest": digest("2")}
    stamp = "2026-11-24T12:00:00Z"

    def made(name: str) -> dict[str, str]:
        return {"registry": "reg.example.com", "repository": name, "tag": "1", "digest": digest("2")}

    def ran(task: str, run: str) -> dict[str, Any]:
        return {"kind": "wave", "wave": 1, "task": task, "run": run, "images": [made(task)]}

    root = {"kind": "imageUpdate", "event": event, "wave": 1, "at": AT.isoformat(), "images": [alpine]}
    assert top.cause == (
        {
            "kind": "imageUpdate", "event": event, "wave": 1,
            "imageUpdateTrigger": {"id": "wave-1-top", "timestamp": stamp, "images": [alpine]},
        },
    )  # fmt: skip
    assert left.cause[0]["imageUpdateTrigger"]["images"] == [made("top")]
    assert left.cause[0]["runs"] == ["ca1"]
    assert left.cause[1:] == (ran("top", "ca1"), root)
    assert bottom.cause[0]["imageUpdateTrigger"]["images"] == [made("left"), made("right"), made("top")]
    assert bottom.cause[0]["runs"] == ["ca2", "ca3", "ca1"]
    assert bottom.cause[1:] == (ran("left", "ca2"), ran("right", "ca3"), ran("top", "ca1"), root)
    assert bottom.spec["triggered_by"] == "Image Update"
    assert bottom.owner == "ann"


def test_an_unchanged_result_stops_the_wave_and_says_so(house: House) -> None:
    house.diamond()
    house.change(ALPINE, "1", "2")
    house.work()
    house.end("ca1", "top=2")
    for run in ("ca2", "ca3"):
        house.work()
        house.end(run, "left=2" if run == "ca2" else "right=2")
    house.work()
    house.end("ca4", "bottom=2")
    house.work()
    event = house.change(ALPINE, "2", "3")
    house.work()
    house.end("ca5", "top=2")
    house.work()
    assert len(house.runs()) == 5
    assert house.states(2) == {"top": "unchanged", "left": "stopped", "right": "stopped", "bottom": "stopped"}
    assert house.wave(2).state == "over"
    assert house.outcomes(event)["bottom"] == ("ignored", "", "wave 2: nothing that it stands on has changed")


def test_a_tag_of_its_own_for_each_run_is_no_change_for_children(house: House) -> None:
    house.task("base", ALPINE)
    house.task("app", "base")
    for number, content in ((1, "2"), (2, "2")):
        house.change(ALPINE, str(number), str(number + 1))
        house.work()
        newest = house.runs()[-1].id
        house.end(newest, f"base={content}", f"reg.example.com/base:{newest}={content}")
        house.work()
        if number == 1:
            house.end(house.runs()[-1].id, "app=2")
            house.work()
    assert house.tasks_run() == ["base", "app", "base"]


def test_only_children_of_the_image_that_changed_are_rebuilt(house: House) -> None:
    house.task("base", ALPINE, makes=["slim", "full"])
    house.task("a", "slim")
    house.task("b", "full")
    house.change(ALPINE, "1", "2")
    house.work()
    house.end("ca1", "slim=1", "full=1")
    house.work()
    for run in ("ca2", "ca3"):
        house.end(run)
    house.work()
    house.change(ALPINE, "2", "3")
    house.work()
    house.end("ca4", "slim=1", "full=2")
    house.work()
    assert house.tasks_run()[4:] == ["b"]
    assert house.states(2) == {"base": "changed", "a": "stopped", "b": "started"}


def test_a_failed_parent_stops_its_children_and_is_named(house: House) -> None:
    house.diamond()
    event = house.change(ALPINE, "1", "2")
    house.work()
    house.end("ca1", status=RunStatus.FAILED, message="step build: it broke")
    house.work()
    assert house.outcomes(event)["left"][2] == "wave 1: top failed, so that what it stands on is as before"
    with house.database.read() as conn:
        assert waves.members(conn, 1)[0].reason == "ca1 ended as Failed: step build: it broke"
    assert house.wave().state == "over"


def test_what_is_no_news_starts_nothing_and_says_why(house: House) -> None:
    house.task("amd", ALPINE)
    house.task("arm", ALPINE, platform="linux/arm64")
    house.task("maker", ALPINE, makes=[ALPINE])
    old = Seen(digest=digest("i1"), platforms={"linux/amd64": digest("a1"), "linux/arm64": digest("b1")})
    new = Seen(digest=digest("i2"), platforms={"linux/amd64": digest("a1"), "linux/arm64": digest("b2")})
    event = house.change(ALPINE, old, new)
    house.work()
    assert house.tasks_run() == ["arm"]
    assert house.outcomes(event) == {
        "arm": ("queued", "ca1", "wave 1"),
        "amd": ("ignored", "", "only other platforms changed: linux/arm64"),
        "maker": ("ignored", "", "it makes the image itself"),
    }


def test_a_change_that_concerns_nobody_opens_no_wave(house: House) -> None:
    house.task("web", ALPINE)
    old = Seen(digest=digest("i1"), platforms={"linux/amd64": digest("a1"), "linux/arm64": digest("b1")})
    new = Seen(digest=digest("i2"), platforms={"linux/amd64": digest("a1"), "linux/arm64": digest("b2")})
    first, second = house.change(ALPINE, old, new), house.change("nobody", "1", "2")
    house.work()
    assert house.event(first) == ("ignored", "only other platforms changed: linux/arm64")
    assert house.event(second) == ("ignored", "no task that it may start stands on it")
    assert house.count_waves() == 0


def test_a_task_whose_trigger_is_off_is_left_alone(house: House) -> None:
    house.task("off", ALPINE, watching=False)
    event = house.change(ALPINE, "1", "2")
    house.work()
    assert house.event(event)[0] == "ignored"


def test_a_run_that_used_the_new_image_before_it_was_noticed_is_not_repeated(house: House) -> None:
    house.task("web", ALPINE, used=digest("2"))
    event = house.change(ALPINE, "1", "2")
    house.work()
    assert house.event(event) == ("ignored", "its last run used this very image already")


def test_what_a_run_used_counts_only_when_no_other_run_is_under_way(house: House) -> None:
    house.task("web", ALPINE, used=digest("2"))
    with house.database.write() as conn:
        request = RunRequest(type=RunType.AUTO_RUN, spec={"text": "steps: []"}, owner="ann", task="web")
        queue.enqueue(conn, request, now=house.at, box=BOX)
    house.begin("ca1")
    house.change(ALPINE, "1", "2")
    house.work()
    assert house.tasks_run() == ["web", "web"]


def test_an_image_seen_for_the_first_time_is_compared_with_what_the_last_run_used(house: House) -> None:
    used = {"used": digest("i1"), "platform_used": digest("a1")}
    house.task("old", ALPINE, **used)
    house.task("new", ALPINE)
    event = house.change(ALPINE, None, Seen(digest=digest("i2"), platforms={"linux/amd64": digest("a2")}))
    house.work()
    assert house.tasks_run() == ["old"]
    assert house.outcomes(event)["new"][2] == "the image was seen for the first time"


def test_what_a_wave_pushes_itself_opens_no_other(house: House) -> None:
    house.diamond()
    house.change(ALPINE, "1", "2")
    house.work()
    house.begin("ca1")
    house.end("ca1", "top=2")
    early = house.change("top", "1", "2", source="own")
    house.work()
    late = house.change("top", "1", "2", source="poll")
    for run in ("ca2", "ca3"):
        house.end(run, "left=2" if run == "ca2" else "right=2")
    house.work()
    house.end("ca4")
    house.work()
    found = house.change("left", "1", "2", source="poll")
    house.work()
    assert [house.event(one) for one in (early, late, found)] == [("ignored", "wave 1 made it and sees to it")] * 3
    assert house.count_waves() == 1
    assert len(house.runs()) == 4


def test_a_push_of_a_stranger_meanwhile_waits_for_the_run_that_makes_the_image(house: House) -> None:
    house.diamond()
    house.change(ALPINE, "1", "2")
    house.work()
    house.begin("ca1")
    event = house.change("top", "1", "stranger")
    house.work()
    assert house.event(event) == ("received", "waits for ca1, which makes it in wave 1")
    house.end("ca1", status=RunStatus.FAILED)
    house.work()  # the end of the run wakes it
    assert house.event(event)[1] == "wave 2: 3 tasks in 2 levels"
    assert house.tasks_run() == ["top", "left", "right"]


def test_a_stranger_who_pushes_after_a_wave_has_made_the_image_starts_the_next(house: House) -> None:
    house.task("top", ALPINE)
    house.task("app", "top")
    house.change(ALPINE, "1", "2")
    house.work()
    house.end("ca1", "top=2")
    house.work()
    house.end("ca2", "app=2")
    house.settled("app", "top", used="2")
    house.work()
    event = house.change("top", "2", "stranger")
    house.work()
    assert house.event(event)[1] == "wave 2: 1 task"
    house.end("ca3", "app=3")
    house.settled("app", "top", used="stranger")
    back = house.change("top", "stranger", "2")  # a tag that is put back to what the wave had made
    house.work()
    assert house.event(back)[1] == "wave 3: 1 task"


def test_a_further_change_is_taken_in_while_nothing_that_it_concerns_has_begun(house: House) -> None:
    house.task("a", ALPINE)
    house.task("b", "a", "docker.io/library/debian:12")
    house.task("c", "docker.io/library/debian:12")
    house.change(ALPINE, "1", "2")
    house.work()
    house.begin("ca1")
    house.later(minutes=2)
    event = house.change("docker.io/library/debian:12", "1", "2")
    house.work()
    assert house.event(event) == ("queued", "taken into wave 1: 2 tasks")
    assert house.tasks_run() == ["a", "c"]
    house.end("ca1", "a=1")
    house.work()
    assert house.tasks_run() == ["a", "c", "b"]
    assert house.count_waves() == 1
    (trigger,) = [run.cause[0]["imageUpdateTrigger"] for run in house.runs() if run.task == "b"]
    assert [one["repository"] for one in trigger["images"]] == ["library/debian", "a"]


def test_the_same_image_again_reaches_a_run_that_has_not_begun(house: House) -> None:
    house.task("a", ALPINE)
    house.task("b", "a")
    first = house.change(ALPINE, "1", "2")
    house.work()
    second = house.change(ALPINE, "2", "3")
    house.work()
    (run,) = house.runs()
    assert house.event(second)[1] == "taken into wave 1: 2 tasks"
    assert [one["event"] for one in run.cause] == [second, first]
    assert run.cause[0]["imageUpdateTrigger"]["images"][0]["digest"] == digest("3")
    assert house.outcomes(second)["a"] == ("queued", "ca1", "ca1 of wave 1 has not begun, and sees it")


def test_a_change_after_a_run_has_begun_is_a_wave_of_its_own(house: House) -> None:
    house.task("a", ALPINE)
    house.change(ALPINE, "1", "2")
    house.work()
    house.begin("ca1")
    house.change(ALPINE, "2", "3")
    house.work()
    assert house.tasks_run() == ["a", "a"]
    assert house.count_waves() == 2


def test_changes_that_waited_together_are_one(house: House) -> None:
    house.task("a", ALPINE)
    first, second = house.change(ALPINE, "1", "2"), house.change(ALPINE, "2", "3")
    house.work()
    (run,) = house.runs()
    assert run.cause[0]["imageUpdateTrigger"]["images"][0]["digest"] == digest("3")
    assert house.event(first)[1] == "wave 1: 1 task"
    assert house.event(second) == ("ignored", "wave 1 sees to it")


def test_a_tag_that_goes_back_and_forth_is_followed_each_time(house: House) -> None:
    house.task("a", ALPINE)
    for number, (before, after) in enumerate((("1", "2"), ("2", "1"), ("1", "2")), start=1):
        house.change(ALPINE, before, after)
        house.work()
        house.begin(f"ca{number}")
        house.end(f"ca{number}")
        house.settled("a", ALPINE, used=after)
        house.work()
        house.later(seconds=1)
    assert house.tasks_run() == ["a", "a", "a"]


def test_a_storm_is_stopped_said_and_made_up_for_when_the_hour_is_over(house: House) -> None:
    house.task("a", ALPINE)
    for number in range(1, 7):
        house.change(ALPINE, str(number), str(number + 1))
        house.work()
        house.begin(f"ca{number}")
    event = house.change(ALPINE, "7", "8")
    house.work()
    assert len(house.runs()) == 6
    state, reason = house.event(event)
    assert (state, "taken for a storm: again from 2026-11-24T13:00:00Z on" in reason) == ("received", True)
    house.later(minutes=61)
    house.work()
    assert house.event(event)[0] == "queued"
    assert len(house.runs()) == 7


def test_a_task_that_is_gone_or_disabled_at_its_turn_is_left_out(house: House) -> None:
    house.diamond()
    event = house.change(ALPINE, "1", "2")
    house.work()
    with house.database.write() as conn:
        tasks.delete(conn, "left")
        tasks.replace(conn, "right", inline("right"), now=house.at, enabled=False)
    house.end("ca1", "top=2")
    house.work()
    assert house.outcomes(event)["left"][0] == "ignored"
    assert house.outcomes(event)["right"][2] == "wave 1: the task right is disabled"
    assert house.tasks_run() == ["top", "bottom"]  # which stands on top, too


def test_a_task_that_cannot_be_read_any_more_fails_alone(house: House) -> None:
    house.task("good", ALPINE)
    house.task("bad", ALPINE, document=inline("bad", text="version: v1.1.0\nsteps:\n  - nothing: at all\n"))
    event = house.change(ALPINE, "1", "2")
    house.work()
    assert house.tasks_run() == ["good"]
    assert house.outcomes(event)["bad"][0] == "failed"


def test_a_bug_that_one_task_shows_holds_up_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from triggers import wavekeeper

    real = wavekeeper.of_task

    def broken(task: Any, *rest: Any) -> Any:
        if task.name == "b":
            raise ZeroDivisionError
        return real(task, *rest)

    monkeypatch.setattr(wavekeeper, "of_task", broken)
    for name in "abc":
        house.task(name, ALPINE)
    event = house.change(ALPINE, "1", "2")
    house.work()
    assert house.tasks_run() == ["a", "c"]
    assert house.outcomes(event)["b"][2].endswith("failed unexpectedly: ZeroDivisionError")


def test_a_run_that_vanished_does_not_hold_its_wave_open(house: House) -> None:
    house.task("a", ALPINE)
    house.change(ALPINE, "1", "2")
    house.work()
    with house.database.write() as conn:
        from taskengine.service.store.tables import runs as table

        conn.execute(table.delete())
    house.work()
    assert (house.wave().state, house.states()) == ("over", {"a": "failed"})


def test_tasks_that_stand_on_each_other_are_run_once(house: House) -> None:
    house.task("a", ALPINE, "b")
    house.task("b", "a")
    house.change(ALPINE, "1", "2")
    house.work()
    house.end("ca1", "a=2")
    house.settled("a", "b", used="1")
    house.work()
    house.end("ca2", "b=2")
    house.work()
    event = house.change("b", "1", "2", source="own")
    house.work()
    assert house.event(event) == ("ignored", "wave 1 made it and sees to it")
    assert house.tasks_run() == ["a", "b"]


def test_a_replayed_event_starts_its_wave_again(house: House) -> None:
    house.task("a", ALPINE)
    event = house.change(ALPINE, "1", "2")
    house.work()
    house.begin("ca1")
    house.end("ca1")
    house.settled("a", ALPINE, used="2")
    house.work()
    with house.database.write() as conn:
        ledger.replay(conn, event, now=house.at)
    house.work()
    assert house.tasks_run() == ["a", "a"]


def test_two_services_on_one_database_queue_each_run_once(house: House) -> None:
    for number in range(30):
        house.task(f"t{number:02}", ALPINE)
    house.change(ALPINE, "1", "2")
    errors: list[BaseException] = []
    gate = threading.Barrier(2)

    def serve(services: Any) -> None:
        try:
            gate.wait(30)
            for _ in range(5):
                process_due(services)
                keep(services)
        except BaseException as error:  # noqa: BLE001 - whatever it is
            errors.append(error)

    threads = [threading.Thread(target=serve, args=(house.another(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    house.work()
    assert sorted(house.tasks_run()) == [f"t{number:02}" for number in range(30)]
    assert image("x")  # the graph's names are full ones
    with house.database.read() as conn:
        assert len(runs.page(conn, top=100).runs) == 30


def test_a_task_to_which_a_change_is_no_news_may_have_a_place_in_its_wave_by_another_way(house: House) -> None:
    house.task("top", ALPINE)
    house.task("arm", "top", ALPINE, platform="linux/arm64")
    before = Seen(digest=digest("1"), platforms={"linux/amd64": digest("a"), "linux/arm64": digest("b")})
    after = Seen(digest=digest("2"), platforms={"linux/amd64": digest("c"), "linux/arm64": digest("b")})
    event = house.change(ALPINE, before, after)
    house.work()
    assert house.event(event) == ("queued", "wave 1: 2 tasks in 2 levels")
    assert house.outcomes(event)["arm"] == ("waiting", "", "wave 1: waits for top")
    house.end("ca1", "top=2")
    house.work()
    assert house.tasks_run() == ["top", "arm"]
