"""Go's fmt package for the values of value.py: one value under one verb and its flags, Sprint and Sprintln.

Must not know templates. Output is paid for from the rendering's budget."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskengine.template.budget import Env
from taskengine.template.gofloat import format_float
from taskengine.template.quoting import can_backquote, quote
from taskengine.template.value import GoObject, Slice, basic_kind, to_bytes, type_name


def display(env: Env, value: Any) -> str:
    """What %v prints."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is bool:
        return "true" if value else "false"
    return Printer(env, Flags()).formatted(value, "v")


def sprint(env: Env, args: tuple[Any, ...]) -> str:
    """fmt.Sprint: a space between operands where neither is a string."""
    parts: list[str] = []
    after_string = True
    for i, arg in enumerate(args):
        is_string = type(arg) is str
        if i and not is_string and not after_string:
            parts.append(" ")
        parts.append(display(env, arg))
        after_string = is_string
    return paid(env, "".join(parts))


def sprintln(env: Env, args: tuple[Any, ...]) -> str:
    return paid(env, " ".join(display(env, arg) for arg in args) + "\n")


def paid(env: Env, text: str) -> str:
    env.grow(len(text))
    return text


class Flags:
    """What stands between % and the verb."""

    __slots__ = ("minus", "plus", "plus_v", "prec", "sharp", "sharp_v", "space", "width", "zero")

    def __init__(self) -> None:
        self.minus = self.plus = self.sharp = self.space = self.zero = False
        self.plus_v = self.sharp_v = False
        self.width: int | None = None
        self.prec: int | None = None


