"""Go's time layouts ("2006-01-02 15:04:05"), durations and zones, over aware datetimes.

Local time is UTC, so that a rendering does not depend on the machine. Must not know templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
_MAX_LAYOUT = 1000

_CHUNK = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1|2006|2|_(?=2006)|__2|_2|3|4|5|PM|pm"
    r"|-07:00:00|-070000|-07:00|-0700|-07|Z07:00:00|Z070000|Z07:00|Z0700|Z07|[.,](?:0+|9+)(?![0-9])"
)


@lru_cache(maxsize=128)
def _chunks(layout: str) -> tuple[tuple[str, bool], ...]:
    """The layout cut into (text, is a field)."""
    out: list[tuple[str, bool]] = []
    at = 0
    for match in _CHUNK.finditer(layout):
        if match.group() == "_":
            continue
        if match.start() > at:
            out.append((layout[at : match.start()], False))
        out.append((match.group(), True))
        at = match.end()
    if at < len(layout):
        out.append((layout[at:], False))
    return tuple(out)


def zone(name: str) -> tzinfo | None:
    """The zone of this name, UTC for Local; None if there is none."""
    if name in {"", "UTC", "Local"}:
        return UTC
    from zoneinfo import ZoneInfo

    if name.startswith(("/", "\\")) or ".." in name:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return None


def format_time(time: datetime, layout: str) -> str:
    if len(layout) > _MAX_LAYOUT:
        raise ValueError(f"the layout is longer than {_MAX_LAYOUT} characters")
    return "".join(_written(time, text) if field else text for text, field in _chunks(layout))


def time_string(time: datetime) -> str:
    """What Time.String gives."""
    return format_time(time, "2006-01-02 15:04:05.999999999 -0700 MST")


_FIELDS: dict[str, Callable[[datetime], str]] = {
    "2006": lambda time: f"{time.year:04d}",
    "06": lambda time: f"{time.year % 100:02d}",
    "01": lambda time: f"{time.month:02d}",
    "1": lambda time: str(time.month),
    "02": lambda time: f"{time.day:02d}",
    "_2": lambda time: f"{time.day:2d}",
    "2": lambda time: str(time.day),
    "002": lambda time: f"{time.timetuple().tm_yday:03d}",
    "__2": lambda time: f"{time.timetuple().tm_yday:3d}",
    "15": lambda time: f"{time.hour:02d}",
    "03": lambda time: f"{time.hour % 12 or 12:02d}",
    "3": lambda time: str(time.hour % 12 or 12),
    "04": lambda time: f"{time.minute:02d}",
    "4": lambda time: str(time.minute),
    "05": lambda time: f"{time.second:02d}",
    "5": lambda time: str(time.second),
    "PM": lambda time: "AM" if time.hour < 12 else "PM",
    "pm": lambda time: "am" if time.hour < 12 else "pm",
    "January": lambda time: MONTHS[time.month - 1],
    "Jan": lambda time: MONTHS[time.month - 1][:3],
    "Monday": lambda time: DAYS[time.isoweekday() % 7],
    "Mon": lambda time: DAYS[time.isoweekday() % 7][:3],
    "MST": lambda time: _zone_name(time),
}


def _written(time: datetime, field: str) -> str:
    write = _FIELDS.get(field)
    if write is not None:
        return write(time)
    return _fraction(time, field) if field[0] in ".," else _offset(time, field)


def _fraction(time: datetime, field: str) -> str:
    digits = f"{time.microsecond:06d}000"
    width = len(field) - 1
    digits = digits[:width].ljust(width, "0")
    if field[1] == "9":
        digits = digits.rstrip("0")
        return field[0] + digits if digits else ""
    return field[0] + digits


def _zone_name(time: datetime) -> str:
    name = time.tzname() or ""
    if name and not name.startswith("UTC") and name[0] not in "+-":
        return name
    offset = time.utcoffset() or timedelta()
    if not offset or name == "UTC":
        return "UTC"
    return _offset(time, "-07" if offset.total_seconds() % 3600 == 0 else "-0700")


def _offset(time: datetime, field: str) -> str:
    seconds = int((time.utcoffset() or timedelta()).total_seconds())
    if field[0] == "Z" and seconds == 0:
        return "Z"
    sign, rest = "-" if seconds < 0 else "+", abs(seconds)
    colon = ":" if ":" in field else ""
    out = f"{sign}{rest // 3600:02d}"
    if len(field) > 3:
        out += f"{colon}{rest // 60 % 60:02d}"
    return out + (f"{colon}{rest % 60:02d}" if len(field) > 6 else "")


# Parsing

_MONTH_NAMES = "|".join(MONTHS)
_SHORT_MONTHS = "|".join(month[:3] for month in MONTHS)
_PARSED = {
    "2006": r"(?P<{n}>\d{{4}})", "06": r"(?P<{n}>\d\d)", "01": r"(?P<{n}>\d\d)", "1": r"(?P<{n}>\d\d?)",
    "02": r"(?P<{n}>\d\d)", "2": r"(?P<{n}>\d\d?)", "_2": r"(?P<{n}> ?\d\d?)", "002": r"(?P<{n}>\d{{3}})",
    "__2": r"(?P<{n}> {{0,2}}\d{{1,3}})", "15": r"(?P<{n}>\d\d?)", "03": r"(?P<{n}>\d\d)", "3": r"(?P<{n}>\d\d?)",
    "04": r"(?P<{n}>\d\d)", "4": r"(?P<{n}>\d\d?)", "05": r"(?P<{n}>\d\d)(?:[.,](?P<{n}f>\d+))?",
    "5": r"(?P<{n}>\d\d?)(?:[.,](?P<{n}f>\d+))?", "PM": r"(?P<{n}>AM|PM)", "pm": r"(?P<{n}>am|pm)",
    "January": rf"(?P<{{n}}>(?i:{_MONTH_NAMES}))", "Jan": rf"(?P<{{n}}>(?i:{_SHORT_MONTHS}))",
    "Monday": rf"(?P<{{n}}>(?i:{'|'.join(DAYS)}))", "Mon": rf"(?P<{{n}}>(?i:{'|'.join(d[:3] for d in DAYS)}))",
    "MST": r"(?P<{n}>[A-Z]{{3,5}}|[+-]\d\d)",
}  # fmt: skip
_NAMES = {
    "2006": "year", "06": "short_year", "01": "month", "1": "month", "02": "day", "2": "day", "_2": "day",
    "002": "year_day", "__2": "year_day", "15": "hour", "03": "hour12", "3": "hour12", "04": "minute", "4": "minute",
    "05": "second", "5": "second", "PM": "half", "pm": "half", "January": "month_name", "Jan": "month_name",
    "MST": "zone",
}  # fmt: skip


def parse_time(layout: str, text: str) -> datetime | None:
    """The time that a text gives under a layout, in UTC unless it names an offset; None if it does not fit."""
    if max(len(layout), len(text)) > _MAX_LAYOUT:
        return None
    pattern, fields = _pattern(layout)
    match = re.fullmatch(pattern, text, re.ASCII)
    if match is None:
        return None
    found: dict[str, str] = {}
    for group, field in fields:
        value = match.group(group)
        if value is not None:
            found[field] = value
    try:
        return _assembled(found)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=64)
def _pattern(layout: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    out: list[str] = []
    fields: list[tuple[str, str]] = []
    chunks = _chunks(layout)
    for i, (text, is_field) in enumerate(chunks):
        if not is_field:
            # A run of spaces in the layout stands for any run of spaces.
            out.append(re.sub(r"(?:\\ )+", " *", re.escape(text)))
            continue
        group = f"g{i}"
        if text in _PARSED:
            part = _PARSED[text]
            if text in {"05", "5"}:
                if i + 1 < len(chunks) and chunks[i + 1][1] and chunks[i + 1][0][0] in ".,":
                    part = part.partition("(?:")[0]
                else:
                    fields.append((group + "f", "fraction"))
            out.append(part.format(n=group))
            fields.append((group, _NAMES.get(text, text)))
        elif text[0] in ".,":
            out.append(rf"[.,](?P<{group}>\d{{{len(text) - 1}}})" if text[1] == "0" else rf"(?:[.,](?P<{group}>\d+))?")
            fields.append((group, "fraction"))
        else:
            out.append(_offset_pattern(text).format(n=group))
            fields.append((group, "offset"))
    return "".join(out), tuple(fields)


def _offset_pattern(field: str) -> str:
    colon = ":" if ":" in field else ""
    body = r"[+-]\d\d" + (rf"{colon}\d\d" if len(field) > 3 else "") + (rf"{colon}\d\d" if len(field) > 6 else "")
    return rf"(?P<{{n}}>{body}|Z)" if field[0] == "Z" else rf"(?P<{{n}}>{body})"


def _assembled(found: dict[str, str]) -> datetime:
    year = int(found.get("year", 1 if "short_year" in found else 0))
    if "short_year" in found:
        year = int(found["short_year"])
        year += 1900 if year >= 69 else 2000
    month = int(found.get("month", 1))
    if "month_name" in found:
        month = next(i for i, name in enumerate(MONTHS, 1) if name[:3].lower() == found["month_name"][:3].lower())
    hour = int(found.get("hour", 0))
    if "hour12" in found:
        hour = int(found["hour12"])
        if hour > 12:
            raise ValueError("hour out of range")
    if "half" in found:
        hour = hour % 12 + (12 if found["half"].upper() == "PM" else 0) if hour <= 12 else hour
    fraction = int((found.get("fraction", "") + "000000")[:6])
    # Go's year 0 has no datetime; layouts without a year are used for the time of day only.
    time = datetime(
        year or 1, month, int(found.get("day", 1)), hour, int(found.get("minute", 0)), int(found.get("second", 0)),
        fraction, tzinfo=_offset_zone(found.get("offset", "")),
    )  # fmt: skip
    if "year_day" in found:
        dated = datetime(year or 1, 1, 1, tzinfo=time.tzinfo) + timedelta(days=int(found["year_day"]) - 1)
        time = time.replace(month=dated.month, day=dated.day)
    return time


def _offset_zone(text: str) -> tzinfo:
    digits = text.strip("+-Z").replace(":", "")
    if not digits:
        return UTC
    seconds = int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + int(digits[4:6] or 0)
    return timezone(timedelta(seconds=-seconds if text[0] == "-" else seconds)) if seconds else UTC


# Durations, in nanoseconds

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_TERM = re.compile(r"([0-9]{0,30})(?:\.([0-9]{0,30}))?(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> int | None:
    """time.ParseDuration; None for what it refuses."""
    body = text[1:] if text[:1] in {"+", "-"} else text
    if body == "0":
        return 0
    total, at = 0, 0
    while at < len(body):
        match = _TERM.match(body, at)
        if match is None or not (match.group(1) or match.group(2)):
            return None
        unit = _UNITS[match.group(3)]
        total += int(match.group(1) or 0) * unit
        if match.group(2):
            total += int(match.group(2)) * unit // 10 ** len(match.group(2))
        at = match.end()
    if not body or total >= 2**63:
        return None
    return -total if text.startswith("-") else total


def duration_string(nanoseconds: int) -> str:
    """time.Duration's String: 1h2m3.5s, 1.5ms, 0s."""
    sign, rest = "-" if nanoseconds < 0 else "", abs(nanoseconds)
    if rest == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, seconds = divmod(rest, 60 * 10**9)
    out = f"{_decimal(seconds, 10**9)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        out = (f"{hours}h" if hours else "") + f"{minutes}m" + out
    return sign + out


def _decimal(number: int, size: int) -> str:
    whole, rest = divmod(number, size)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).rjust(len(str(size)) - 1, '0').rstrip('0')}"


def shifted(time: datetime, nanoseconds: int) -> datetime:
    """A time moved by a duration; datetimes end at microseconds."""
    moved = time.astimezone(UTC) + timedelta(microseconds=nanoseconds // 1000)
    return moved.astimezone(time.tzinfo)


def nanoseconds_between(later: datetime, earlier: datetime) -> int:
    span = later - earlier
    return ((span.days * 86400 + span.seconds) * 10**6 + span.microseconds) * 1000
