"""A commit and a new base image of one task: one run while none of them has begun, two when one has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskengine.service.model import Run, RunRequest
from taskengine.service.store import ledger, queue, takeover
from taskengine.service.store.database import Database
from taskengine.service.submission import Asked, Overrides, of_task
from tests.service.api.support import inline
from tests.service.support import BOX
from tests.triggers.wavehouse import ALPINE, House
from triggers import coalesce
from triggers.processor import cause_of, overrides_of
from triggers.sourcecontrol.model import Kind, SourceEvent

URL = "https://git.example.com/team/web"
COMMIT = "c" * 40


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    made = House(database, tmp_path)
    document = inline("web")
    document["step"]["contextPath"] = f"{URL}#main:app"
    made.task("web", ALPINE, document=document)
    return made


def commit(house: House, **facts: Any) -> tuple[Run, bool]:
    """A commit that the task wants, as the processor queues it."""
    event = SourceEvent(
        **{
            "kind": Kind.PUSH, "provider": "Github", "repositories": (URL,), "ref": "refs/heads/main",
            "branch": "main", "commit": COMMIT, "delivery": "d1",
        }
        | facts
    )  # fmt: skip
    with house.database.write() as conn:
        number = ledger.record(conn, source="github", task="web", headers={}, body=b"{}", now=house.at)[0].number
        ledger.settle(conn, number, "queued", "", now=house.at)
        from taskengine.service.store import tasks

        task = tasks.get(conn, "web")
        asked = Asked(owner=task.owner, now=house.at, cause=(cause_of(number, event),))
        request, _ = of_task(task, {}, overrides_of(task, event), asked, house.services.settings)
        return coalesce.enqueue(house.services, conn, request, now=house.at)


def kinds(run: Run) -> list[str]:
    return [str(one["kind"]) for one in run.cause]


def test_a_waiting_run_of_a_commit_takes_the_new_image_over(house: House) -> None:
    commit(house)
    event = house.change(ALPINE, "1", "2")
    house.work()
    (run,) = house.runs()
    assert kinds(run) == ["imageUpdate", "push"]
    assert run.spec["context"] == f"{URL}#{COMMIT}:app"
    assert house.states() == {"web": "started"}
    assert house.outcomes(event)["web"] == ("queued", "ca1", "wave 1: ca1 had not begun and takes the cause over")
    house.end("ca1", "web=2")
    house.work()
    assert house.wave().state == "over"


def test_a_waiting_run_of_a_new_image_builds_the_commit_that_comes(house: House) -> None:
    house.change(ALPINE, "1", "2")
    house.work()
    run, new = commit(house)
    assert (run.id, new) == ("ca1", False)
    (run,) = house.runs()
    assert kinds(run) == ["push", "imageUpdate"]
    assert (run.spec["context"], run.spec["commit"]) == (f"{URL}#{COMMIT}:app", COMMIT)
    assert run.spec["triggered_by"] == "Git Commit"


def test_a_run_that_has_begun_takes_nothing_over(house: House) -> None:
    commit(house)
    house.begin("ca1")
    house.change(ALPINE, "1", "2")
    house.work()
    assert [kinds(run) for run in house.runs()] == [["push"], ["imageUpdate"]]
    house.begin("ca2")
    assert commit(house, commit="d" * 40)[1]


def test_a_second_commit_is_a_run_of_its_own(house: House) -> None:
    house.change(ALPINE, "1", "2")
    house.work()
    commit(house)
    assert commit(house, commit="d" * 40)[1]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": Kind.PULL_REQUEST, "ref": "refs/pull/1/head", "number": "1"},
        {"kind": Kind.TAG, "ref": "refs/tags/v1", "branch": "", "tag": "v1"},
        {"branch": "feature", "ref": "refs/heads/feature"},
    ],
    ids=["pull request", "tag", "other branch"],
)
def test_what_builds_something_else_is_left_alone(house: House, other: dict[str, Any]) -> None:
    commit(house, **other)
    house.change(ALPINE, "1", "2")
    house.work()
    assert len(house.runs()) == 2
    assert commit(house, **other)[1]


def test_a_run_by_hand_with_a_value_of_its_own_is_left_alone(house: House) -> None:
    from taskengine.service.store import tasks

    with house.database.write() as conn:
        task = tasks.get(conn, "web")
        asked = Asked.by_hand("ann", house.at, "")
        request, _ = of_task(task, {}, Overrides(), asked, house.services.settings)
        queue.enqueue(conn, request, now=house.at, box=BOX)
    house.change(ALPINE, "1", "2")
    house.work()
    assert len(house.runs()) == 2


def test_a_run_whose_time_has_not_come_is_left_alone(house: House) -> None:
    from datetime import timedelta

    from taskengine.service.store import tasks

    with house.database.write() as conn:
        task = tasks.get(conn, "web")
        asked = Asked(owner="ann", now=house.at, cause=({"kind": "timer"},))
        request, _ = of_task(task, {}, Overrides(), asked, house.services.settings)
        queue.enqueue(conn, replace(request, not_before=house.at + timedelta(hours=1)), now=house.at, box=BOX)
    house.change(ALPINE, "1", "2")
    house.work()
    assert len(house.runs()) == 2


@pytest.mark.parametrize(
    ("exact", "usual", "same"),
    [
        ({"context": "u#main"}, {"context": "u#main"}, True),
        ({"context": "u#c1:a", "commit": "c1", "branch": "main"}, {"context": "u#main:a"}, True),
        ({"context": "u#c1", "commit": "c1", "branch": "main"}, {"context": "u"}, True),
        ({"context": "u#c1", "commit": "c1", "branch": "dev"}, {"context": "u"}, False),
        ({"context": "u#c1:b", "commit": "c1", "branch": "main"}, {"context": "u#main:a"}, False),
        ({"context": "v#c1", "commit": "c1", "branch": "main"}, {"context": "u#main"}, False),
        ({"context": "u#v1"}, {"context": "u#main"}, False),
        ({"context": "u", "git_tag": "v1"}, {"context": "u"}, False),
        ({"context": "u", "set": ["a=1"]}, {"context": "u", "set": ["a=2"]}, False),
        ({"context": "u", "date": "1", "triggered_by": "x"}, {"context": "u", "date": "2"}, True),
    ],
)
def test_what_the_same_build_is(exact: dict[str, Any], usual: dict[str, Any], same: bool) -> None:
    assert coalesce.same_build(exact, usual) is same


def test_of_a_crowd_that_waits_only_the_newest_are_looked_at(house: House) -> None:
    made = [commit(house, commit=f"{number:040x}", delivery=f"d{number}")[0] for number in range(1, 16)]
    with house.database.write() as conn:
        request = request_like(made[0])
        found = takeover.waiting_like(conn, request, now=house.at)
    assert [run.id for run in found] == [run.id for run in reversed(made[-10:])]


def request_like(run: Run) -> RunRequest:
    """A request whose turn would come as that of the run."""
    return RunRequest(
        type=run.type, spec=run.spec, owner=run.owner, task=run.task, group=run.group, pool=run.pool, labels=run.labels
    )
