"""When a timer's schedule fires. Pure: moments in, moments out; parsing is `taskengine/service/schedule.py`.

As NCRONTAB, which ACR uses: a day must fit both day of month and day of week. (Unix cron takes either.)

In a time zone with daylight saving time, a schedule follows the clock on the wall:

- A time that the clock skips in spring fires an hour later, as if nobody had changed the clock; where the schedule has
  that later time too, once.
- A time that the clock shows twice in autumn fires at the first of both, but for schedules of every hour
  (`*/15 * * * *`), which fire at both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from taskengine.errors import InvalidInput
from taskengine.service.schedule import Schedule, parse_schedule

_DAY = timedelta(days=1)
#: the 29th of February on a given weekday may be 40 years away
_HORIZON = 41 * 366


def zone_of(name: str) -> ZoneInfo | None:
    """The time zone of an IANA name; None stands for UTC. Raises InvalidInput."""
    if name.upper() in ("", "UTC", "ETC/UTC"):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(f"there is no time zone '{name[:80]}'", hint="write one as Europe/Berlin") from error


def next_after(schedule: Schedule | str, moment: datetime, zone: ZoneInfo | None = None) -> datetime | None:
    """The first time after `moment` (aware) at which the schedule fires, in UTC; None when it never does. Raises
    InvalidInput for a text that is no schedule."""
    return next(_after(_parsed(schedule), moment, zone), None)


def between(
    schedule: Schedule | str, begin: datetime, end: datetime, zone: ZoneInfo | None = None
) -> Iterator[datetime]:
    """All times after `begin` up to and with `end`, in order, in UTC. Raises InvalidInput as `next_after` does."""
    for moment in _after(_parsed(schedule), begin, zone):
        if moment > end:
            return
        yield moment


def _parsed(schedule: Schedule | str) -> Schedule:
    return parse_schedule(schedule) if isinstance(schedule, str) else schedule


def _after(schedule: Schedule, moment: datetime, zone: ZoneInfo | None) -> Iterator[datetime]:
    """Every time after `moment`. A day's times wait for the next day's: what is skipped at midnight moves there."""
    try:
        day = moment.astimezone(zone or UTC).date() - _DAY
    except OverflowError:
        day = moment.date()
    held: list[datetime] = []
    silent = 0
    while silent < _HORIZON:
        silent += 1
        found = _times_of(day, schedule, zone) if _is_due(day, schedule) else []
        if found or held:
            ready = sorted({*held, *found})
            edge = datetime(day.year, day.month, day.day, tzinfo=zone or UTC).astimezone(UTC) if not found else found[0]
            for one in ready:
                if one <= edge and one > moment:
                    silent = 0
                    yield one
            held = [one for one in ready if one > edge]
        try:
            day += _DAY
        except OverflowError:
            break
    yield from (one for one in held if one > moment)


def _is_due(day: date, schedule: Schedule) -> bool:
    return day.month in schedule.months and day.day in schedule.days and day.isoweekday() % 7 in schedule.weekdays


def _times_of(day: date, schedule: Schedule, zone: ZoneInfo | None) -> list[datetime]:
    """The times of one day, in order."""
    both = len(schedule.hours) == 24
    found: set[datetime] = set()
    for hour in schedule.hours:
        for minute in schedule.minutes:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone or UTC)
            found.add(local.astimezone(UTC))
            if both and zone is not None and local.astimezone(UTC).astimezone(zone) == local:
                found.add(local.replace(fold=1).astimezone(UTC))
    return sorted(found)
