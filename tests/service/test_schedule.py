"""Cron schedules, as timers have them."""

from __future__ import annotations

import pytest

from taskengine.errors import InvalidInput
from taskengine.service.schedule import parse_schedule


def test_fields_are_lists_ranges_steps_and_names() -> None:
    found = parse_schedule("*/20 8-10,20 1,15 jan-mar MON-FRI")
    assert sorted(found.minutes) == [0, 20, 40]
    assert sorted(found.hours) == [8, 9, 10, 20]
    assert sorted(found.days) == [1, 15]
    assert sorted(found.months) == [1, 2, 3]
    assert sorted(found.weekdays) == [1, 2, 3, 4, 5]
    assert not found.any_day
    assert not found.any_weekday


def test_sunday_is_nought_and_seven() -> None:
    assert parse_schedule("0 0 * * 7").weekdays == parse_schedule("0 0 * * 0").weekdays == {0}


def test_a_step_from_a_number_goes_to_the_end() -> None:
    assert sorted(parse_schedule("0 20/2 * * *").hours) == [20, 22]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("0 21 * *", "4 fields"),
        ("0 0 21 * * *", "6 fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of week"),
        ("5-1 * * * *", "ends before it begins"),
        ("*/0 * * * *", "minute"),
        ("a * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("٣ * * * *", "minute"),
        ("0 0 31 2,4 *", "never fires"),
    ],
)
def test_what_is_no_schedule_is_told_with_its_field(text: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        parse_schedule(text)


def test_a_day_that_one_of_the_months_has_is_enough() -> None:
    parse_schedule("0 0 31 2,3 *")
