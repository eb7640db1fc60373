"""Go's rules for handing a value to a parameter, as one letter for each parameter type.

Signatures are strings such as "is" (int, string) or "sa*" (string, then any number of anything).
Must not know templates' syntax or what functions do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from taskengine.template.value import GoObject, Int64, NestedMap, Slice, type_name

ANY = "a"

# What a parameter type is called in Go; "r" is what built-in functions take: anything, as it is.
TYPE_NAMES = {
    "s": "string",
    "i": "int",
    "I": "int64",
    "u": "uint32",
    "f": "float64",
    "b": "bool",
    "a": "interface {}",
    "r": "interface {}",
    "L": "[]interface {}",
    "m": "map[string]interface {}",
    "t": "time.Time",
    "v": "*semver.Version",
    "c": "sprig.certificate",
    "d": "time.Duration",
}
# Types that an untyped nil may stand for.
NILABLE = frozenset("arLmv")


class Signature(NamedTuple):
    fixed: str
    rest: str

    def code(self, position: int) -> str:
        return self.fixed[position] if position < len(self.fixed) else self.rest


@lru_cache(maxsize=256)
def parse_signature(text: str) -> Signature:
    if text.endswith("*"):
        return Signature(text[:-2], text[-2])
    return Signature(text, "")


def _named(name: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, GoObject) and type_name(value) == name


# A nested mapping counts as one with text keys, though Go would refuse it: its keys are texts here.
_FITS: dict[str, Callable[[Any], bool]] = {
    "s": lambda value: type(value) is str,
    "i": lambda value: type(value) is int,
    "I": lambda value: type(value) is Int64,
    "u": lambda _value: False,
    "f": lambda value: type(value) is float,
    "b": lambda value: type(value) is bool,
    "a": lambda _value: True,
    "r": lambda _value: True,
    "L": lambda value: type(value) is list or (isinstance(value, Slice) and value.elem == "interface {}"),
    "m": lambda value: type(value) is dict or type(value) is NestedMap,
    "t": lambda value: isinstance(value, datetime),
    "v": _named("*semver.Version"),
    "c": _named("sprig.certificate"),
    "d": lambda value: type_name(value) == "time.Duration",
}


def fits(value: Any, code: str) -> bool:
    """Whether a value may be handed to a parameter of this type as it is."""
    return _FITS[code](value)
