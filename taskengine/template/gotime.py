"""Go's time layouts ("2006-01-02 15:04:05"), durations and zones, over aware datetimes.

Local time is UTC, so that a rendering does not depend on the machine. Must not know templates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from taskengine.lightpattern import pattern

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)
MAX_LAYOUT = 1000

# Go's year 0 has no datetime; the calendar of the year 400 is the same.
YEAR_ZERO = 400
_SHIFTED_DAYS = 146_097


class EarlyTime(datetime):
    """A time that counts from the year 0, as layouts without a year give it: 400 years before what it says."""

    go_type = "time.Time"
    go_kind = "struct"


def year_of(time: datetime) -> int:
    return time.year - YEAR_ZERO if isinstance(time, EarlyTime) else time.year


_CHUNK = pattern(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1|2006|2|_(?=2006)|__2|_2|3|4|5|PM|pm"
    r"|-07:00:00|-070000|-07:00|-0700|-07|Z07:00:00|Z070000|Z07:00|Z0700|Z07|[.,](?:0+|9+)(?![0-9])"
)


@lru_cache(maxsize=128)
def chunks(layout: str) -> tuple[tuple[str, bool], ...]:
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
    if len(layout) > MAX_LAYOUT:
        raise ValueError(f"the layout is longer than {MAX_LAYOUT} characters")
    return "".join(_written(time, text) if field else text for text, field in chunks(layout))


def time_string(time: datetime) -> str:
    """What Time.String gives."""
    return format_time(time, "2006-01-02 15:04:05.999999999 -0700 MST")


def time_literal(time: datetime) -> str:
    """What Time.GoString gives: Go source that makes this time."""
    place = "UTC" if _zone_name(time) == "UTC" else "Local"
    clock = f"{time.hour}, {time.minute}, {time.second}, {time.microsecond * 1000}"
    return f"time.Date({year_of(time)}, time.{MONTHS[time.month - 1]}, {time.day}, {clock}, time.{place})"


_FIELDS: dict[str, Callable[[datetime], str]] = {
    "2006": lambda time: f"{year_of(time):04d}",
    "06": lambda time: f"{year_of(time) % 100:02d}",
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
    name = time.tzname() or "UTC"
    # What Python makes up for an offset without a name; Go writes the offset.
    return _offset(time, "-0700") if name.startswith("UTC") and name != "UTC" else name


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


# Durations, in nanoseconds

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_TERM = pattern(r"([0-9]{0,30})(?:\.([0-9]{0,30}))?(ns|us|µs|μs|ms|s|m|h)")


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
    days = span.days + _SHIFTED_DAYS * (isinstance(earlier, EarlyTime) - isinstance(later, EarlyTime))
    return ((days * 86400 + span.seconds) * 10**6 + span.microseconds) * 1000


def saturated(nanoseconds: int) -> int:
    """A difference of times as a duration: what is too long for 64 bits becomes the longest there is."""
    return max(-(2**63), min(nanoseconds, 2**63 - 1))
