"""What a worker lets go of its engine's disk: its own runs' images, by age and in need; the cache, where it may."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runners.docker import buildcache
from runners.docker.connect import connect, find_endpoint
from runners.docker.housekeeping import Housekeeping, Rules
from runners.docker.imagebook import ImageBook
from taskengine.ambient import Ambient
from taskengine.errors import Unreachable
from tests.runners.docker.conftest import RunTask
from tests.support.engine import OwnEngine

DOCKERFILE = "FROM busybox:1\nRUN head -c {size} /dev/urandom > /blob{mark}\n"


@pytest.fixture
def own(fresh_engine: Callable[..., OwnEngine]) -> OwnEngine:
    return fresh_engine(registry=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    return tmp_path / "worker"


def house(engine: Any, folder: Path, *, days: float = 0, lacking: Callable[[], int] = lambda: 0, **rules: Any) -> Any:
    """The worker's housekeeping, so many days later."""
    later, clock = timedelta(days=days), Ambient.system().now
    api = connect(find_endpoint(engine.env))
    return Housekeeping(
        lambda: api, ImageBook(folder / "images.json", clock), Rules(**rules),
        now=lambda: clock() + later, lacking=lacking,
    )  # fmt: skip


def build(run_task: RunTask, engine: OwnEngine, folder: Path, tag: str, *, size: int = 1000, mark: str = "") -> None:
    context = folder.parent / "context"
    (context / "Dockerfile").write_text(DOCKERFILE.format(size=size, mark=mark))
    done = run_task(f"steps:\n  - build: {f'-t {tag}' if tag else ''} .\n", context=context, on=engine, worker=folder)
    assert done.status == "Succeeded", done.events[-1]


def pulled(run_task: RunTask, engine: OwnEngine, folder: Path) -> str:
    """An image that a run had to pull."""
    image = f"{engine.registry}/team/tool:1"
    engine.build_base(image, "FROM busybox:1\nENV a=b\n")
    engine.push(image, image)
    engine.api.remove_image(image)
    done = run_task(f"steps:\n  - cmd: {image} true\n", on=engine, worker=folder)
    assert done.status == "Succeeded", done.events[-1]
    return image


def gone(found: list[Any]) -> list[str]:
    return sorted(going.name for going in found)


def test_images_that_runs_brought_go_when_no_run_has_needed_them(
    run_task: RunTask, own: OwnEngine, folder: Path
) -> None:
    tool = pulled(run_task, own, folder)
    build(run_task, own, folder, "app:1")
    assert house(own, folder, days=29).tidy() == []
    later = house(own, folder, days=31)
    assert gone(later.plan()) == sorted(["app:1", tool])
    assert {"app:1", tool} <= own.images(), "a dry run removes nothing"
    assert gone(later.tidy()) == sorted(["app:1", tool])
    assert not {"app:1", tool} & own.images()
    assert "busybox:1" in own.images()
    assert later.plan() == later.tidy() == []


def test_what_was_there_before_stays_whatever_runs_do_with_it(run_task: RunTask, own: OwnEngine, folder: Path) -> None:
    own.build_base("app:1", "FROM busybox:1\nENV whose=theirs\n")
    build(run_task, own, folder, "app:1")
    assert run_task("steps:\n  - cmd: busybox:1 true\n", on=own, worker=folder).status == "Succeeded"
    assert house(own, folder, days=400).tidy() == []
    assert {"app:1", "busybox:1"} <= own.images()


def test_a_name_that_somebody_has_taken_since_is_theirs(run_task: RunTask, own: OwnEngine, folder: Path) -> None:
    build(run_task, own, folder, "app:1")
    built = own.api.inspect_image("app:1")["Id"]
    own.build_base("app:1", "FROM busybox:1\nENV whose=theirs\n")
    assert gone(house(own, folder, days=31).tidy()) == [built.removeprefix("sha256:")[:12]]
    assert "app:1" in own.images()


