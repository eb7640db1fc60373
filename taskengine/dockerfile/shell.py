"""Replaces variables in one word of a Dockerfile as BuildKit does: `$V`, `${V:-d}`, `${V##p}`, `${V/a/b}`, quotes.

Pure, and bounded: a word that would grow without end or nest without end is refused. It must not know which variables
are visible where; they are handed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from taskengine.dockerfile.words import SPACE
from taskengine.lightclass import dataclass

LONGEST_RESULT = 64 * 1024
DEEPEST_NESTING = 32
_SPECIAL = frozenset("@*#?-$!0")
_PATTERN_ESCAPES = frozenset("*?\\")
_REGEX_ESCAPES = frozenset("[]{}.+()|^$")


class ExpansionError(ValueError):
    """A word cannot be expanded. The text says why; whoever expands knows where it stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expanded:
    """A word after expansion, and the names in it that had no value."""

    text: str
    words: tuple[str, ...]
    missing: tuple[str, ...]


def expand(word: str, variables: Mapping[str, str], escape: str = "\\") -> Expanded:
    """Replace the variables of `word`, take off its quotes and escapes."""
    if "$" not in word and "'" not in word and '"' not in word and escape not in word:
        return Expanded(text=word, words=(), missing=())
    lexer = _Lexer(text=word, variables=variables, escape=escape, limit=LONGEST_RESULT + 2 * len(word))
    text = lexer.until("", lexer.raw_escapes)
    return Expanded(text=text, words=tuple(lexer.outer.done()), missing=tuple(lexer.missing))


def split_raw(text: str, *, quotes: bool) -> tuple[str, ...]:
    """The words of a line with its variables left alone, for finding heredocs; `quotes` keeps quotes and escapes in."""
    lexer = _Lexer(
        text=text,
        variables={},
        escape="\\",
        limit=2 * (DEEPEST_NESTING + 2) * (len(text) + 1),
        raw_quotes=quotes,
        raw_escapes=quotes,
        keep_unset=True,
    )
    lexer.until("", quotes)
    return tuple(lexer.outer.done())


@dataclass(slots=True)
class _Words:
    """Splits what is produced at white space, except where it came out of quotes or escapes."""

    words: list[str] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        for char in text:
            if char in SPACE:
                self._end()
            else:
                self.letters.append(char)

    def add_raw(self, text: str) -> None:
        if text:
            self.letters.append(text)

    def done(self) -> list[str]:
        self._end()
        return self.words

    def _end(self) -> None:
        if self.letters:
            self.words.append("".join(self.letters))
            self.letters = []


