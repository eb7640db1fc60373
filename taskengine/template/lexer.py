"""Template text to tokens: plain text between actions, and the words inside them. Trim markers and comments end here.

Knows characters and offsets only; what a word means is the parser's business."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from taskengine.lightpattern import pattern
from taskengine.template.result import TemplateError

_SPACES = " \t\r\n"


class Kind:
    """What a token is. Plain texts, for they are compared a million times in a large file."""

    TEXT = "TEXT"
    CLOSE = "CLOSE"
    SPACE = "SPACE"
    WORD = "WORD"
    KEYWORD = "KEYWORD"
    FIELD = "FIELD"
    VARIABLE = "VARIABLE"
    DOT = "DOT"
    STRING = "STRING"
    NUMBER = "NUMBER"
    PIPE = "PIPE"
    DECLARE = "DECLARE"
    ASSIGN = "ASSIGN"
    PAREN_OPEN = "PAREN_OPEN"
    PAREN_CLOSE = "PAREN_CLOSE"
    CHAR = "CHAR"


class Token(NamedTuple):
    kind: str
    pos: int
    text: str


KEYWORDS = frozenset({"block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with"})

_TOKEN = pattern(
    r"""(?P<SPACE>[ \t\r\n]+)
    |(?P<SIGN>[+-]|(?=[0-9])|\.(?=[0-9]))
    |(?P<FIELD>(?:\.(?![0-9])\w+)+|\.)
    |(?P<WORD>\w+)
    |(?P<VARIABLE>\$\w*)
    |(?P<STRING>"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"|`[^`]*`)
    |(?P<CHARACTER>'[^'\\\n]*+(?:\\[^\n][^'\\\n]*+)*+')
    |(?P<PIPE>\|)
    |(?P<DECLARE>:=)
    |(?P<ASSIGN>=)
    |(?P<PAREN_OPEN>\()
    |(?P<PAREN_CLOSE>\))
    |(?P<CHAR>[!-~])""",
    re.VERBOSE,
)
_NUMBER = pattern(
    r"""[+-]?(?:
      0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?
    | 0[oO][0-7_]*(?:\.[0-7_]*)?
    | 0[bB][01_]*(?:\.[01_]*)?
    | [0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?
    )i?""",
    re.VERBOSE,
)
_UNFINISHED = {
    '"': ("unterminated quoted string", 'close the string with " on the same line'),
    "`": ("unterminated raw quoted string", "close the string with `"),
    "'": ("unterminated character constant", "strings stand in double quotes"),
    ":": ("expected :=", "a variable is declared with {{ $name := value }}"),
}


def fail(message: str, offset: int, hint: str | None = None) -> NoReturn:
    raise TemplateError(message, offset=offset, kind="parse", hint=hint)


def scan(text: str) -> Iterator[tuple[int, list[Token], TemplateError | None]]:
    """The pieces with their places: a piece of plain text alone, or the tokens of one action, ending with CLOSE.

    An action with a character that fits nowhere comes with that error and the tokens before it, when it is plain where
    the action ends; otherwise TemplateError is raised."""
    pos, trim = 0, False
    while True:
        opening = text.find("{{", pos)
        stop = len(text) if opening < 0 else opening
        marked = opening >= 0 and text.startswith("-", opening + 2) and text[opening + 3 : opening + 4] in _SPACE_SET
        if stop > pos:
            plain = _trimmed(text, pos, stop, left=trim, right=marked)
            if plain.text:
                yield plain.pos, [plain], None
        if opening < 0:
            return
        inner = opening + (4 if marked else 2)
        if text.startswith("/*", inner):
            pos, trim = _comment(text, opening, inner)
            continue
        action: list[Token] = []
        try:
            pos, trim = _action(text, opening, opening + (3 if marked else 2), action)
        except TemplateError as error:
            end = _resume(text, error.offset)
            if end is None:
                raise
            action.append(Token(Kind.CLOSE, end, "}}"))
            pos, trim = end + 2, False
            yield opening, action, error
        else:
            yield opening, action, None


def _resume(text: str, pos: int) -> int | None:
    """Where an action that broke at `pos` ends; None when that is not plain: a quote or another action is before it."""
    stop = text.find("}}", pos)
    return None if stop < 0 or _ASTRAY.search(text, pos, stop) else stop


_SPACE_SET = frozenset(_SPACES)
_ASTRAY = pattern(r"[\"'`]|\{\{")


def _trimmed(text: str, start: int, stop: int, *, left: bool, right: bool) -> Token:
    piece = text[start:stop]
    if left:
        piece = piece.lstrip(_SPACES)
        start = stop - len(piece)
    if right:
        piece = piece.rstrip(_SPACES)
    return Token(Kind.TEXT, start, piece)


def _closing(text: str, pos: int) -> tuple[int, bool] | None:
    """Where the text goes on after closing braces at `pos`, and whether they trim it; None if there are none."""
    if text.startswith("}}", pos):
        return pos + 2, False
    if text.startswith("-}}", pos + 1) and text[pos] in _SPACE_SET:
        return pos + 4, True
    return None


def _comment(text: str, opening: int, inner: int) -> tuple[int, bool]:
    end = text.find("*/", inner + 2)
    if end < 0:
        fail("unclosed comment", opening, "end it with */}}")
    closing = _closing(text, end + 2)
    if closing is None:
        fail("comment ends before closing delimiter", end, "*/ must be followed by }} at once: {{/* ... */}}")
    return closing


def _action(text: str, opening: int, pos: int, found: list[Token]) -> tuple[int, bool]:
    """Add the tokens of one action to `found`; where the text goes on behind it, and whether that is trimmed."""
    depth = 0
    match_token = _TOKEN.match
    while True:
        closing = _closing(text, pos) if text[pos : pos + 1] in _CLOSERS else None
        if closing is not None:
            if depth:
                fail("unclosed left paren", pos, "close it with )")
            found.append(Token(Kind.CLOSE, pos, "}}"))
            return closing
        match = match_token(text, pos)
        if match is None:
            _refuse(text, pos, opening)
        kind, word = match.lastgroup or "", match.group()
        if kind == "SPACE":
            end = match.end()
            if text.startswith("-}}", end):
                end -= 1
            if end > pos:
                found.append(Token(kind, pos, " "))
            pos = end
            continue
        if kind in _NAMES:
            token = _name(text, pos, word, kind)
        elif kind == "SIGN":
            token = _number(text, pos)
        elif kind == "CHARACTER":
            token = Token(Kind.NUMBER, pos, word)
        else:
            token = Token(kind, pos, word)
            if kind == "CHAR" and word in _UNFINISHED:
                fail(*_unfinished(word, pos))
            if kind == "PAREN_OPEN":
                depth += 1
            elif kind == "PAREN_CLOSE":
                depth -= 1
                if depth < 0:
                    fail("unexpected right paren", pos, "there is no ( before it")
        found.append(token)
        pos += len(token.text)


_CLOSERS = frozenset("} \t\r\n")
_NAMES = frozenset({"WORD", "FIELD", "VARIABLE"})
_AFTER_NAME = frozenset(" \t\r\n.,|:)(")


def _unfinished(char: str, pos: int) -> tuple[str, int, str]:
    message, hint = _UNFINISHED[char]
    return message, pos, hint


def _refuse(text: str, pos: int, opening: int) -> NoReturn:
    if pos >= len(text):
        fail("unclosed action", opening, "close it with }}")
    char = text[pos]
    if char in _UNFINISHED:
        fail(*_unfinished(char, pos))
    fail(
        f"unrecognized character in action: U+{ord(char):04X} {char!r}", pos, f"the action began at character {opening}"
    )


def _name(text: str, pos: int, word: str, group: str) -> Token:
    end = pos + len(word)
    following = text[end : end + 1]
    if following and following not in _AFTER_NAME and not text.startswith("}}", end):
        hint = None
        if following == "-":
            hint = 'reach a name with a hyphen through index: {{ index .Values "my-key" }}'
        elif following == "=":
            hint = "put a space before ="
        fail(f"bad character U+{ord(following):04X} {following!r} after {word!r}", end, hint)
    if word == ".":
        return Token(Kind.DOT, pos, word)
    return Token(Kind.KEYWORD if word in KEYWORDS else group, pos, word)


def _number(text: str, pos: int) -> Token:
    match = _NUMBER.match(text, pos)
    end = match.end() if match else pos
    if match and text[end : end + 1] in {"+", "-"} and not _is_word(text, end):
        second = _NUMBER.match(text, end)
        if second is None or not second.group().endswith("i"):
            fail(f"bad number syntax: {text[pos : second.end() if second else end]!r}", pos)
        end = second.end()
    if _is_word(text, end):
        fail(
            f"bad number syntax: {text[pos : end + 1]!r}",
            pos,
            "a name cannot begin with a digit; texts stand in quotes",
        )
    return Token(Kind.NUMBER, pos, text[pos:end])


def _is_word(text: str, pos: int) -> bool:
    char = text[pos : pos + 1]
    return char == "_" or char.isalnum()
