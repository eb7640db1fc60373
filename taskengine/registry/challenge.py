"""What a registry asks for when it says 401: the `WWW-Authenticate` header, by RFC 7235. Pure.

Wild headers are read as far as they make sense and never raise; whoever asks decides what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

_SPACE = pattern(r"[ \t]*")
_GAP = pattern(r"[ \t,]*")
_TOKEN = pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_EQUALS = pattern(r"[ \t]*=[ \t]*")
#: credentials of one word, as Negotiate has them: they fill the challenge up to the next comma
_TOKEN68 = pattern(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_QUOTED = pattern(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
#: broader than the standard's token, which has no room for the addresses that some servers leave unquoted
_BARE = pattern(r'[^\s,"]*')
_ESCAPE = pattern(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """One way to log in. `scheme` and the names of parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        return self.parameters.get(name, "")

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.get("scope").split())


def parse_challenges(header: str | None) -> tuple[Challenge, ...]:
    """Every challenge of the header, in its order. Several headers may be joined by commas first."""
    text, at = header or "", 0
    found: list[tuple[str, dict[str, str]]] = []
    while True:
        at = _end(_GAP, text, at)
        word = _TOKEN.match(text, at)
        if word is None:
            break
        equals = _EQUALS.match(text, word.end())
        if equals and found:
            value, at = _value(text, equals.end())
            if value is None:
                break
            found[-1][1].setdefault(word[0].lower(), value)
        elif equals:
            break
        else:
            found.append((word[0].lower(), {}))
            at = _skip_token68(text, word.end())
    return tuple(Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in found)


def _value(text: str, at: int) -> tuple[str | None, int]:
    if quoted := _QUOTED.match(text, at):
        return _ESCAPE.sub(r"\1", quoted[1]), quoted.end()
    if text.startswith('"', at):
        return None, at
    end = _end(_BARE, text, at)
    return text[at:end], end


def _skip_token68(text: str, at: int) -> int:
    after = _end(_SPACE, text, at)
    found = _TOKEN68.match(text, after) if after > at else None
    return found.end() if found else at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def quote_value(text: str) -> str:
    """A parameter's value in quotes, as `parse_challenges` reads it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
