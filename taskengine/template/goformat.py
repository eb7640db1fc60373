"""Go's Sprintf: reads a format string, with its flags, widths, argument indexes and all its ways to complain.

Must not know templates, nor how a single value is formatted."""

from __future__ import annotations

from typing import Any

from taskengine.template.budget import Env
from taskengine.template.gofmt import Flags, Printer, display, paid
from taskengine.template.value import basic_kind, type_name

_MAX_WIDTH = 1_000_000


def sprintf(env: Env, pattern: str, args: tuple[Any, ...]) -> str:
    """fmt.Sprintf."""
    return paid(env, "".join(_Format(env, pattern, args).pieces()))


class _Format:
    """One format string, read from left to right."""

    def __init__(self, env: Env, pattern: str, args: tuple[Any, ...]) -> None:
        self._env = env
        self._pattern = pattern
        self._args = args
        self._i = 0
        self._arg = 0
        self._good_index = True
        self._reordered = False

    def pieces(self) -> list[str]:
        out: list[str] = []
        pattern, size = self._pattern, len(self._pattern)
        while self._i < size:
            percent = pattern.find("%", self._i)
            if percent < 0:
                out.append(pattern[self._i :])
                break
            out.append(pattern[self._i : percent])
            self._i = percent + 1
            self._env.spend(1)
            self._directive(out)
        if not self._reordered and self._arg < len(self._args):
            extra = [self._extra(arg) for arg in self._args[self._arg :]]
            out.append(f"%!(EXTRA {', '.join(extra)})")
        return out

    def _extra(self, arg: Any) -> str:
        return "<nil>" if arg is None else f"{type_name(arg)}={display(self._env, arg)}"

    def _directive(self, out: list[str]) -> None:
        pattern, size = self._pattern, len(self._pattern)
        flags = Flags()
        while self._i < size and pattern[self._i] in "#0+- ":
            name = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}[pattern[self._i]]
            setattr(flags, name, True)
            self._i += 1
        self._good_index = True
        indexed = self._width(flags, out, self._index())
        indexed = self._precision(flags, out, indexed)
        if not indexed:
            self._index()
        if self._i >= size:
            out.append("%!(NOVERB)")
            return
        verb = pattern[self._i]
        self._i += 1
        out.append(self._verb(verb, flags))

    def _verb(self, verb: str, flags: Flags) -> str:
        if verb == "%":
            return "%"
        if not self._good_index:
            return f"%!{verb}(BADINDEX)"
        if self._arg >= len(self._args):
            return f"%!{verb}(MISSING)"
        if verb in "vw":
            flags.sharp_v, flags.sharp = flags.sharp, False
            flags.plus_v, flags.plus = flags.plus, False
        arg = self._args[self._arg]
        self._arg += 1
        return Printer(self._env, flags).formatted(arg, verb)

    def _width(self, flags: Flags, out: list[str], indexed: bool) -> bool:
        if self._pattern.startswith("*", self._i):
            self._i += 1
            number = self._int_arg()
            if number is None:
                out.append("%!(BADWIDTH)")
            elif number < 0:
                flags.minus, flags.zero, flags.width = True, False, -number
            else:
                flags.width = number
            return False
        flags.width = self._digits()
        if indexed and flags.width is not None:
            self._good_index = False
        return indexed

    def _precision(self, flags: Flags, out: list[str], indexed: bool) -> bool:
        if not self._pattern.startswith(".", self._i):
            return indexed
        self._i += 1
        if indexed:
            self._good_index = False
        indexed = self._index()
        if self._pattern.startswith("*", self._i):
            self._i += 1
            number = self._int_arg()
            if number is None:
                out.append("%!(BADPREC)")
            elif number >= 0:
                flags.prec = number
            else:
                out.append("%!(BADPREC)")
            return False
        flags.prec = self._digits() or 0
        return indexed

    def _digits(self) -> int | None:
        start = self._i
        while self._i < len(self._pattern) and "0" <= self._pattern[self._i] <= "9":
            self._i += 1
        if self._i == start:
            return None
        if self._i - start > 7 or int(self._pattern[start : self._i]) > _MAX_WIDTH:
            self._i = len(self._pattern)
            return None
        return int(self._pattern[start : self._i])

    def _int_arg(self) -> int | None:
        if self._arg >= len(self._args):
            return None
        arg = self._args[self._arg]
        self._arg += 1
        if basic_kind(arg) not in {"int", "uint"} or abs(arg) > _MAX_WIDTH:
            return None
        return int(arg)

    def _index(self) -> bool:
        """Read an explicit argument index such as [2]."""
        if not self._pattern.startswith("[", self._i):
            return False
        self._reordered = True
        close = self._pattern.find("]", self._i)
        if close < 0:
            self._good_index = False
            self._i += 1
            return False
        digits = self._pattern[self._i + 1 : close]
        self._i = close + 1
        if digits.isascii() and digits.isdigit() and len(digits) <= 7 and 1 <= int(digits) <= len(self._args):
            self._arg = int(digits) - 1
            return True
        self._good_index = False
        return digits.isascii() and digits.isdigit()
