"""JSON as Go's encoding/json writes it: sorted keys, HTML characters escaped, whole floats without a point.

Must not know templates."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any

from taskengine.lightpattern import pattern
from taskengine.template.budget import Env
from taskengine.template.gofloat import format_float
from taskengine.template.value import GoObject, Slice, basic_kind


class Unencodable(ValueError):
    """JSON has no form for the value."""


_ESCAPED = pattern("[<>&\u2028\u2029\ud800-\udfff]")


def _string(env: Env, text: str) -> str:
    env.grow(len(text))
    encoded = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(_escaped, encoded)


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    return "\ufffd" if "\ud800" <= char <= "\udfff" else f"\\u{ord(char):04x}"


def _float(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        raise Unencodable
    size = abs(value)
    if value != 0 and (size < 1e-6 or size >= 1e21):
        mantissa, _, exponent = format_float(value, "e", -1).partition("e")
        return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"
    return format_float(value, "f", -1)


def _scalar(env: Env, value: Any) -> str | None:
    if value is None or (isinstance(value, Slice) and value.is_nil):
        return "null"
    if isinstance(value, str):
        return _string(env, value)
    if isinstance(value, bool):
        return "true" if value else "false"
    kind = basic_kind(value)
    if kind in {"int", "uint"}:
        return str(int(value))
    if kind == "float":
        return _float(value)
    if isinstance(value, datetime):
        from taskengine.template.gotime import format_time

        return _string(env, format_time(value, "2006-01-02T15:04:05.999999999Z07:00"))
    if kind == "complex":
        raise Unencodable
    return None


def _entries(value: Any) -> list[tuple[str, Any]] | None:
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, GoObject) and value.go_string() is None:
        return [(name, getattr(value, name.lower())) for name in value.fields]
    return None


def encode(env: Env, value: Any) -> str:
    """On one line, without spaces."""
    env.spend(1)
    scalar = _scalar(env, value)
    if scalar is not None:
        return scalar
    entries = _entries(value)
    if entries is not None:
        return "{" + ",".join(f"{_string(env, key)}:{encode(env, item)}" for key, item in entries) + "}"
    if isinstance(value, list):
        return "[" + ",".join([encode(env, item) for item in value]) + "]"
    return _string(env, str(value.go_string()))


def indented(env: Env, value: Any, margin: str = "\n") -> str:
    """Two spaces for each level."""
    env.spend(1)
    env.grow(len(margin))
    scalar = _scalar(env, value)
    if scalar is not None:
        return scalar
    inner = margin + "  "
    entries = _entries(value)
    if entries is not None:
        parts = [f"{_string(env, key)}: {indented(env, item, inner)}" for key, item in entries]
        return "{" + inner + f",{inner}".join(parts) + margin + "}" if parts else "{}"
    if isinstance(value, list):
        parts = [indented(env, item, inner) for item in value]
        return "[" + inner + f",{inner}".join(parts) + margin + "]" if parts else "[]"
    return _string(env, str(value.go_string()))
