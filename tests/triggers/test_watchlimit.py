"""The poller and registries that name limits: the reserve for builds stays, and "too many requests" is a rest for all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from taskengine.ambient import Ambient
from taskengine.registry.client import RegistryClient
from taskengine.registry.limits import Limits
from taskengine.registry.mediatype import OCI_MANIFEST
from taskengine.registry.reference import ImageReference
from tests.registry.fake import Asked, Fake, Say
from triggers.watch import Checked, Poller
from triggers.watchplan import Rules, WatchedImage

START = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "1" * 64


class Clock:
    now = START

    def ambient(self) -> Ambient:
        return Ambient(now=lambda: self.now, monotonic=lambda: 0.0, new_id=lambda: "r1")


def head(**headers: str) -> Say:
    more = {"Content_Type": OCI_MANIFEST, "Docker_Content_Digest": DIGEST, "Content_Length": "2"}
    return Say(body=b"{}", headers={**more, **headers})


def images(server: Fake, count: int) -> list[WatchedImage]:
    return [WatchedImage(image=ImageReference.parse(f"{server.name}/a{i}:1")) for i in range(count)]


def turn(server: Fake, clock: Clock, count: int, turns: int = 1) -> tuple[list[list[Checked]], Poller]:
    found: list[list[Checked]] = []
    with RegistryClient(limits=Limits(tries=1)) as client:
        poller = Poller(client, Rules(), clock.ambient())
        for _ in range(turns):
            told: list[Checked] = []
            poller.turn(images(server, count), told.append)
            found.append(told)
    return found, poller


def test_checks_stop_where_the_reserve_for_builds_begins() -> None:
    left = [100]

    def answer(_: Asked) -> Say:
        left[0] -= 10
        return head(RateLimit_Limit="100;w=3600", RateLimit_Remaining=f"{left[0]};w=3600")

    server, clock = Fake(answer), Clock()
    try:
        (first, second), _ = turn(server, clock, 20, turns=2)
    finally:
        server.close()
    assert (len(first), len(second), left[0]) == (5, 0, 50)


@pytest.mark.parametrize(("header", "seconds"), [({"Retry_After": "3600"}, 3600), ({}, 600)])
def test_too_many_requests_are_a_rest_for_the_whole_registry(header: dict[str, str], seconds: int) -> None:
    server, clock = Fake(lambda _: Say.error(429, "TOOMANYREQUESTS", "slow down", **header)), Clock()
    try:
        ((one,),), poller = turn(server, clock, 20)
    finally:
        server.close()
    assert (one.after.failures, one.is_news) == (1, False)
    assert one.after.error
    (budget,) = poller.budgets.values()
    assert budget.resets() == START + timedelta(seconds=seconds)
    assert budget.allows(START, Rules()) == 0
