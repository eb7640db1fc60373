"""The functions of Go's text/template itself: comparison, index, len, print and the escapers."""

from __future__ import annotations

from typing import Any, NoReturn

from taskengine.template import gofmt, goformat
from taskengine.template.budget import Env, FunctionError
from taskengine.template.value import (
    GoObject,
    NestedMap,
    StringMap,
    Uint8,
    basic_kind,
    is_nil,
    is_true,
    kind,
    to_bytes,
    type_name,
)

_INTEGERS = frozenset({"int", "uint"})


def never(_env: Env, *_args: Any) -> NoReturn:
    raise AssertionError("and, or are evaluated operand by operand")


def negate(_env: Env, value: Any) -> bool:
    return not is_true(value)


def call(_env: Env, value: Any, *_args: Any) -> NoReturn:
    if value is None:
        raise FunctionError("call of nil")
    raise FunctionError(f"non-function of type {type_name(value)}")


def length(_env: Env, value: Any) -> int:
    if value is None:
        raise FunctionError("len of nil pointer", "the value is not set")
    if isinstance(value, str):
        return len(to_bytes(value))
    if isinstance(value, list | dict):
        return len(value)
    raise FunctionError(f"len of type {type_name(value)}", "texts, lists and maps have a length")


def index(_env: Env, value: Any, *keys: Any) -> Any:
    if value is None:
        raise FunctionError("index of untyped nil", "the value is not set")
    for key in keys:
        if value is None:
            raise FunctionError("index of nil pointer", "an element on the way is not set")
        value = _element(value, key)
    return value


def _element(value: Any, key: Any) -> Any:
    if isinstance(value, str):
        data = to_bytes(value)
        return Uint8(data[_position(key, len(data))])
    if isinstance(value, list):
        return value[_position(key, len(value))]
    if isinstance(value, dict):
        return _entry(value, key)
    raise FunctionError(f"can't index item of type {type_name(value)}", "lists and maps can be indexed")


def _entry(value: dict[str, Any], key: Any) -> Any:
    if type(key) is not str:
        if isinstance(value, NestedMap) and not isinstance(key, list | dict):
            return value.get({True: "true", False: "false"}.get(key, str(key)) if type(key) is bool else str(key))
        if key is None:
            raise FunctionError("value is nil; should be of type string")
        raise FunctionError(
            f"value has type {type_name(key)}; should be string", "the keys of maps are texts: quote it"
        )
    return value.get(key, "" if isinstance(value, StringMap) else None)


def _position(key: Any, size: int) -> int:
    if key is None:
        raise FunctionError("cannot index slice/array with nil")
    if basic_kind(key) not in _INTEGERS:
        raise FunctionError(f"cannot index slice/array with type {type_name(key)}", "the index of a list is a number")
    if not 0 <= key < size:
        raise FunctionError(f"index out of range: {key}", f"there are {size} elements; the first is 0")
    return int(key)


# Printing


def print(env: Env, *args: Any) -> str:  # noqa: A001 (the functions carry their template names)
    return gofmt.sprint(env, args)


def printf(env: Env, pattern: str, *args: Any) -> str:
    return goformat.sprintf(env, pattern, args)


def println(env: Env, *args: Any) -> str:
    return gofmt.sprintln(env, args)


def _printed(env: Env, args: tuple[Any, ...]) -> str:
    if len(args) == 1 and type(args[0]) is str:
        env.grow(len(args[0]))
        return args[0]
    return gofmt.sprint(env, tuple("<no value>" if arg is None else arg for arg in args))


_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def html(env: Env, *args: Any) -> str:
    return _printed(env, args).translate(_HTML)


def js(env: Env, *args: Any) -> str:
    text = _printed(env, args)
    env.spend(len(text) >> 3)
    return "".join(_JS.get(char) or _js_char(char) for char in text)


def _js_char(char: str) -> str:
    if " " <= char < "\x7f" or char == "\x7f":
        return char
    if char >= "\x80" and char.isprintable():
        return char
    code = 0xFFFD if "\ud800" <= char <= "\udfff" else ord(char)
    return f"\\u{code:04X}"


def urlquery(env: Env, *args: Any) -> str:
    from urllib.parse import quote_plus

    text = _printed(env, args)
    env.grow(2 * len(text))
    return quote_plus(to_bytes(text), safe="~")


# Comparison


def eq(_env: Env, first: Any, *others: Any) -> bool:
    if not others:
        raise FunctionError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(left: Any, right: Any) -> bool:
    left_kind, right_kind = basic_kind(left), basic_kind(right)
    if left_kind == right_kind and left_kind is not None:
        return bool(left == right)
    if {left_kind, right_kind} == _INTEGERS:
        return bool(left == right)
    if left is None or right is None:
        return is_nil(left) and is_nil(right)
    if left_kind != right_kind:
        _incompatible(left, right)
    if kind(left) != kind(right):
        raise FunctionError(f"non-comparable types {type_name(left)}, {type_name(right)}")
    if is_nil(left) or is_nil(right):
        return is_nil(left) and is_nil(right)
    if isinstance(right, list | dict):
        raise FunctionError(f"non-comparable type {type_name(right)}", "compare single elements, or use deepEqual")
    if isinstance(left, GoObject) and left.go_kind == "struct":
        return type_name(left) == type_name(right) and left.go_fields() == right.go_fields()
    return type(left) is type(right) and bool(left == right)


def _incompatible(left: Any, right: Any) -> NoReturn:
    raise FunctionError(
        f"incompatible types for comparison: {type_name(left)} and {type_name(right)}",
        "convert one of them: int, float64 or toString; values given with --set are texts",
    )


def ne(env: Env, left: Any, right: Any) -> bool:
    return not eq(env, left, right)


def lt(_env: Env, left: Any, right: Any) -> bool:
    kinds = basic_kind(left), basic_kind(right)
    if None in kinds:
        odd = left if kinds[0] is None else right
        raise FunctionError("invalid type for comparison", f"a value of type {type_name(odd)} has no order")
    if kinds[0] != kinds[1] and set(kinds) != _INTEGERS:
        _incompatible(left, right)
    if kinds[0] in {"bool", "complex"}:
        raise FunctionError("invalid type for comparison", f"a value of type {type_name(left)} has no order")
    if kinds[0] == "string":
        return to_bytes(left) < to_bytes(right)
    return bool(left < right)


def le(env: Env, left: Any, right: Any) -> bool:
    return lt(env, left, right) or eq(env, left, right)


def gt(env: Env, left: Any, right: Any) -> bool:
    return not le(env, left, right)


def ge(env: Env, left: Any, right: Any) -> bool:
    return not lt(env, left, right)
