"""Floating-point numbers as Go's strconv.FormatFloat writes them, and back to integers as Go converts.

Must not know flags, widths or templates."""

from __future__ import annotations

import math


def format_float(value: float, verb: str, precision: int) -> str:
    """The number without a plus sign; precision -1 asks for the fewest digits that read back as the same number."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if verb in "gG":
        text = _general(value, precision)
    elif verb == "e" or verb == "E":
        text = _scientific(value) if precision < 0 else f"{value:.{precision}e}"
    elif verb == "b":
        return _binary(value)
    elif verb in "xX":
        text = _hexadecimal(value, precision)
    else:
        text = _positional(value) if precision < 0 else f"{value:.{precision}f}"
    return text.upper() if verb in "EGX" else text


def _digits(value: float) -> tuple[str, str, int]:
    """Sign, shortest digits and the place of the decimal point among them."""
    sign = "-" if math.copysign(1, value) < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return (sign, digits, point) if digits else (sign, "0", 1)


def _scientific(value: float) -> str:
    sign, digits, point = _digits(value)
    exponent = point - 1
    rest = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _positional(value: float) -> str:
    sign, digits, point = _digits(value)
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}" if digits != "0" else f"{sign}0"
    if point >= len(digits):
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


def _general(value: float, precision: int) -> str:
    if precision < 0:
        exponent = _digits(value)[2] - 1
        # The shortest form has no precision of its own: Go decides as if it were six digits, so 1000000.0 is 1e+06.
        return _scientific(value) if exponent < -4 or exponent >= 6 else _positional(value)
    return f"{value:.{precision or 1}g}"


def _binary(value: float) -> str:
    if value == 0:
        return ("-" if math.copysign(1, value) < 0 else "") + "0p-1074"
    mantissa, exponent = math.frexp(value)
    return f"{int(mantissa * 2**53)}p{exponent - 53:+d}"


def _hexadecimal(value: float, precision: int) -> str:
    """One digit before the point and, with a precision, that many behind it; halves go to the even neighbour."""
    sign = "-" if math.copysign(1, value) < 0 else ""
    mantissa, power = math.frexp(abs(value))
    digits, power = int(mantissa * 2**53), power - 1 if value else 0
    if 0 <= precision < 13 and value:
        drop = 4 * (13 - precision)
        half, rest = 1 << (drop - 1), digits & ((1 << drop) - 1)
        digits >>= drop
        if rest > half or (rest == half and digits & 1):
            digits += 1
        digits <<= drop
        if digits >= 2**53:
            digits, power = digits >> 1, power + 1
    fraction = f"{digits & (2**52 - 1):013x}"
    fraction = fraction.rstrip("0") if precision < 0 else fraction[:precision].ljust(precision, "0")
    point = "." if fraction else ""
    return f"{sign}0x{1 if value else 0}{point}{fraction}p{'-' if power < 0 else '+'}{abs(power):02d}"


def to_int64(value: float) -> int:
    """int64(f): cuts toward zero; what does not fit becomes the smallest number, as on amd64."""
    if math.isnan(value) or math.isinf(value):
        return -(2**63)
    number = int(value)
    return number if -(2**63) <= number < 2**63 else -(2**63)
