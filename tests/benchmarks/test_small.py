"""Each benchmark of the service and of triggers, with tiny numbers, so that it does not rot. No timing decides anything.

What they check themselves (that nothing is lost, that an answer is the right one) holds here, too.
"""

from __future__ import annotations

import pytest

from benchmarks import (
    service_history_bench,
    service_runs_bench,
    trigger_git_bench,
    trigger_image_bench,
    trigger_wave_bench,
    trigger_webhook_bench,
)

KINDS = ("SQLite", "PostgreSQL")
pytestmark = pytest.mark.timeout(600)


def test_a_history_is_multiplied_and_asked_about() -> None:
    found = service_history_bench.measure(count=60, times=2, only=KINDS)
    assert len(found) == 6
    assert all(kind in one.found for one in found for kind in KINDS)


def test_deliveries_are_sent_and_counted() -> None:
    found = {
        one.name: one.found for one in trigger_webhook_bench.measure(rate=50, count=5, seconds=0.3, only=KINDS[:1])
    }
    lost = next(said for name, said in found.items() if name.startswith("lost of"))
    events, runs = next((name.split()[2], said) for name, said in found.items() if name.startswith("runs of"))
    assert lost == "0"
    assert events == runs


def test_images_are_pushed_and_asked_about() -> None:
    pushed, asked, _ = trigger_image_bench.measure(pushes=1, images=12)
    assert pushed.target
    assert asked.found.startswith("24 / 24")


def test_a_wave_is_planned_and_each_of_its_runs_queued_once() -> None:
    found = trigger_wave_bench.measure(levels=(2, 3, 6, 8), only=KINDS)
    assert len(found) == 3
    assert all(kind in found[0].found for kind in KINDS)


@pytest.mark.engine
def test_runs_are_timed_from_their_turn_on() -> None:
    found = service_runs_bench.measure(count=3, alone=1, loop=1, lines=3, queued=3)
    assert len(found) == 12


@pytest.mark.engine
def test_a_push_is_followed_to_its_container() -> None:
    assert len(trigger_git_bench.measure(count=1)) == 3
