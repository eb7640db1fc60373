"""Sprig's date functions. Numbers are seconds since 1970; what is neither time nor number means now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taskengine.template.budget import Env
from taskengine.template.gotime import (
    ZERO_TIME,
    duration_string,
    format_time,
    nanoseconds_between,
    parse_duration,
    saturated,
    shifted,
    zone,
)
from taskengine.template.gotimeparse import parse_time
from taskengine.template.value import Int64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now(env: Env) -> datetime:
    return env.now if env.now.tzinfo else env.now.replace(tzinfo=UTC)


def _time(env: Env, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if type(value) is int or type(value) is Int64:
        return _EPOCH + timedelta(seconds=int(value))
    return now(env)


def date(env: Env, layout: str, value: Any) -> str:
    return date_in_zone(env, layout, value, "Local")


def html_date(env: Env, value: Any) -> str:
    return date_in_zone(env, "2006-01-02", value, "Local")


def html_date_in_zone(env: Env, value: Any, name: str) -> str:
    return date_in_zone(env, "2006-01-02", value, name)


def date_in_zone(env: Env, layout: str, value: Any, name: str) -> str:
    return format_time(_time(env, value).astimezone(zone(name) or UTC), layout)


def date_modify(_env: Env, duration: str, value: datetime) -> datetime:
    moved = parse_duration(duration)
    return value if moved is None else shifted(value, moved)


def ago(env: Env, value: Any) -> str:
    passed = saturated(nanoseconds_between(now(env), _time(env, value)))
    half = 5 * 10**8
    seconds = (abs(passed) + half) // 10**9
    return duration_string(saturated((-seconds if passed < 0 else seconds) * 10**9))


def to_date(_env: Env, layout: str, text: str) -> datetime:
    return parse_time(layout, text) or ZERO_TIME


def unix_epoch(_env: Env, value: datetime) -> str:
    return str(nanoseconds_between(value, _EPOCH) // 10**9)
