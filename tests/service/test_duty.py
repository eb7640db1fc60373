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
