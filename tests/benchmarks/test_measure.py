"""What benchmarks count with. No timing decides anything here."""

from __future__ import annotations

import pytest

from benchmarks.measure import Figure, figures, megabytes, percentile, shown
from benchmarks.run import PARTS
from benchmarks.service_runs_bench import turns_of


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [([1], 0.5, 1), ([3, 1, 2], 0.5, 2), (range(1, 101), 0.95, 95), (range(1, 101), 0.99, 99), ([1, 2], 0.0, 1)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], part: float, expected: float) -> None:
    assert percentile(list(values), part) == expected


def test_a_turn_is_when_a_run_is_queued_and_a_place_is_free() -> None:
    created = [0.0, 0.0, 0.0, 0.0, 50.0]
    started = [1.0, 2.0, 11.0, 21.0, 51.0]
    finished = [10.0, 20.0, 30.0, 40.0, 60.0]
    assert turns_of(created, started, finished, 2) == [0.0, 0.0, 10.0, 20.0, 50.0]


def test_a_turn_does_not_depend_on_the_order_in_which_runs_are_told() -> None:
    assert turns_of([0.0, 0.0, 0.0], [11.0, 0.5, 0.6], [12.0, 10.0, 20.0], 2) == [10.0, 0.0, 0.0]


def test_figures_are_a_table_for_people() -> None:
    text = figures([Figure(name="a", found=shown(0.0123), target="< 1 s"), Figure(name="b", found=megabytes(2.5e6))])
    assert text.splitlines()[2:] == ["| a | 12 ms | < 1 s |", "| b | 2 MB | - |"]


def test_each_part_has_a_title_of_its_own() -> None:
    assert len({part.title for part in PARTS.values()}) == len(PARTS)
