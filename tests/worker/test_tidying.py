"""When a worker tidies up, and what it says of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from taskengine.errors import Unreachable
from taskengine.worker.tidying import Tidying


@dataclass(frozen=True)
class Gone:
    kind: str
    name: str
    why: str
    size: int


class House:
    """Has something to remove each time, or is away."""

    def __init__(self) -> None:
        self.times = threading.Semaphore(0)
        self.away = False

    def tidy(self) -> list[Any]:
        self.times.release()
        if self.away:
            raise Unreachable("the engine could not be tidied: it does not answer")
        return [Gone("image", "base:1", "no run has needed it for 30 days", 3 << 20), Gone("build cache", "", "x", 99)]

    def facts(self) -> Mapping[str, Any]:
        return {"cache": 7}


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def tidying(house: House, said: list[str]) -> Iterator[Tidying]:
    made = Tidying(house, said.append, every=3600, in_need=3600)
    made.begin()
    assert house.times.acquire(timeout=10)
    yield made
    made.end()


def test_what_goes_is_told_with_its_reason(tidying: Tidying, said: list[str]) -> None:
    tidying.end()
    assert said == [
        "removed image base:1 (3 MiB): no run has needed it for 30 days",
        "removed build cache (99 B): x",
    ]
    assert tidying.facts == {"cache": 7}


def test_a_disk_that_becomes_short_is_seen_to_at_once_and_only_then(tidying: Tidying, house: House) -> None:
    tidying.room(is_short=False)
    assert not house.times.acquire(timeout=0.05)
    tidying.room(is_short=True)
    assert house.times.acquire(timeout=10)
    tidying.room(is_short=True)  # it is being seen to, at its pace
    assert not house.times.acquire(timeout=0.05)


def test_a_failure_is_told_once_and_again_after_it_went_well(house: House, said: list[str]) -> None:
    tidying = Tidying(house, said.append)
    house.away = True
    tidying.once()
    tidying.once()
    assert said == ["the engine could not be tidied: it does not answer"]
    house.away = False
    tidying.once()
    house.away = True
    tidying.once()
    assert said.count("the engine could not be tidied: it does not answer") == 2
