"""What a YAML scalar means: null, boolean, whole number, text.

The rules are go-yaml v2's, which the format was born with: so
`010` is 8, `1_000` is 1000, `yes` is true, `1:30` is a text, and a date is a text too.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from taskengine.lightpattern import pattern
from taskengine.taskspec.nodes import Scalar

_PREFIX = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_FLOAT_WORDS = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), "nan"),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), "inf"),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), "-inf"),
}
_INTEGER = pattern(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)\Z")
_FLOAT = pattern(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_STANDARD_TAGS = frozenset(_PREFIX + name for name in ("bool", "int", "float", "null", "timestamp"))
_MEANINGS = {_PREFIX + "bool": bool, _PREFIX + "int": int, _PREFIX + "float": float, _PREFIX + "null": type(None)}
MAX_INT = 2**63 - 1
_MAX_UINT = 2**64 - 1
#: longer numbers are texts: turning a million digits into a number takes minutes
_LONGEST_NUMBER = 400


def is_plain(node: Scalar) -> bool:
    """Whether a scalar may mean something else than its text: it is not quoted, or carries a standard tag."""
    return (not node.style and node.tag is None) or node.tag in _STANDARD_TAGS


def is_null(node: Scalar) -> bool:
    return node.text in _NULL and is_plain(node)


def is_merge(node: Scalar) -> bool:
    return node.text == "<<" and (not node.style or node.tag == _PREFIX + "merge")


def as_bool(node: Scalar) -> bool | None:
    """The boolean, None when it is none."""
    if not is_plain(node):
        return None
    return True if node.text in _TRUE else False if node.text in _FALSE else None


def as_int(node: Scalar) -> int | None:
    """The whole number; a fraction is cut off. None when it is no number or does not fit 64 bits."""
    if not is_plain(node) or not node.text:
        return None
    number = _number(node.text)
    if isinstance(number, float):
        number = int(number) if abs(number) <= MAX_INT else None
    return number if number is not None and -MAX_INT - 1 <= number <= MAX_INT else None


def _number(text: str) -> int | float | None:
    if text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return None
    if text in _FLOAT_WORDS:
        return float(_FLOAT_WORDS[text])
    plain = text.replace("_", "") if text[0] != "." else text
    match = _INTEGER.match(plain)
    if match:
        value = _whole(match.group(2))
        value = -value if match.group(1) == "-" else value
        return value if -MAX_INT - 1 <= value <= _MAX_UINT else float(value)
    if _FLOAT.match(plain):
        value_float = float(plain)
        return None if value_float in (float("inf"), float("-inf")) else value_float
    return None


def _whole(digits: str) -> int:
    if len(digits) > 1 and digits[0] == "0" and digits[1] not in "xXbBoO":
        return int(digits, 8)
    return int(digits, 0)


def as_text(node: Scalar) -> str:
    """The text, which any scalar has: `007` stays 007. null is ""."""
    if node.tag == _PREFIX + "binary":
        return _decoded(node.text)
    return "" if is_null(node) else node.text


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=False).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return text


def as_value(node: Scalar) -> Any:
    """What a value in a values file means: None, bool, int, float or str."""
    if not is_plain(node):
        return as_text(node)
    text = node.text
    if text in _NULL:
        return None
    truth = as_bool(node)
    if truth is not None:
        return truth
    number = _number(text)
    if node.tag == _PREFIX + "float" and type(number) is int:
        return float(number)
    return text if number is None else number


def mistagged(node: Scalar) -> str | None:
    """The tag of a value that is not what it says, such as `!!int 3.0`: go-yaml refuses it. None when all is well."""
    if node.tag not in _MEANINGS or type(as_value(node)) is _MEANINGS[node.tag]:
        return None
    return "!!" + node.tag.removeprefix(_PREFIX)
