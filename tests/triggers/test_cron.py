"""Schedules fire as NCRONTAB says, and follow the clock on the wall in time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from taskengine.service.schedule import parse_schedule
from triggers.cron import between, next_after, zone_of

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", "2026-11-24 12:01"),
        ("0 21 * * *", "2026-11-24 21:00"),
        ("0 12 * * *", "2026-11-25 12:00"),
        ("*/20 * * * *", "2026-11-24 12:20"),
        ("5/20 * * * *", "2026-11-24 12:05"),
        ("0 9-17/4 * * *", "2026-11-24 13:00"),
        ("0 0 * * 0", "2026-11-29 00:00"),
        ("0 0 * * Sun", "2026-11-29 00:00"),
        ("0 0 1 JAN,mar *", "2027-01-01 00:00"),
        ("30 9 * * 1-5", "2026-11-25 09:30"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 29 2 0", "2032-02-29 00:00"),
        ("0 0 13 * fri", "2027-08-13 00:00"),
    ],
)
def test_a_schedule_fires_next(schedule: str, expected: str) -> None:
    assert next_after(schedule, AT) == at(expected)


def test_a_day_that_no_month_has_never_comes() -> None:
    assert next_after("0 0 30 2 mon", AT) is None


@pytest.mark.parametrize(
    "schedule", ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * 13 *", "x * * * *", "5-1 * * * *"]
)
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(InvalidInput):
        next_after(schedule, AT)


def test_a_time_that_the_clock_skips_fires_an_hour_later() -> None:
    berlin = zone_of("Europe/Berlin")
    found = list(between("30 2 * * *", at("2027-03-27 00:00"), at("2027-03-29 12:00"), berlin))
    assert found == [at("2027-03-27 01:30"), at("2027-03-28 01:30"), at("2027-03-29 00:30")]


def test_a_time_that_the_clock_shows_twice_fires_once() -> None:
    berlin = zone_of("Europe/Berlin")
    assert list(between("30 2 * * *", at("2026-10-24 12:00"), at("2026-10-25 12:00"), berlin)) == [
        at("2026-10-25 00:30")
    ]


def test_a_schedule_of_every_hour_fires_in_both_of_the_hours_that_are_the_same() -> None:
    berlin = zone_of("Europe/Berlin")
    found = list(between("0 * * * *", at("2026-10-24 23:30"), at("2026-10-25 03:30"), berlin))
    assert found == [at(f"2026-10-25 0{hour}:00") for hour in range(4)]


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="there is no time zone 'Mars/Base'"):
        zone_of("Mars/Base")
    with pytest.raises(InvalidInput):
        zone_of("../../etc/passwd")


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "*/7", "10-20", "59"]), st.sampled_from(["*", "2", "3", "*/5", "0", "23"]),
    st.sampled_from(["*", "1", "31", "*/9"]), st.sampled_from(["*", "3", "10,11"]), st.sampled_from(["*", "0", "1-5"]),
).map(" ".join)  # fmt: skip
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@settings(max_examples=60, deadline=None)
@given(FIELDS, ZONES, st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_grow_are_all_found_and_fit_the_schedule(text: str, name: str, begin: datetime) -> None:
    zone = zone_of(name)
    found = list(islice(between(text, begin, begin + timedelta(days=400), zone), 30))
    assert found == sorted(set(found))
    moment = begin
    for one in found[:5]:
        following = next_after(text, moment, zone)
        assert following == one
        moment = one
    schedule = parse_schedule(text)
    for one in found:
        local = one.astimezone(zone or UTC)
        assert local.minute in schedule.minutes or zone is not None  # Lord Howe's clock skips half an hour
