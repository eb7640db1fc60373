"""Every test that asks for `harness` runs once for each runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.contracts.harness import Harness, NoopHarness

HARNESSES: dict[str, Callable[[], Harness]] = {"noop": NoopHarness}


@pytest.fixture(params=sorted(HARNESSES))
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = HARNESSES[request.param]()
    yield made
    made.close()
