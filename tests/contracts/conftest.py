"""Every test that asks for `harness` runs once for each runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contracts.harness import DockerHarness, Harness, NoopHarness


def _noop(_: pytest.FixtureRequest) -> Harness:
    return NoopHarness()


def _docker(request: pytest.FixtureRequest) -> Harness:
    folder: Path = request.getfixturevalue("tmp_path")
    return DockerHarness(request.getfixturevalue("engine"), folder)


HARNESSES: dict[str, Callable[[pytest.FixtureRequest], Harness]] = {"docker": _docker, "noop": _noop}


@pytest.fixture(params=[pytest.param("docker", marks=pytest.mark.engine), "noop"])
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = HARNESSES[request.param](request)
    yield made
    made.close()
