"""Sprig's arithmetic and conversions: 64-bit whole numbers that wrap, and what is no number counts as 0."""

from __future__ import annotations

import math
import re
from typing import Any

from taskengine.lightpattern import pattern
from taskengine.template import gofmt
from taskengine.template.budget import Env, FunctionError
from taskengine.template.gofloat import to_int64
from taskengine.template.literal import parse_float
from taskengine.template.value import Int64, Slice, basic_kind, wrap_int64

_WHOLE = pattern(r"[+-]?[0-9]{1,40}\Z")
_INFINITE = pattern(r"([+-]?)inf(?:inity)?\Z", re.IGNORECASE)


def _parse_int(text: str) -> int:
    """strconv.ParseInt in base 10, where every error is 0."""
    if not (text.isascii() and _WHOLE.match(text)):
        return 0
    number = int(text)
    return number if -(2**63) <= number < 2**63 else 0


def _to_int64(value: Any) -> int:
    if isinstance(value, str):
        return _parse_int(value)
    kind = basic_kind(value)
    if kind in {"int", "uint", "bool"}:
        return min(int(value), 2**63 - 1)
    return to_int64(float(value)) if kind == "float" else 0


def _to_float64(value: Any) -> float:
    if isinstance(value, str):
        return _parse_float(value)
    return float(value) if basic_kind(value) in {"int", "uint", "bool", "float"} else 0.0


def _parse_float(text: str) -> float:
    infinite = _INFINITE.match(text)
    if infinite:
        return -math.inf if infinite.group(1) == "-" else math.inf
    if text.lower() == "nan":
        return math.nan
    number = parse_float(text)
    return 0.0 if number is None or math.isinf(number) else number


def atoi(_env: Env, text: str) -> int:
    # Unlike ParseInt's error, Atoi's leaves the largest number behind.
    if text.isascii() and _WHOLE.match(text):
        return max(-(2**63), min(int(text), 2**63 - 1))
    return 0


def int64(_env: Env, value: Any) -> Int64:
    return Int64(_to_int64(value))


def integer(_env: Env, value: Any) -> int:
    return int(_to_int64(value))


def float64(_env: Env, value: Any) -> float:
    return _to_float64(value)


def to_decimal(env: Env, value: Any) -> Int64:
    """Reads octal digits, as of Unix file modes."""
    text = gofmt.display(env, value)
    if not re.match(r"[+-]?[0-7]{1,30}\Z", text):
        return Int64(0)
    number = int(text, 8)
    return Int64(number if -(2**63) <= number < 2**63 else 0)


def until(env: Env, count: int) -> Slice:
    return until_step(env, 0, count, -1 if count < 0 else 1)


def until_step(env: Env, start: int, stop: int, step: int) -> Slice:
    if step == 0 or (stop < start) != (step < 0):
        return Slice((), "int")
    numbers = range(start, stop, step)
    env.grow_list(len(numbers))
    return Slice(numbers, "int")


def add1(_env: Env, value: Any) -> Int64:
    return wrap_int64(_to_int64(value) + 1)


def add(_env: Env, *values: Any) -> Int64:
    return wrap_int64(sum(map(_to_int64, values)))


def sub(_env: Env, left: Any, right: Any) -> Int64:
    return wrap_int64(_to_int64(left) - _to_int64(right))


def mul(_env: Env, value: Any, *values: Any) -> Int64:
    product = Int64(_to_int64(value))
    for factor in values:
        product = wrap_int64(product * _to_int64(factor))
    return product


def div(_env: Env, left: Any, right: Any) -> Int64:
    dividend, divisor = _divided(left, right)
    quotient = abs(dividend) // abs(divisor)
    return wrap_int64(quotient if (dividend < 0) == (divisor < 0) else -quotient)


def mod(_env: Env, left: Any, right: Any) -> Int64:
    dividend, divisor = _divided(left, right)
    rest = abs(dividend) % abs(divisor)
    return Int64(-rest if dividend < 0 else rest)


def _divided(left: Any, right: Any) -> tuple[int, int]:
    divisor = _to_int64(right)
    if divisor == 0:
        raise FunctionError("integer divide by zero", "what is no whole number counts as 0")
    return _to_int64(left), divisor


def maximum(_env: Env, value: Any, *values: Any) -> Int64:
    return Int64(max(_to_int64(value), *map(_to_int64, values)) if values else _to_int64(value))


def minimum(_env: Env, value: Any, *values: Any) -> Int64:
    return Int64(min(_to_int64(value), *map(_to_int64, values)) if values else _to_int64(value))


def _whole(value: Any, rounded: Any) -> float:
    number = _to_float64(value)
    return number if math.isnan(number) or math.isinf(number) else math.copysign(float(rounded(number)), number)


def ceil(_env: Env, value: Any) -> float:
    return _whole(value, math.ceil)


def floor(_env: Env, value: Any) -> float:
    return _whole(value, math.floor)


def rounded(_env: Env, value: Any, places: int, *up_from: float) -> float:
    """Up from .5, or from the given fraction; toward the larger number."""
    power = math.pow(10, places) if places < 309 else math.inf
    if power == 0:
        return math.nan
    shifted = power * _to_float64(value)
    if math.isnan(shifted) or math.isinf(shifted):
        return shifted / power
    fraction = math.modf(shifted)[0]
    whole = math.ceil(shifted) if fraction >= (up_from[0] if up_from else 0.5) else math.floor(shifted)
    return math.copysign(whole, shifted) / power if whole == 0 else float(whole) / power
