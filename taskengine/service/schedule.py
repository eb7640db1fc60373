"""Five-field cron schedules, as timers have them: minute, hour, day of month, month, day of week. Pure.

Lists, ranges, steps, names of months and weekdays; 0 and 7 are Sunday. When a schedule fires is said by
`triggers/cron.py`. Must not know tasks or the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskengine.errors import InvalidInput

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: n for n, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 7, {name: n for n, name in enumerate(_WEEKDAYS)}),
)
#: the most days that each month can have
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The values at which a timer fires. Weekdays count from 0, Sunday. `any_day` and `any_weekday` say that the field
    was not restricted."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool


def parse_schedule(text: str) -> Schedule:
    """A schedule. Raises InvalidInput for what is none, and for one that never fires."""
    words = text.split()
    if len(words) != len(_FIELDS):
        raise InvalidInput(
            f"the schedule '{text}' has {len(words)} fields instead of 5",
            hint="write minute, hour, day of month, month and day of week, such as '0 21 * * *'",
        )
    found = [_field(word, *field) for word, field in zip(words, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = found
    schedule = Schedule(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        any_day=words[2].startswith("*"),
        any_weekday=words[4].startswith("*"),
    )
    if schedule.any_weekday and min(days) > max(_DAYS[month - 1] for month in months):
        raise InvalidInput(f"the schedule '{text}' never fires", hint="no such month has that day")
    return schedule


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, 1, high, {}) if slash else 1
        if span == "*":
            first, last = low, high
        else:
            begin, dash, end = span.partition("-")
            first = _number(begin, name, low, high, names)
            last = _number(end, name, low, high, names) if dash else (high if slash else first)
        if first > last:
            raise InvalidInput(f"'{part}' for the {name} ends before it begins", hint=f"write {last}-{first}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and low <= int(text) <= high):
        raise InvalidInput(
            f"'{text}' is no {name} of a schedule", hint=f"it is a number from {low} to {high}, or * for every one"
        )
    return int(text)
