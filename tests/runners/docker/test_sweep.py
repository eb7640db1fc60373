"""Cleaning up after a run, when the engine does not do as it is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, DockerException

from runners.docker import sweep
from runners.docker.connect import Endpoint
from runners.docker.journal import Journal
from runners.docker.sweep import sweep_dead_runs, sweep_run
from taskengine.errors import Unreachable


class Stubborn:
    """An engine that knows of one container, one network and one volume, and removes none of them."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": "c" * 64, "Labels": {}, "Mounts": []}]

    def networks(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": "n", "Name": "net"}]

    def volumes(self, **_: Any) -> dict[str, Any]:
        return {"Volumes": [{"Name": "vol"}]}

    def _fail(self, *_: Any, **__: Any) -> None:
        raise self._error

    remove_container = remove_network = remove_volume = _fail


@pytest.mark.parametrize(
    "error",
    [requests.ReadTimeout("slow"), ConnectionError("gone"), requests.ConnectionError("x"), DockerException("odd")],
)
def test_what_could_not_be_removed_is_named(error: Exception) -> None:
    left = sweep_run(Stubborn(error), "r1")  # type: ignore[arg-type]
    assert sorted(line.partition(":")[0] for line in left) == ["container cccccccccccc", "network net", "volume vol"]


def test_an_engine_that_is_away_is_told_of_once_and_left_in_peace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def connect(endpoint: Endpoint, *, patience: float) -> None:
        asked.append(patience)
        raise Unreachable("away")

    monkeypatch.setattr(sweep, "connect", connect)
    for run in ("sweep-r1", "sweep-r2"):
        journal = Journal(tmp_path, run, Endpoint(host="tcp://away:1"))
        journal.open()
        journal.abandon()
        journal.temp_dir.rmdir()
    told: list[str] = []
    assert sweep_dead_runs(tmp_path, told.append) == ()
    assert sweep_dead_runs(tmp_path, told.append) == ()
    assert asked == [1.0]
    assert len(told) == 1
    assert " and 1 more on tcp://away:1, which does not answer" in told[0]
    for stamp in tmp_path.glob("*.tried"):
        os.utime(stamp, (0, stamp.stat().st_mtime - 601))
    sweep_dead_runs(tmp_path)
    assert asked == [1.0, 1.0]


def test_what_was_removed_leaves_no_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty(Stubborn):
        def containers(self, **_: Any) -> list[dict[str, Any]]:
            return []

        networks = containers

        def volumes(self, **_: Any) -> dict[str, Any]:
            return {}

        def close(self) -> None:
            pass

    journal = Journal(tmp_path, "sweep-r3", Endpoint(host="tcp://back:1"))
    journal.open()
    journal.abandon()
    (tmp_path / "sweep-r3.tried").touch()
    os.utime(tmp_path / "sweep-r3.tried", (0, 0))
    monkeypatch.setattr(sweep, "connect", lambda endpoint, patience: Empty(OSError()))
    assert sweep_dead_runs(tmp_path) == ("sweep-r3",)
    assert list(tmp_path.iterdir()) == []


class Busy(Stubborn):
    """An engine whose network is still held for a moment by a container that somebody else is removing."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.removed: list[str] = []

    def volumes(self, **_: Any) -> dict[str, Any]:
        return {"Volumes": None}

    def remove_container(self, *_: Any, **__: Any) -> None:
        raise APIError("409 Conflict", None, "removal of container c is already in progress")

    def remove_network(self, network: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise APIError("403 Forbidden", None, "error while removing network: network net has active endpoints")
        self.removed.append(network)


def test_a_network_that_is_still_held_for_a_moment_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("runners.docker.sweep.time.sleep", pauses.append)
    engine = Busy(refusals=2)
    assert sweep_run(engine, "r1") == ()  # type: ignore[arg-type]
    assert (engine.removed, len(pauses)) == (["n"], 2)


def test_a_network_that_stays_held_is_told_of_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.docker.sweep.time.sleep", lambda _: None)
    (left,) = sweep_run(Busy(refusals=99), "r1")  # type: ignore[arg-type]
    assert "active endpoints" in left