def test_an_image_that_was_built_again_leaves_no_nameless_one_behind(
    run_task: RunTask, own: OwnEngine, folder: Path
) -> None:
    for mark in ("a", "b"):
        build(run_task, own, folder, "app:1", mark=mark)
    build(run_task, own, folder, "", mark="c")
    before = len(own.api.images())
    assert len(house(own, folder, days=31).tidy()) == 3
    assert len(own.api.images()) == before - 3


def test_an_image_that_a_container_has_stays(run_task: RunTask, own: OwnEngine, folder: Path) -> None:
    build(run_task, own, folder, "app:1")
    made = own.api.create_container_from_config({"Image": "app:1", "Cmd": ["true"]})["Id"]
    later = house(own, folder, days=31)
    assert later.plan() == later.tidy() == []
    own.api.remove_container(made)
    assert gone(later.tidy()) == ["app:1"]


def test_a_short_disk_takes_what_was_not_used_for_an_hour_until_there_is_enough(
    run_task: RunTask, own: OwnEngine, folder: Path
) -> None:
    build(run_task, own, folder, "app:1", mark="a")
    build(run_task, own, folder, "app:2", mark="b")
    short = [1, 1, 0]  # the disk as it is looked at: short, short, and enough when one has gone
    assert house(own, folder, lacking=lambda: 1).tidy() == [], "what was just used may be about to be needed"
    needy = house(own, folder, days=0.1, lacking=lambda: short.pop(0) if len(short) > 1 else short[0])
    assert gone(needy.tidy()) == ["app:1"]
    assert gone(house(own, folder, days=0.1, lacking=lambda: 1).plan()) == ["app:2"]


def test_the_cache_of_an_engine_that_others_use_is_never_pruned(
    run_task: RunTask, own: OwnEngine, folder: Path
) -> None:
    build(run_task, own, folder, "app:1", size=4 << 20)
    own.api.remove_image("app:1")
    before = buildcache.size(own.api)
    assert before >= 4 << 20
    theirs = house(own, folder, cache_most=0, cache_least=0, lacking=lambda: 1 << 40)
    assert (theirs.plan(), theirs.tidy(), theirs.facts()["ownsEngine"]) == ([], [], False)
    assert buildcache.size(own.api) == before


def test_the_cache_of_its_own_engine_is_kept_under_its_ceiling(run_task: RunTask, own: OwnEngine, folder: Path) -> None:
    for mark in ("a", "b", "c"):
        build(run_task, own, folder, f"app:{mark}", size=4 << 20, mark=mark)
        own.api.remove_image(f"app:{mark}")
    assert house(own, folder, owns_engine=True, cache_most=1 << 30).tidy() == [], "there is room"
    ours = house(own, folder, owns_engine=True, cache_most=6 << 20, cache_least=0)
    (planned,) = ours.plan()
    assert buildcache.size(connect(find_endpoint(own.env))) == buildcache.size(own.api), "whichever client asks"
    assert (planned.kind, planned.size >= 6 << 20) == ("build cache", True)
    (done,) = ours.tidy()
    assert done.size >= 6 << 20
    assert "over its limit" in done.why
    facts = ours.facts()
    assert 0 < facts["cache"] <= 6 << 20
    assert facts["tidied"]["bytes"] == done.size
    assert ours.tidy() == []


def test_a_short_disk_takes_the_cache_down_to_its_floor(run_task: RunTask, own: OwnEngine, folder: Path) -> None:
    for mark in ("a", "b", "c"):
        build(run_task, own, folder, f"app:{mark}", size=4 << 20, mark=mark)
        own.api.remove_image(f"app:{mark}")
    rules = {"owns_engine": True, "cache_most": 1 << 30, "cache_least": 9 << 20}
    assert [going.kind for going in house(own, folder, lacking=lambda: 1, **rules).tidy()] == ["build cache"]
    left = buildcache.size(own.api)
    assert 4 << 20 <= left <= 9 << 20, "the newest stays"


def test_an_engine_that_is_gone_is_told(own: OwnEngine, folder: Path) -> None:
    theirs = house(own, folder, owns_engine=True)
    own.kill()
    for ask in (theirs.plan, theirs.tidy, theirs.facts):
        with pytest.raises(Unreachable, match="could not be tidied"):
            ask()
