"""Go's values as Python's: which Go type and kind a value has, whether it is true, empty or deeply equal.

str, int, float, bool, complex, list and dict stand for string, int, float64, bool, complex128, []interface {} and
map[string]interface {}; None is a nil interface. Everything else carries its Go type on its class.
Must not know templates or functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from math import isnan
from typing import Any, ClassVar


class _Invalid:
    """No value at all: what a pipeline over a missing value yields. Its fields have no value either."""

    __slots__ = ()
    go_type = "<nil>"
    go_kind = "invalid"


INVALID = _Invalid()


class Int64(int):
    """Go's int64: compares with int, but is no int where a function asks for one."""

    go_type: ClassVar[str] = "int64"
    go_kind: ClassVar[str] = "int64"


class Uint8(int):
    """Go's byte: what indexing a string gives."""

    go_type: ClassVar[str] = "uint8"
    go_kind: ClassVar[str] = "uint8"


class Uint64(int):
    """A YAML number that is too large for int."""

    go_type: ClassVar[str] = "uint64"
    go_kind: ClassVar[str] = "uint64"


class Slice(list[Any]):
    """A slice whose elements are not interfaces ([]string, []int), or a nil slice."""

    __slots__ = ("elem", "is_nil")
    go_kind: ClassVar[str] = "slice"

    def __init__(self, items: Any = (), elem: str = "interface {}", *, is_nil: bool = False) -> None:
        super().__init__(items)
        self.elem = elem
        self.is_nil = is_nil

    @property
    def go_type(self) -> str:
        return "[]" + self.elem


class StringMap(dict[str, str]):
    """map[string]string: a missing key is the empty string."""

    go_type: ClassVar[str] = "map[string]string"
    go_kind: ClassVar[str] = "map"


class NestedMap(dict[str, Any]):
    """A mapping inside the values: its YAML keys may have been no text. Keys are kept as their text."""

    go_type: ClassVar[str] = "map[interface {}]interface {}"
    go_kind: ClassVar[str] = "map"


class GoObject:
    """Base of values with methods and fields of their own (time, version, certificate)."""

    go_type: ClassVar[str] = ""
    go_kind: ClassVar[str] = "struct"
    # name -> (signature, implementation taking the environment, the receiver and the arguments)
    methods: ClassVar[dict[str, tuple[str, Callable[..., Any]]]] = {}
    fields: ClassVar[tuple[str, ...]] = ()

    def go_string(self) -> str | None:
        """What fmt.Stringer gives, or None for a type that is none."""
        return None

    def go_fields(self) -> list[tuple[str, Any]]:
        """What fmt prints of a struct, hidden fields among it."""
        return [(name, getattr(self, name.lower())) for name in self.fields]


_TYPES: dict[type, str] = {
    str: "string",
    int: "int",
    bool: "bool",
    float: "float64",
    complex: "complex128",
    list: "[]interface {}",
    dict: "map[string]interface {}",
    datetime: "time.Time",
    type(None): "<nil>",
}
_KINDS: dict[type, str] = {
    str: "string",
    int: "int",
    bool: "bool",
    float: "float64",
    complex: "complex128",
    list: "slice",
    dict: "map",
    datetime: "struct",
    type(None): "invalid",
}
_COMPARED_AS = {
    "bool": "bool",
    "string": "string",
    "float64": "float",
    "complex128": "complex",
    "int": "int",
    "int64": "int",
    "uint8": "uint",
    "uint64": "uint",
}


def type_name(value: Any) -> str:
    """What Go's %T prints."""
    known = _TYPES.get(type(value))
    return known if known is not None else str(value.go_type)


def kind(value: Any) -> str:
    """What reflect's Kind prints."""
    known = _KINDS.get(type(value))
    return known if known is not None else str(value.go_kind)


def basic_kind(value: Any) -> str | None:
    """The group of types within which eq and lt compare, or None for what has no order."""
    return _COMPARED_AS.get(kind(value))


def is_nil(value: Any) -> bool:
    return value is None or value is INVALID or (isinstance(value, Slice) and value.is_nil)


def is_true(value: Any) -> bool:
    """Go's truth: not the zero of its type; structs are always true."""
    if isinstance(value, GoObject | datetime):
        return True
    return value is not INVALID and bool(value)


def is_empty(value: Any) -> bool:
    """Sprig's empty, which agrees with truth for all the values there are here."""
    return not is_true(value)


def deep_equal(left: Any, right: Any, spend: Callable[[int], None]) -> bool:
    """reflect.DeepEqual: types must be the same, an int64 1 is not an int 1."""
    spend(1)
    if left is right:
        return not (isinstance(left, float) and isnan(left))
    if type_name(left) != type_name(right) or is_nil(left) != is_nil(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(deep_equal(a, b, spend) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(deep_equal(left[k], right[k], spend) for k in left)
    if isinstance(left, GoObject):
        fields = zip(left.go_fields(), right.go_fields(), strict=True)
        return all(deep_equal(a, b, spend) for (_, a), (_, b) in fields)
    return bool(left == right)


def to_bytes(text: str) -> bytes:
    """The UTF-8 of a string; bytes that were no UTF-8 travel as lone surrogates and come back as themselves."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return b"".join(_surrogate_bytes(c) if "\ud800" <= c <= "\udfff" else c.encode() for c in text)


def _surrogate_bytes(char: str) -> bytes:
    code = ord(char)
    return bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else b"\xef\xbf\xbd"


def from_bytes(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def wrap_int64(number: int) -> Int64:
    """Two's complement: Go's integers overflow silently."""
    return Int64((number + 0x8000000000000000) % 0x10000000000000000 - 0x8000000000000000)
