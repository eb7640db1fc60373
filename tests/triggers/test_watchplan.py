"""When an image is checked, and what a registry's limit leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from taskengine.registry.ratelimit import RateLimit
from taskengine.registry.reference import ImageReference
from triggers.imagechange import Seen
from triggers.watchplan import (
    Budget,
    Pace,
    Rules,
    WatchedImage,
    after_check,
    after_failure,
    after_notice,
    interval,
    plan,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = Rules()
ONE, TWO = Seen(digest="sha256:" + "1" * 64), Seen(digest="sha256:" + "2" * 64)


def image(name: str = "r.example.com/a:1", **facts: object) -> WatchedImage:
    return replace(WatchedImage(image=ImageReference.parse(name)), **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(("hours", "minutes"), [(0, 10), (4, 10), (12, 30), (24, 60), (1000, 60)])
def test_an_image_is_asked_about_less_the_longer_it_stays_the_same(hours: int, minutes: int) -> None:
    assert interval(image(changed=NOW - timedelta(hours=hours)), NOW, RULES) == minutes * MINUTE


def test_a_registry_may_be_asked_more_often() -> None:
    rules = Rules(paces={"r.example.com": Pace(shortest=MINUTE, longest=2 * MINUTE)})
    assert interval(image(changed=NOW - timedelta(days=9)), NOW, rules) == 2 * MINUTE
    assert interval(image("other.example.com/a:1", changed=NOW - timedelta(days=9)), NOW, rules) == 60 * MINUTE


def test_a_registry_whose_notifications_work_is_asked_rarely() -> None:
    told = after_notice(image(seen=ONE), NOW)
    assert told.due == NOW
    assert interval(after_check(told, TWO, NOW, RULES), NOW, RULES) == timedelta(hours=6)


def test_a_change_that_was_not_told_ends_the_trust_in_notifications() -> None:
    told = after_check(after_notice(image(seen=ONE), NOW), TWO, NOW, RULES)
    later = NOW + timedelta(hours=7)
    found = after_check(told, ONE, later, RULES)
    assert interval(found, later, RULES) == 10 * MINUTE


def test_a_check_notes_what_it_saw_and_when_the_next_is_due() -> None:
    state = after_check(image(seen=ONE, failures=3, error="no"), TWO, NOW, RULES)
    assert (state.seen, state.checked, state.changed, state.failures, state.error) == (TWO, NOW, NOW, 0, "")
    assert state.due is not None
    assert 9 * MINUTE <= state.due - NOW <= 11 * MINUTE


def test_the_same_content_is_no_change() -> None:
    before = NOW - timedelta(days=1)
    assert after_check(image(seen=ONE, changed=before), ONE, NOW, RULES).changed == before


def test_checks_of_many_images_spread() -> None:
    dues = {after_check(image(f"r.example.com/a{i}:1"), ONE, NOW, RULES).due for i in range(100)}
    assert len(dues) == 100


def test_failures_are_asked_again_later_and_later_and_keep_what_was_seen() -> None:
    state, waits = image(seen=ONE), []
    for _ in range(40):
        state = after_failure(state, "it hangs", NOW, RULES)
        assert state.due is not None
        waits.append(state.due - NOW)
    assert waits[0] < 3 * MINUTE < waits[1] < 5 * MINUTE < waits[2]
    assert max(waits) <= timedelta(hours=6) * 1.1
    assert (state.seen, state.error, state.failures) == (ONE, "it hangs", 40)


def test_what_is_due_is_checked_oldest_first_and_the_rest_says_when() -> None:
    states = [
        image("r.example.com/late:1", due=NOW + MINUTE),
        image("r.example.com/b:1", due=NOW),
        image("r.example.com/a:1", due=NOW - MINUTE),
        image("r.example.com/new:1"),
    ]
    turn = plan(states, {}, NOW, RULES)
    assert [str(one.image.path) for one in turn.checks["r.example.com"]] == ["new", "a", "b"]
    assert (turn.wake, turn.held) == (NOW + MINUTE, {})


def test_nothing_to_do_is_a_plan_too() -> None:
    turn = plan([], {}, NOW, RULES)
    assert (turn.checks, turn.wake) == ({}, None)


def budget(remaining: int, limit: int = 100, reset: int | None = 600) -> Budget:
    return Budget(limit=RateLimit(limit=limit, remaining=remaining, reset=reset), said=NOW)


@pytest.mark.parametrize(("remaining", "checks"), [(100, 20), (60, 10), (51, 1), (50, 0), (0, 0)])
def test_half_of_a_limit_is_left_for_builds(remaining: int, checks: int) -> None:
    states = [image(f"r.example.com/a{i}:1", due=NOW) for i in range(20)] + [image("free.example.com/a:1")]
    turn = plan(states, {"r.example.com": budget(remaining)}, NOW, RULES)
    assert len(turn.checks.get("r.example.com", ())) == checks
    assert len(turn.checks["free.example.com"]) == 1
    if checks < 20:
        assert turn.held["r.example.com"] == (
            f"{20 - checks} checks wait for the registry's limit, of which 50% is kept for builds, "
            "until 2026-01-02T03:14:05Z"
        )
        assert turn.wake == NOW + 10 * MINUTE


def test_a_limit_is_over_when_it_resets() -> None:
    assert budget(0).allows(NOW + 10 * MINUTE, RULES) is None
    assert budget(0, reset=None).allows(NOW + 10 * MINUTE, RULES) == 0
    assert Budget().allows(NOW, RULES) is None


def test_a_turn_is_bounded_and_goes_on_at_once() -> None:
    turn = plan([image(f"r.example.com/a{i}:1", due=NOW) for i in range(5)], {}, NOW, RULES, most=3)
    assert (len(turn.checks["r.example.com"]), turn.wake, turn.held) == (3, NOW, {})
