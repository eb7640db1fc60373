"""Protocol buffers, as far as BuildKit's messages need them: fields to bytes, and back.

Google's library takes longer to load than a small cached build takes: these are a few lists of fields, and are read as
they are. https://protobuf.dev/programming-guides/encoding/

Must not know any message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
#: what becomes of a field that a message does not have
_NOTHING: dict[str, Any] = {"number": 0, "truth": False, "text": "", "bytes": b""}


class Malformed(ValueError):
    """The bytes are no message."""


class Field:
    """A field's name, its kind (number, truth, text, bytes, or a message), and whether it is a list of these or a map
    of texts to them."""

    __slots__ = ("is_list", "is_map", "kind", "name")

    def __init__(self, name: str, kind: str | type[Message], *, is_list: bool = False, is_map: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.is_list = is_list
        self.is_map = is_map

    def empty(self) -> Any:
        if self.is_list:
            return []
        if self.is_map:
            return {}
        return _NOTHING[self.kind] if isinstance(self.kind, str) else None


class Message:
    """Its fields are attributes. A field that is a message is None where it is not there."""

    FIELDS: ClassVar[Mapping[int, Field]] = {}

    #: what a message without any field has, apart from lists and maps, which each has of its own
    PLAIN: ClassVar[Mapping[str, Any]] = {}
    OWN: ClassVar[tuple[tuple[str, type], ...]] = ()

    def __init__(self, **given: Any) -> None:
        known = self.__dict__
        known.update(self.PLAIN)
        for name, make in self.OWN:
            known[name] = make()
        for name, value in given.items():
            if name not in known:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            known[name] = value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def encode(self) -> bytes:
        out: list[bytes] = []
        for number, field in self.FIELDS.items():
            value = getattr(self, field.name)
            if field.is_map:
                for key, one in value.items():
                    entry = _encoded(1, "text", key) + _encoded(2, field.kind, one)
                    out += (varint(number << 3 | _LENGTH), varint(len(entry)), entry)
            elif field.is_list:
                out += (_encoded(number, field.kind, one) for one in value)
            elif value or (value is not None and not isinstance(field.kind, str)):
                out.append(_encoded(number, field.kind, value))
        return b"".join(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises Malformed. Fields that we do not know are passed over."""
        made = cls()
        known = made.__dict__
        for number, wire, value in _fields(data):
            field = cls.FIELDS.get(number)
            if field is None:
                continue
            if field.is_map:
                key, one = _entry(value if wire == _LENGTH else b"", field.kind)
                known[field.name][key] = one
            elif field.is_list:
                known[field.name].append(_decoded(field.kind, wire, value))
            else:
                known[field.name] = _decoded(field.kind, wire, value)
        return made


def message(name: str, fields: Mapping[int, Field]) -> type[Message]:
    """A kind of message with these fields, by their numbers."""
    plain = {f.name: f.empty() for f in fields.values() if not (f.is_list or f.is_map)}
    own = tuple((f.name, list if f.is_list else dict) for f in fields.values() if f.is_list or f.is_map)
    return type(name, (Message,), {"FIELDS": fields, "PLAIN": plain, "OWN": own})


def varint(number: int) -> bytes:
    """A whole number as it travels; a negative one as a 64-bit one."""
    if 0 <= number < 0x80:
        return _SMALL[number]
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = tuple(bytes((number,)) for number in range(0x80))


def _encoded(number: int, kind: str | type[Message], value: Any) -> bytes:
    data: bytes
    if kind in ("number", "truth"):
        return varint(number << 3 | _VARINT) + varint(int(value))
    data = value if kind == "bytes" else value.encode()  # a text, or a message
    return varint(number << 3 | _LENGTH) + varint(len(data)) + data


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field: a whole number, or bytes. Most numbers are a single byte."""
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key > 0x7F:
            key, at = _varint(data, at - 1, end)
        wire = key & 7
        if wire in (_VARINT, _LENGTH):
            if at < end and data[at] < 0x80:
                size = data[at]
                at += 1
            else:
                size, at = _varint(data, at, end)
            if wire == _VARINT:
                yield key >> 3, wire, size
                continue
        elif wire == _FIXED64:
            size = 8
        elif wire == _FIXED32:
            size = 4
        else:
            raise Malformed(f"a field of type {wire}")
        if size > end - at:
            raise Malformed("a field is longer than its message")
        yield key >> 3, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise Malformed("a number without an end")


def _decoded(kind: str | type[Message], wire: int, value: Any) -> Any:
    if wire == _LENGTH:
        if kind == "bytes":
            return value
        if kind == "text":
            return value.decode("utf-8", "replace")
        if not isinstance(kind, str):
            return kind.decode(value)
    elif wire == _VARINT:
        if kind == "number":
            return value - (1 << 64) if value >> 63 else value
        if kind == "truth":
            return bool(value)
    raise Malformed("a field is of another kind than it should be")


def _entry(data: bytes, kind: str | type[Message]) -> tuple[str, Any]:
    key, found = "", Field("", kind).empty()
    for number, wire, value in _fields(data):
        if number == 1:
            key = _decoded("text", wire, value)
        elif number == 2:
            found = _decoded(kind, wire, value)
    return key, found