class Printer:
    """Formats values with one set of flags."""

    __slots__ = ("_complaining", "_env", "_flags")

    def __init__(self, env: Env, flags: Flags) -> None:
        self._env = env
        self._flags = flags
        # Inside a complaint, values are shown as they are: nothing is asked for its own text.
        self._complaining = False

    def formatted(self, value: Any, verb: str, *, nested: bool = False) -> str:
        self._env.spend(1)
        if value is None:
            return self._nil(verb, nested=nested)
        if verb == "T" and not nested:
            return self._string(type_name(value), "s")
        if verb in "Tp" or (verb == "w" and not self._complaining):
            return self._bad(verb, value)
        group = basic_kind(value)
        if group == "string":
            return self._string(value, verb)
        if group == "bool":
            return self._pad("true" if value else "false") if verb in "tv" else self._bad(verb, value)
        if isinstance(value, GoObject | datetime):
            return self._object(value, verb)
        if group in {"int", "uint"}:
            return self._int(value, verb, signed=group == "int")
        if group == "float":
            return self._float(value, verb, value)
        if group == "complex":
            return self._complex(value, verb)
        text = self._map(value, verb) if isinstance(value, dict) else self._list(value, verb)
        self._env.grow(len(text) >> 2)
        return text

    def _nil(self, verb: str, *, nested: bool) -> str:
        if nested:
            return "interface {}(nil)" if self._flags.sharp_v else "<nil>"
        return self._pad("<nil>") if verb in "Tv" else f"%!{verb}(<nil>)"

    def _bad(self, verb: str, value: Any) -> str:
        if value is None:
            return f"%!{verb}(<nil>)"
        outer, self._complaining = self._complaining, True
        shown = self.formatted(value, "v")
        self._complaining = outer
        return f"%!{verb}({type_name(value)}={shown})"

    def _pad(self, text: str) -> str:
        flags = self._flags
        if flags.width is None or flags.width <= len(text):
            return text
        missing = flags.width - len(text)
        self._env.grow(missing)
        if flags.minus:
            return text + " " * missing
        return ("0" if flags.zero else " ") * missing + text

    def _pad_blank(self, text: str) -> str:
        zero, self._flags.zero = self._flags.zero, False
        padded = self._pad(text)
        self._flags.zero = zero
        return padded

    # Strings

    def _string(self, text: str, verb: str) -> str:
        flags = self._flags
        if verb in "xX":
            return self._hex_bytes(text, verb)
        if verb not in "vsq":
            return self._bad(verb, text)
        if flags.prec is not None:
            text = text[: flags.prec]
        if verb == "q" or (verb == "v" and flags.sharp_v):
            if flags.sharp and can_backquote(text):
                return self._pad(f"`{text}`")
            self._env.spend(len(text) >> 3)
            return self._pad(quote(text, ascii_only=flags.plus))
        return self._pad(text)

    def _hex_bytes(self, text: str, verb: str) -> str:
        flags = self._flags
        data = to_bytes(text)
        if flags.prec is not None:
            data = data[: flags.prec]
        self._env.grow(2 * len(data))
        if not data:
            return self._pad("")
        prefix = f"0{verb}" if flags.sharp else ""
        out = prefix + (data.hex(" ").replace(" ", " " + prefix) if flags.space else data.hex())
        return self._pad(out.upper() if verb == "X" else out)

    # Numbers

    def _int(self, value: int, verb: str, *, signed: bool) -> str:
        flags = self._flags
        stringer = getattr(value, "go_string", None)
        if stringer is not None and verb in "vsxXq" and not flags.sharp_v and not self._complaining:
            return self._string(stringer(), "s" if verb == "v" else verb)
        number = int(value)
        if verb == "v":
            return self._integer(number, "x", "0x") if flags.sharp_v and not signed else self._integer(number, "d", "")
        if verb == "d":
            return self._integer(number, "d", "")
        if verb in "boOxX":
            prefix = {"b": "0b", "o": "0", "O": "0o", "x": "0x", "X": "0X"}[verb]
            return self._integer(number, verb.replace("O", "o"), prefix if flags.sharp or verb == "O" else "")
        if verb in "cqU":
            return self._rune(number, verb)
        return self._bad(verb, value)

    def _integer(self, number: int, base: str, prefix: str) -> str:
        flags = self._flags
        digits = format(abs(number), base)
        sign = "-" if number < 0 else "+" if flags.plus else " " if flags.space else ""
        least = 0
        if flags.prec is not None:
            least = flags.prec
            if least == 0 and number == 0:
                return self._pad_blank("")
        elif flags.zero and not flags.minus and flags.width is not None:
            least = flags.width - len(sign)
        if least > len(digits):
            self._env.grow(least)
            digits = digits.rjust(least, "0")
        if prefix == "0" and digits.startswith("0"):
            prefix = ""
        elif prefix == "0o" and flags.sharp and not digits.startswith("0"):
            prefix = "0o0"
        return self._pad_blank(sign + prefix + digits)

    def _rune(self, number: int, verb: str) -> str:
        flags = self._flags
        valid = 0 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
        char = chr(number) if valid else "\ufffd"
        if verb == "c":
            return self._pad(char)
        if verb == "q":
            return self._pad(quote(char, ascii_only=flags.plus, mark="'"))
        code = number % 2**64
        text = f"U+{code:0{max(4, flags.prec or 0)}X}"
        if flags.sharp and valid and char.isprintable():
            text += f" '{char}'"
        return self._pad_blank(text)

    def _float(self, value: float, verb: str, shown: Any) -> str:
        if verb not in "vbeEfFgGxX":
            return self._bad(verb, shown)
        flags = self._flags
        prec = flags.prec if flags.prec is not None else (6 if verb in "eEfF" else -1)
        text = format_float(float(value), "g" if verb == "v" else verb.replace("F", "f"), prec)
        if text[0] not in "+-":
            text = "+" + text
        if flags.space and not flags.plus and text[0] == "+":
            text = " " + text[1:]
        if text[1] in "IN":
            if text[1] == "N" and not flags.space and not flags.plus:
                text = text[1:]
            return self._pad_blank(text)
        if flags.sharp and verb != "b":
            text = _with_point(text, verb, prec)
        if not flags.plus and text[0] == "+":
            return self._pad(text[1:])
        if flags.zero and not flags.minus and flags.width is not None and flags.width > len(text):
            self._env.grow(flags.width)
            return text[0] + text[1:].rjust(flags.width - 1, "0")
        return self._pad(text)

    def _complex(self, value: complex, verb: str) -> str:
        if verb not in "vbeEfFgGxX":
            return self._bad(verb, value)
        real = self._float(value.real, verb, value)
        plus, self._flags.plus = self._flags.plus, True
        imaginary = self._float(value.imag, verb, value)
        self._flags.plus = plus
        return f"({real}{imaginary}i)"

    # Composites

    def _object(self, value: Any, verb: str) -> str:
        if isinstance(value, datetime):
            from taskengine.template.gotime import time_literal, time_string

            text = time_literal(value) if self._flags.sharp_v else time_string(value)
            return self._string(text, "s" if verb == "v" else verb) if verb in "vsxXq" else self._bad(verb, value)
        own = None if self._complaining or self._flags.sharp_v else value.go_string()
        if own is not None and verb in "vsxXq":
            return self._string(own, "s" if verb == "v" else verb)
        named = self._flags.plus_v or self._flags.sharp_v
        parts = []
        for name, field in value.go_fields():
            part = self.formatted(field, verb, nested=True)
            parts.append(f"{name}:{part}" if named else part)
        address, name = ("&" if value.go_kind == "ptr" else ""), type_name(value).lstrip("*")
        if self._flags.sharp_v:
            return f"{address}{name}{{{', '.join(parts)}}}"
        return address + "{" + " ".join(parts) + "}"

    def _list(self, value: list[Any], verb: str) -> str:
        if self._flags.sharp_v:
            if isinstance(value, Slice) and value.is_nil:
                return f"{type_name(value)}(nil)"
            return f"{type_name(value)}{{{self._joined(value, verb, ', ')}}}"
        return f"[{self._joined(value, verb, ' ')}]"

    def _joined(self, value: list[Any], verb: str, separator: str) -> str:
        return separator.join([self.formatted(item, verb, nested=True) for item in value])

    def _map(self, value: dict[str, Any], verb: str) -> str:
        sharp = self._flags.sharp_v
        parts = [
            f"{self.formatted(key, verb, nested=True)}:{self.formatted(value[key], verb, nested=True)}"
            for key in sorted(value)
        ]
        if sharp:
            return f"{type_name(value)}{{{', '.join(parts)}}}"
        return f"map[{' '.join(parts)}]"


def _with_point(text: str, verb: str, prec: int) -> str:
    """The # flag: always a decimal point, and for %g all digits of the precision."""
    sign, number = text[0], text[1:]
    exponent_mark = "p" if verb in "xX" else "e"
    at = number.lower().find(exponent_mark)
    head, tail = (number, "") if at < 0 else (number[:at], number[at:])
    wanted = 0
    if verb in "vgGx":
        wanted = 6 if prec == -1 else prec
    significant = len(head.replace(".", "").lstrip("0")) or 1
    if "." not in head:
        head += "."
    return sign + head + "0" * max(0, wanted - significant) + tail
