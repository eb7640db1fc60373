"""The methods of time.Time that templates call: {{ now.Year }}, {{ (toDate "2006" "1999").Format "06" }}."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from taskengine.template.budget import Env
from taskengine.template.gotime import (
    DAYS,
    MONTHS,
    ZERO_TIME,
    duration_string,
    format_time,
    nanoseconds_between,
    saturated,
    shifted,
    time_literal,
    time_string,
    year_of,
)
from taskengine.template.value import Int64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Month(int):
    go_type: ClassVar[str] = "time.Month"
    go_kind: ClassVar[str] = "int"

    def go_string(self) -> str:
        return MONTHS[self - 1]


class Weekday(int):
    go_type: ClassVar[str] = "time.Weekday"
    go_kind: ClassVar[str] = "int"

    def go_string(self) -> str:
        return DAYS[self]


class Duration(Int64):
    go_type: ClassVar[str] = "time.Duration"
    go_kind: ClassVar[str] = "int64"

    def go_string(self) -> str:
        return duration_string(int(self))


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _is_dst(_env: Env, time: datetime) -> bool:
    return bool(time.dst())


def _add_date(_env: Env, time: datetime, years: int, months: int, days: int) -> datetime:
    month = time.month - 1 + months
    year, month = time.year + years + month // 12, month % 12 + 1
    # A day that the month does not have runs over into the next one.
    start = time.replace(year=year, month=month, day=1)
    return start + timedelta(days=time.day - 1 + days)


def _unix(scale: int) -> Callable[[Env, datetime], Int64]:
    return lambda _env, time: Int64(nanoseconds_between(time, _EPOCH) // scale)


def _rounded(_env: Env, time: datetime, step: int) -> datetime:
    since = nanoseconds_between(time, ZERO_TIME)
    return time if step <= 0 else shifted(time, (since + step // 2) // step * step - since)


def _truncated(_env: Env, time: datetime, step: int) -> datetime:
    return time if step <= 0 else shifted(time, -(nanoseconds_between(time, ZERO_TIME) % step))


METHODS: dict[str, tuple[str, Callable[..., Any]]] = {
    "Year": ("", lambda _env, time: year_of(time)),
    "Month": ("", lambda _env, time: Month(time.month)),
    "Day": ("", lambda _env, time: time.day),
    "Hour": ("", lambda _env, time: time.hour),
    "Minute": ("", lambda _env, time: time.minute),
    "Second": ("", lambda _env, time: time.second),
    "Nanosecond": ("", lambda _env, time: time.microsecond * 1000),
    "YearDay": ("", lambda _env, time: time.timetuple().tm_yday),
    "Weekday": ("", lambda _env, time: Weekday(time.isoweekday() % 7)),
    "Unix": ("", _unix(10**9)),
    "UnixMilli": ("", _unix(10**6)),
    "UnixMicro": ("", _unix(10**3)),
    "UnixNano": ("", _unix(1)),
    "UTC": ("", lambda _env, time: time.astimezone(UTC)),
    "Local": ("", lambda _env, time: time.astimezone(UTC)),
    "Format": ("s", lambda _env, time, layout: format_time(time, layout)),
    "GoString": ("", lambda _env, time: time_literal(time)),
    "IsDST": ("", _is_dst),
    "String": ("", lambda _env, time: time_string(time)),
    "AddDate": ("iii", _add_date),
    "Add": ("d", lambda _env, time, step: shifted(time, int(step))),
    "Sub": ("t", lambda _env, time, other: Duration(saturated(nanoseconds_between(time, other)))),
    "Before": ("t", lambda _env, time, other: nanoseconds_between(time, other) < 0),
    "After": ("t", lambda _env, time, other: nanoseconds_between(time, other) > 0),
    "Equal": ("t", lambda _env, time, other: nanoseconds_between(time, other) == 0),
    "Compare": ("t", lambda _env, time, other: (time > other) - (nanoseconds_between(time, other) < 0)),
    "IsZero": ("", lambda _env, time: nanoseconds_between(time, ZERO_TIME) == 0),
    "Round": ("d", _rounded),
    "Truncate": ("d", _truncated),
}
_STRING: dict[str, tuple[str, Callable[..., Any]]] = {"String": ("", lambda _env, value: value.go_string())}


def _parts(size: int) -> tuple[str, Callable[..., Any]]:
    return "", lambda _env, span: float(int(span) // size) + int(span) % size / size


def _units(size: int) -> tuple[str, Callable[..., Any]]:
    # Go divides toward zero.
    return "", lambda _env, span: Int64(abs(span) // size * _sign(span))


_SPAN: dict[str, tuple[str, Callable[..., Any]]] = {
    **_STRING,
    "Hours": _parts(3600 * 10**9),
    "Minutes": _parts(60 * 10**9),
    "Seconds": _parts(10**9),
    "Milliseconds": _units(10**6),
    "Microseconds": _units(10**3),
    "Nanoseconds": _units(1),
}


def methods_of(value: Any) -> dict[str, tuple[str, Callable[..., Any]]]:
    """What templates may call on a time or on what its methods give."""
    if isinstance(value, datetime):
        return METHODS
    if isinstance(value, Duration):
        return _SPAN
    return _STRING if isinstance(value, Month | Weekday) else {}