@dataclass(slots=True)
class _Lexer:
    text: str
    variables: Mapping[str, str]
    escape: str
    limit: int
    raw_quotes: bool = False
    raw_escapes: bool = False
    keep_unset: bool = False
    position: int = 0
    depth: int = 0
    size: int = 0
    missing: dict[str, None] = field(default_factory=dict)
    outer: _Words = field(default_factory=_Words)

    def peek(self) -> str:
        return self.text[self.position] if self.position < len(self.text) else ""

    def next(self) -> str:
        char = self.peek()
        self.position += len(char)
        return char

    def until(self, stop: str, raw_escapes: bool) -> str:
        """Everything up to the character `stop`, which is taken too; up to the end when there is none."""
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise ExpansionError(f"variables nest deeper than {DEEPEST_NESTING}")
        before, self.raw_escapes = self.raw_escapes, raw_escapes
        words = self.outer if self.depth == 1 else None
        out: list[str] = []
        while char := self.peek():
            if char == stop:
                self.position += 1
                break
            self._piece(char, out, words)
        else:
            if stop:
                raise ExpansionError(f"the word ends before the matching {stop}")
        self.raw_escapes = before
        self.depth -= 1
        return self._bounded("".join(out))

    def _piece(self, char: str, out: list[str], words: _Words | None) -> None:
        if char == "$":
            piece, splits = self._dollar(), True
        elif char in "'\"":
            piece, splits = (self._single() if char == "'" else self._double()), False
        elif char == self.escape:
            piece, splits = self._escaped(), False
        else:
            piece, splits = self.next(), True
        out.append(piece)
        if words is not None:
            (words.add if splits else words.add_raw)(piece)

    def _escaped(self) -> str:
        kept = self.next() if self.raw_escapes else self.next() and ""
        return kept + self.next()

    def _single(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise ExpansionError("the word ends before the matching single quote")
        inside = self.text[self.position + 1 : end]
        self.position = end + 1
        return f"'{inside}'" if self.raw_quotes else inside

    def _double(self) -> str:
        self.position += 1
        out = ['"'] if self.raw_quotes else []
        while char := self.peek():
            if char == "$":
                out.append(self._dollar())
                continue
            self.position += 1
            if char == '"':
                if self.raw_quotes:
                    out.append(char)
                return "".join(out)
            if char == self.escape:
                following = self.peek()
                if self.raw_escapes:
                    out.append(char)
                if not following:
                    break
                if following in {'"', "$", self.escape}:
                    char = self.next()
            out.append(char)
        raise ExpansionError("the word ends before the matching double quote")

    def _dollar(self) -> str:
        self.position += 1
        if self.peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._value(name)
            return value if value is not None else ("$" + name if self.keep_unset else "")
        self.position += 1
        return self._bounded(self._braced())

    def _braced(self) -> str:
        start = self.position
        if not self.peek():
            raise ExpansionError("a ${ has no }")
        if self.peek() in "{}:":
            raise ExpansionError("a ${...} names no variable")
        name = self._name()
        operator = self.next()
        if operator == "}":
            value = self._value(name)
            return value if value is not None else ("${" + name + "}" if self.keep_unset else "")
        if operator == "/":
            return self._replace(name, start)
        counts_empty = operator == ":"
        kind = self.next() if counts_empty else operator
        if kind not in set("+-?#%") and not counts_empty:
            raise ExpansionError(_unsupported(operator))
        word = self.until("}", kind in {"#", "%"})
        value = self._value(name)
        if value is None and self.keep_unset:
            return "${" + self.text[start : self.position]
        if kind in {"#", "%"}:
            return _trim(value or "", word, kind)
        return _choose(name, value, kind, word, counts_empty)

    def _replace(self, name: str, start: int) -> str:
        everywhere = self.peek() == "/"
        self.position += everywhere
        pattern = self.until("/", True)
        replacement = self.until("}", True)
        value = self._value(name)
        if value is None and self.keep_unset:
            return "${" + self.text[start : self.position]
        return _substitute(value or "", pattern, replacement, everywhere=everywhere)

    def _name(self) -> str:
        first = self.peek()
        start = self.position
        if first.isdecimal():
            while self.peek().isdecimal():
                self.position += 1
        elif first and first in _SPECIAL:
            self.position += 1
        else:
            while (char := self.peek()) and (char == "_" or char.isalpha() or char.isdecimal()):
                self.position += 1
        return self.text[start : self.position]

    def _value(self, name: str) -> str | None:
        value = self.variables.get(name)
        if value is None:
            self.missing[name] = None
        return value

    def _bounded(self, text: str) -> str:
        # A doubling ARG, forty lines long, would be a value of a terabyte.
        self.size += len(text)
        if self.size > self.limit:
            raise ExpansionError(f"the value grows beyond {LONGEST_RESULT} characters")
        return text


def _choose(name: str, value: str | None, kind: str, word: str, counts_empty: bool) -> str:
    absent = value is None or (counts_empty and value == "")
    if kind == "-":
        return word if absent else value or ""
    if kind == "+":
        return "" if absent else word
    if kind == "?":
        if absent:
            reason = "is not allowed to be " + ("unset" if value is None else "empty")
            raise ExpansionError(f"{name}: {word or reason}")
        return value or ""
    raise ExpansionError(_unsupported(":" + kind))


def _unsupported(operator: str) -> str:
    return f"${{...}} has no operator {operator!r}"


def _trim(value: str, pattern: str, kind: str) -> str:
    """Take the shortest (or with a doubled sign the longest) match of `pattern` off one end of `value`."""
    greedy = pattern.startswith(kind)
    if greedy:
        pattern = pattern[1:]
    if kind == "#":
        return value[_match_end(value, pattern, greedy=greedy) :]
    # The shortest match that ends at the end is the shortest prefix of the reversed value.
    backwards = value[::-1]
    return backwards[_match_end(backwards, _reversed(pattern), greedy=greedy) :][::-1]


def _match_end(value: str, pattern: str, *, greedy: bool) -> int:
    """Where the match of `pattern` at the beginning of `value` ends; 0 for none."""
    try:
        found = _regex(pattern, greedy=greedy, anchored=True).search(value)
    except UnicodeError:
        raise ExpansionError("the value is no valid Unicode text") from None
    return int(found.end()) if found else 0


def _substitute(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    try:
        regex = _regex(pattern, greedy=True, anchored=False)
        return str(regex.sub(lambda _: replacement, value, count=0 if everywhere else 1))
    except UnicodeError:
        raise ExpansionError("the value is no valid Unicode text") from None


def _reversed(pattern: str) -> str:
    """The pattern read backwards, each escape staying in front of what it escapes."""
    tokens: list[str] = []
    position = 0
    while position < len(pattern):
        width = 2 if pattern[position] == "\\" and position + 1 < len(pattern) else 1
        tokens.append(pattern[position : position + width])
        position += width
    return "".join(reversed(tokens))


def _regex(pattern: str, *, greedy: bool, anchored: bool) -> Any:
    """A shell pattern of `*` and `?` for RE2, whose time is linear whatever the pattern."""
    import re2

    out = ["^"] if anchored else []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        following = pattern[position : position + 1]
        if char == "*":
            out.append(".*" if greedy else ".*?")
        elif char == "?":
            out.append(".")
        elif char == "\\":
            if following in {"}", "/"} and following:
                continue
            if following not in _PATTERN_ESCAPES or not following:
                raise ExpansionError(f"the pattern {pattern!r} escapes {following!r}, which needs no escape")
            out.append("\\" + following)
            position += 1
        else:
            out.append("\\" + char if char in _REGEX_ESCAPES else char)
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile("".join(out), options)
    except re2.error:
        raise ExpansionError(f"the pattern {pattern!r} is too long or wrong") from None
