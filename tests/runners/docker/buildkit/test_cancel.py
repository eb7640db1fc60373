"""Builds that are stopped, and engines that go away."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from runners.docker.buildkit import BuildCanceled, BuildFailed, BuildKit, BuildLost, BuildOutcome, Connection, dialer
from taskengine.errors import Unreachable
from taskengine.runner import Cancel
from tests.support.engine import Engine, OwnEngine

from .conftest import Site, Told, api_of, start_of

#: A number that no other test's sleep has, so that its process can be told from others on this machine.
SLEEP = f"1{os.getpid() % 100000:05d}.5"
LONG_RUN = f"FROM busybox\nRUN echo begun; exec sleep {SLEEP}\n"


def sleepers() -> int:
    """How many of our sleeping RUNs are alive: an engine in a network namespace shares our process table."""
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                count += SLEEP.encode() in (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
    return count


def eventually(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.02)
    return True


def start(site: Site, text: str = LONG_RUN, **request: Any) -> Future[BuildOutcome]:
    return start_of(site, text, **request)


@pytest.fixture
def broken(fresh_engine: Callable[..., OwnEngine], make_buildkit: Callable[[Engine], BuildKit], tmp_path: Path) -> Any:
    """A site on an engine that the test may kill."""
    engine = fresh_engine()
    folder = tmp_path / "context"
    folder.mkdir()
    site = Site(folder, make_buildkit(engine))
    site.told = Told()
    return site, engine


def test_a_canceled_build_ends_within_a_tenth_of_a_second_and_so_does_its_run(site: Site) -> None:
    cancel = Cancel()
    build = start(site, cancel=cancel)
    assert eventually(lambda: sleepers() > 0)
    begun = time.monotonic()
    cancel.set("enough")
    with pytest.raises(BuildCanceled, match="enough"):
        build.result(10)
    took = time.monotonic() - begun
    assert eventually(lambda: sleepers() == 0)
    assert took < 0.1 * float(os.environ.get("ACR_TASK_TEST_SLOWNESS", "5"))  # a tenth on a quiet machine


def test_a_build_that_was_canceled_before_never_starts(site: Site) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(BuildCanceled):
        site.build("FROM busybox\n", cancel=cancel)
    assert site.told.items == []


def test_a_canceled_build_leaves_no_listener_behind(site: Site) -> None:
    cancel = Cancel()
    site.build("FROM busybox\n", cancel=cancel)
    assert cancel._listeners == []


def test_other_builds_go_on_when_one_is_canceled(site: Site) -> None:
    cancel = Cancel()
    site.write("other", "FROM busybox\nRUN echo begun; sleep 1.5; echo finished\n")
    stopped = start(site, cancel=cancel)
    kept = start(site, "", file="other")
    cancel.set()
    with pytest.raises(BuildCanceled):
        stopped.result(10)
    assert kept.result(60).image_id


def test_a_deadline_ends_the_build(site: Site) -> None:
    with pytest.raises(BuildCanceled, match="longer than"):
        site.build(LONG_RUN, no_cache=True, deadline_s=1.5)
    assert eventually(lambda: sleepers() == 0)


def test_a_failure_is_no_loss(site: Site) -> None:
    with pytest.raises(BuildFailed):
        site.build("FROM busybox\nRUN echo no active session; exit 3\n", no_cache=True)


def test_an_engine_that_dies_in_the_middle_is_a_lost_build(broken: tuple[Site, OwnEngine]) -> None:
    site, engine = broken
    build = start(site)
    engine.kill()
    with pytest.raises(BuildLost):
        build.result(30)


def test_the_same_client_builds_again_once_the_engine_is_back(broken: tuple[Site, OwnEngine]) -> None:
    site, engine = broken
    site.build("FROM busybox\nRUN true\n")
    engine.restart()
    assert site.build("FROM busybox\nRUN echo again\n").image_id


class Cut:
    """Dials like the engine's own dialer, and can cut the sessions that it opened."""

    def __init__(self, engine: Engine) -> None:
        self._dial = dialer(api_of(engine))
        self.sessions: list[Connection] = []

    def __call__(self, path: str, headers: Any) -> Connection:
        connection = self._dial(path, headers)
        if path == "/session":
            self.sessions.append(connection)
        return connection


def test_a_lost_session_is_replaced_once(site: Site, engine: Engine) -> None:
    cut = Cut(engine)
    site.buildkit = BuildKit(cut)
    try:
        text = "FROM busybox\nRUN echo begun; sleep 1\nRUN --mount=type=secret,id=late cat /run/secrets/late\n"
        build = start(site, text, secrets={"late": b"got it"})
        cut.sessions[0].close()
        assert build.result(60).image_id
        assert "got it" in site.told.output()
        assert len(cut.sessions) == 2
    finally:
        site.buildkit.close()


def test_an_engine_that_is_not_there_is_unreachable() -> None:
    import docker

    api = docker.APIClient(base_url="unix:///nonexistent/docker.sock", version="1.41")
    buildkit = BuildKit(dialer(api))
    try:
        with pytest.raises(Unreachable):
            buildkit.available()
    finally:
        buildkit.close()


def test_nothing_is_left_after_close(
    site: Site, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        site.buildkit = BuildKit(dialer(api_of(engine)))
        site.build("FROM busybox\nCOPY Dockerfile /\n")
        with pytest.raises(BuildFailed):
            site.build("FROM busybox\nCOPY missing /\n")
        cancel = Cancel()
        build = start(site, cancel=cancel)
        cancel.set()
        with pytest.raises(BuildCanceled):
            build.result(10)
        site.buildkit.close()
        site.buildkit.close()
    assert eventually(lambda: set(threading.enumerate()) <= threads), set(threading.enumerate()) - threads
    assert [p.name for p in tmp_path.iterdir()] == ["context"]
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= files + 8)


def test_close_stops_a_build_that_still_runs(site: Site) -> None:
    build = start(site)
    site.buildkit.close()
    with pytest.raises(BuildCanceled, match="closed"):
        build.result(20)
    assert eventually(lambda: sleepers() == 0)
