"""Sprig's defaults, JSON output, copies and questions about types."""

from __future__ import annotations

from typing import Any

from taskengine.template.budget import Env, FunctionError
from taskengine.template.gojson import Unencodable, encode, indented
from taskengine.template.value import Slice, deep_equal, is_empty, type_name
from taskengine.template.value import kind as kind_name


def default(_env: Env, fallback: Any, *given: Any) -> Any:
    return fallback if not given or is_empty(given[0]) else given[0]


def empty(_env: Env, value: Any) -> bool:
    return is_empty(value)


def coalesce(_env: Env, *values: Any) -> Any:
    return next((value for value in values if not is_empty(value)), None)


def ternary(_env: Env, if_true: Any, if_false: Any, condition: bool) -> Any:
    return if_true if condition else if_false


def deep_copy(env: Env, value: Any) -> Any:
    if value is None:
        raise FunctionError("there is nothing to copy", "the value is not set")
    return _copied(env, value)


def _copied(env: Env, value: Any) -> Any:
    env.spend(1)
    if isinstance(value, list):
        env.grow_list(len(value))
        copied = [_copied(env, item) for item in value]
        return Slice(copied, value.elem, is_nil=value.is_nil) if isinstance(value, Slice) else copied
    if isinstance(value, dict):
        env.grow_list(2 * len(value))
        return type(value)({key: _copied(env, item) for key, item in value.items()})
    return value


def to_json(env: Env, value: Any) -> str:
    """What cannot be written as JSON gives an empty text."""
    try:
        return encode(env, value)
    except Unencodable:
        return ""


def to_pretty_json(env: Env, value: Any) -> str:
    try:
        return indented(env, value)
    except Unencodable:
        return ""


def type_of(_env: Env, value: Any) -> str:
    return type_name(value)


def type_is(_env: Env, name: str, value: Any) -> bool:
    return name == type_name(value)


def type_is_like(_env: Env, name: str, value: Any) -> bool:
    return type_name(value) in {name, "*" + name}


def kind_of(_env: Env, value: Any) -> str:
    return kind_name(value)


def kind_is(_env: Env, name: str, value: Any) -> bool:
    return name == kind_name(value)


def equal(env: Env, left: Any, right: Any) -> bool:
    return deep_equal(left, right, env.spend)
