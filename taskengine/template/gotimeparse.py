"""Reads a time by one of Go's layouts, field by field from left to right as time.Parse does.

Must not know templates, nor how times are written."""

from __future__ import annotations

from calendar import isleap, monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import accumulate

from taskengine.lightpattern import pattern
from taskengine.template.gotime import DAYS, MAX_LAYOUT, MONTHS, YEAR_ZERO, EarlyTime, chunks

_ZONE_OFFSET = pattern(r"[+-]([0-9]{1,9})")
_SIGNED_HOURS = 23


class _Unfit(Exception):
    """The text does not fit the layout, or a number in it is out of range."""


def parse_time(layout: str, text: str) -> datetime | None:
    """The time that a text gives under a layout, in UTC unless it names an offset or a zone; None if it is wrong."""
    if max(len(layout), len(text)) > MAX_LAYOUT:
        return None
    try:
        return _Reader(text).read(chunks(layout))
    except (_Unfit, ValueError, OverflowError):
        return None


def _in_range(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise _Unfit
    return number


class _Reader:
    """The rest of the text, and what has been read."""

    def __init__(self, text: str) -> None:
        self._rest = text
        self._year = 0
        self._month = self._day = self._year_day = -1
        self._hour = self._minute = self._second = self._microsecond = 0
        self._half = ""
        self._zone: tzinfo | None = None
        self._zone_name = ""

    def read(self, layout: tuple[tuple[str, bool], ...]) -> datetime:
        for i, (text, is_field) in enumerate(layout):
            if not is_field:
                self._skip(text)
            elif text[0] in ".,":
                self._fraction(text)
            elif text in _READ:
                _READ[text](self, text)
                if text in {"5", "05"}:
                    following = next((later for later, field in layout[i + 1 :] if field), "x")
                    self._unasked_fraction(following)
            else:
                self._offset(text)
        if self._rest:
            raise _Unfit
        return self._assembled()

    # Pieces of text

    def _skip(self, prefix: str) -> None:
        """A run of spaces in the layout stands for any run of spaces, and for none at the end of the text."""
        while prefix:
            if prefix[0] == " ":
                if self._rest and self._rest[0] != " ":
                    raise _Unfit
                prefix, self._rest = prefix.lstrip(" "), self._rest.lstrip(" ")
                continue
            if self._rest[:1] != prefix[0]:
                raise _Unfit
            prefix, self._rest = prefix[1:], self._rest[1:]

    def _take(self, count: int) -> str:
        if len(self._rest) < count:
            raise _Unfit
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def _digits(self, least: int, most: int) -> int:
        count = 0
        while count < most and self._is_digit(count):
            count += 1
        if count < least:
            raise _Unfit
        return int(self._take(count))

    def _is_digit(self, at: int) -> bool:
        return "0" <= self._rest[at : at + 1] <= "9"

    def _number(self, field: str) -> int:
        """One or two digits; two where the layout writes a zero in front."""
        return self._digits(2 if field[0] == "0" else 1, 2)

    def _name(self, names: tuple[str, ...]) -> int:
        for i, name in enumerate(names):
            start = self._rest[: len(name)]
            if start.isascii() and start.lower() == name.lower():
                self._rest = self._rest[len(name) :]
                return i
        raise _Unfit

    # Fields

    def _read_year(self, field: str) -> None:
        if field == "2006":
            self._year = self._digits(4, 4)
        else:
            year = self._digits(2, 2)
            self._year = year + (1900 if year >= 69 else 2000)

    def _read_month(self, field: str) -> None:
        if field[0] == "J":
            self._month = self._name(MONTHS if field == "January" else _SHORT_MONTHS) + 1
        else:
            self._month = _in_range(self._number(field), 1, 12)

    def _read_weekday(self, field: str) -> None:
        self._name(DAYS if field == "Monday" else _SHORT_DAYS)

    def _read_day(self, field: str) -> None:
        if field[0] == "_":
            self._rest = self._rest.removeprefix(" ")
        self._day = self._number(field)

    def _read_year_day(self, field: str) -> None:
        if field[0] == "_":
            self._rest = self._rest.removeprefix(" ").removeprefix(" ")
        self._year_day = self._digits(3 if field[0] == "0" else 1, 3)

    def _read_hour(self, field: str) -> None:
        self._hour = _in_range(self._digits(1, 2), 0, 23) if field == "15" else _in_range(self._number(field), 0, 12)

    def _read_minute(self, field: str) -> None:
        self._minute = _in_range(self._number(field), 0, 59)

    def _read_second(self, field: str) -> None:
        self._second = _in_range(self._number(field), 0, 59)

    def _read_half(self, field: str) -> None:
        half = self._take(2)
        if half not in ({"AM", "PM"} if field == "PM" else {"am", "pm"}):
            raise _Unfit
        self._half = half.upper()

    def _unasked_fraction(self, following: str) -> None:
        """Seconds may have a fraction that the layout does not ask for."""
        if self._rest[:1] in {".", ","} and self._is_digit(1) and following[0] not in ".,":
            self._any_fraction()

    def _any_fraction(self) -> None:
        end = 1
        while self._is_digit(end):
            end += 1
        self._set_fraction(self._take(end)[1:])

    def _fraction(self, field: str) -> None:
        if field[1] == "9":
            if self._rest[:1] in {".", ","} and self._is_digit(1):
                self._any_fraction()
            return
        text = self._take(len(field))
        if text[0] not in ".,":
            raise _Unfit
        self._set_fraction(text[1:])

    def _set_fraction(self, digits: str) -> None:
        if not (digits.isascii() and digits.isdigit()):
            raise _Unfit
        self._microsecond = int(digits[:6].ljust(6, "0"))

    def _offset(self, field: str) -> None:
        if field[0] == "Z" and self._rest[:1] == "Z":
            self._rest = self._rest[1:]
            self._zone = UTC
            return
        sign = self._take(1)
        if sign not in {"+", "-"}:
            raise _Unfit
        total, colon = 0, ":" in field
        for i, most in enumerate((24, 60, 60)[: (len(field.replace(":", "")) - 1) // 2]):
            if i and colon and self._take(1) != ":":
                raise _Unfit
            total += _in_range(self._digits(2, 2), 0, most) * 60 ** (2 - i)
        self._zone = timezone(timedelta(seconds=-total if sign == "-" else total)) if total else UTC

    def _read_zone(self, _field: str) -> None:
        if self._rest.startswith("UTC"):
            self._rest, self._zone = self._rest[3:], UTC
            return
        self._zone_name = self._take(_zone_length(self._rest))

    # The whole

    def _assembled(self) -> datetime:
        hour = self._hour
        if self._half == "PM" and hour < 12:
            hour += 12
        elif self._half == "AM" and hour == 12:
            hour = 0
        month, day = self._date()
        clock = (hour, self._minute, self._second, self._microsecond)
        kind, year = (EarlyTime, YEAR_ZERO) if self._year < 1 else (datetime, self._year)
        time = kind(year, month, day, *clock, tzinfo=self._zone or UTC)
        return time.astimezone(self._named_zone()) if self._zone_name and self._zone is None else time

    def _date(self) -> tuple[int, int]:
        leap = isleap(self._year)
        lengths = [monthrange(2000 if leap else 2001, month)[1] for month in range(1, 13)]
        month, day = self._month, self._day
        if self._year_day >= 0:
            number = _in_range(self._year_day, 1, 366 if leap else 365)
            ends = list(accumulate(lengths))
            found = next(i for i, end in enumerate(ends) if number <= end)
            within = number - (ends[found] - lengths[found])
            if month not in {-1, found + 1} or day not in {-1, within}:
                raise _Unfit
            return found + 1, within
        month = max(month, 1)
        return month, _in_range(1 if day < 0 else day, 1, lengths[month - 1])

    def _named_zone(self) -> tzinfo:
        """Short names say nothing to Go: such a time is UTC's under that name. GMT+3 is only shown in its zone."""
        hours = 0
        if self._zone_name.startswith("GMT") and len(self._zone_name) > 3:
            hours = int(self._zone_name[3:])
        return timezone(timedelta(hours=hours), self._zone_name)


def _zone_length(text: str) -> int:
    """How much of the text looks like a zone's short name."""
    if text[:4] in {"ChST", "MeST"}:
        return 4
    if text[:3] == "GMT":
        return 3 + _signed_length(text[3:])
    if len(text) >= 3 and text[0] in "+-":
        length = _signed_length(text)
        if not length:
            raise _Unfit
        return length
    capitals = 0
    while capitals < 6 and "A" <= text[capitals : capitals + 1] <= "Z":
        capitals += 1
    if capitals not in {3, 4, 5} or (capitals > 3 and text[capitals - 1] != "T" and text[:capitals] != "WITA"):
        raise _Unfit
    return capitals


def _signed_length(text: str) -> int:
    match = _ZONE_OFFSET.match(text)
    return match.end() if match and int(match.group(1)) <= _SIGNED_HOURS else 0


_SHORT_MONTHS = tuple(month[:3] for month in MONTHS)
_SHORT_DAYS = tuple(day[:3] for day in DAYS)
_READ: dict[str, Callable[[_Reader, str], None]] = {
    **dict.fromkeys(("2006", "06"), _Reader._read_year),
    **dict.fromkeys(("01", "1", "Jan", "January"), _Reader._read_month),
    **dict.fromkeys(("Mon", "Monday"), _Reader._read_weekday),
    **dict.fromkeys(("02", "2", "_2"), _Reader._read_day),
    **dict.fromkeys(("002", "__2"), _Reader._read_year_day),
    **dict.fromkeys(("15", "03", "3"), _Reader._read_hour),
    **dict.fromkeys(("04", "4"), _Reader._read_minute),
    **dict.fromkeys(("05", "5"), _Reader._read_second),
    **dict.fromkeys(("PM", "pm"), _Reader._read_half),
    "MST": _Reader._read_zone,
}
