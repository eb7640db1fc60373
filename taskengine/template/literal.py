"""What constants in a template mean: Go's number syntax and quoted strings.

Must not know where in a template a constant stands."""

from __future__ import annotations

import re
from math import isinf

from taskengine.lightpattern import pattern
from taskengine.template.node import Number
from taskengine.template.value import from_bytes, to_bytes

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_ESCAPE = pattern(
    r"\\(?:([abfnrtv\\'\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))", re.DOTALL
)
_INT = pattern(r"[+-]?(?:0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|0(?:_?[0-7])*|[1-9](?:_?[0-9])*)\Z")
_DECIMAL = pattern(r"[+-]?(?:[0-9](?:_?[0-9])*)?(?:\.(?:[0-9](?:_?[0-9])*)?)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?\Z")
_HEX_FLOAT = pattern(r"[+-]?0[xX]_?[0-9a-fA-F_]*\.?[0-9a-fA-F_]*[pP][+-]?[0-9](?:_?[0-9])*\Z")


class BadLiteral(ValueError):
    """A constant that Go would not take."""


def unquote(text: str) -> str:
    """The value of a string in double quotes or backquotes."""
    if text.startswith("`"):
        return text[1:-1].replace("\r", "")
    body = text[1:-1]
    return _unescape(body, '"') if "\\" in body else body


def _unescape(body: str, quote: str) -> str:
    raw_bytes = False

    def replace(match: re.Match[str]) -> str:
        nonlocal raw_bytes
        simple, octal, byte, short, long, other = match.groups()
        if simple is not None:
            if simple in "'\"":
                if simple != quote:
                    raise BadLiteral(f"\\{simple} is no escape here")
                return simple
            return _ESCAPES[simple]
        if octal is not None or byte is not None:
            number = int(octal, 8) if octal is not None else int(byte, 16)
            if number > 255:
                raise BadLiteral(f"\\{octal} is no byte")
            raw_bytes = True
            return chr(number) if number < 128 else chr(0xDC00 + number)
        if other is not None:
            raise BadLiteral(f"\\{other} is no escape sequence")
        number = int(short or long, 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise BadLiteral(f"{match.group()} is no character")
        return chr(number)

    text = _ESCAPE.sub(replace, body)
    return from_bytes(to_bytes(text)) if raw_bytes else text


def parse_number(text: str, pos: int) -> Number:
    """All values that a number constant may stand for. Raises BadLiteral."""
    number = Number(pos, text)
    if text.startswith("'"):
        char = _unescape(text[1:-1], "'") if "\\" in text else text[1:-1]
        if len(char) != 1:
            raise BadLiteral(f"malformed character constant: {text}")
        _set_int(number, ord(char) - 0xDC00 if 0xDC80 <= ord(char) <= 0xDCFF else ord(char))
        return number
    if text.endswith("i"):
        _set_complex(number, text)
        return number
    if _INT.match(text):
        value = _parse_int(text)
        if value.bit_length() > 64 or not -(2**63) <= value < 2**64:
            raise BadLiteral(f"integer overflow: {text}")
        _set_int(number, value)
        if text.startswith("+") and value > 0:
            number.as_uint = None
        return number
    _set_float(number, text)
    return number


def _parse_int(text: str) -> int:
    digits = text.lstrip("+-").replace("_", "")
    if len(digits) > 70:
        raise BadLiteral("integer overflow")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    value = int(digits, 8 if octal else 0)
    return -value if text.startswith("-") else value


def _set_int(number: Number, value: int) -> None:
    number.as_int = value if -(2**63) <= value < 2**63 else None
    number.as_uint = value if value >= 0 else None
    number.as_float = float(value)


def _set_float(number: Number, text: str) -> None:
    if not any(c in text for c in ".eEpP"):
        raise BadLiteral(f"illegal number syntax: {text}")
    value = parse_float(text)
    if value is None or value in {float("inf"), float("-inf")}:
        raise BadLiteral(f"illegal number syntax: {text}")
    number.as_float = value
    if value.is_integer() and -(2**63) <= value < 2**63:
        number.as_int = int(value)
    if value.is_integer() and 0 <= value < 2**64:
        number.as_uint = int(value)


def parse_float(text: str) -> float | None:
    """strconv.ParseFloat for finite numbers; None for anything else, infinity on overflow."""
    if len(text) > 4000:
        return None
    if _HEX_FLOAT.match(text):
        try:
            return float.fromhex(text.replace("_", ""))
        except (ValueError, OverflowError):
            return None
    if not _DECIMAL.match(text) or not any(c.isdigit() for c in re.split("[eE]", text)[0]):
        return None
    return float(text.replace("_", ""))


def _set_complex(number: Number, text: str) -> None:
    split = max(text.rfind("+", 1, -1), text.rfind("-", 1, -1))
    while split > 0 and text[split - 1] in "eE" and not text.lstrip("+-").startswith(("0x", "0X")):
        split = max(text.rfind("+", 1, split), text.rfind("-", 1, split))
    real = text[:split] if split > 0 else "0"
    imaginary = text[split:-1] if split > 0 else text[:-1]
    parts = parse_float(real), parse_float(imaginary)
    if parts[0] is None or parts[1] is None or isinf(parts[0]) or isinf(parts[1]):
        raise BadLiteral(f"illegal number syntax: {text}")
    number.as_complex = complex(parts[0], parts[1])
    if parts[1] == 0:
        _set_float(number, f"{parts[0]!r}")
