"""Duties: none waits for another, and one that fails goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskengine.service.duty import Duties, Duty
from taskengine.service.settings import ServerSettings
from tests.service.api.support import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path, ServerSettings())
    yield made
    made.close()


def test_a_duty_that_hangs_stops_no_other(api: Api) -> None:
    hanging, released, ran = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        released.wait(30)

    def run() -> None:
        if hanging.is_set():
            ran.set()

    with Duties(api.services, Duty("hang", 60.0, hang), Duty("run", 0.01, run)):
        assert ran.wait(20)
        released.set()


def test_a_duty_that_fails_is_tried_again(api: Api) -> None:
    tries: list[int] = []
    again = threading.Event()

    def fail() -> None:
        tries.append(1)
        if len(tries) > 1:
            again.set()
        raise RuntimeError("not today")

    with Duties(api.services, Duty("fail", 0.01, fail)):
        assert again.wait(20)


def test_a_duty_with_a_topic_works_when_it_is_told_and_goes_on_while_there_is_some(api: Api) -> None:
    left, idle, done = [0], threading.Event(), threading.Event()

    def work() -> bool:
        if not left[0]:
            idle.set()
            return False
        left[0] -= 1
        if not left[0]:
            done.set()
        return True

    with Duties(api.services, Duty("told", 3600.0, work, topic="news")):
        assert idle.wait(20)
        left[0] = 3
        api.services.bell.tell("news")
        assert done.wait(20)


def test_a_duty_with_a_topic_ends_with_the_service_and_does_not_spin_until_then(api: Api) -> None:
    times: list[int] = []
    twice = threading.Event()

    def work() -> bool:
        times.append(1)
        if len(times) == 2:
            twice.set()
        return False

    with Duties(api.services, Duty("told", 3600.0, work, topic="news")):
        api.services.bell.close()
        twice.wait(0.2)  # the wait for what is told ends when the bell closes
    assert len(times) <= 2
