"""How the text after a keyword falls into flags and words. Pure; follows BuildKit's parser to the letter.

Knows characters only: neither what an instruction means nor which flags it has.
"""

from __future__ import annotations

import json

from taskengine.lightpattern import pattern

#: what Go's unicode.IsSpace calls white space; Python's own notion has four control characters more
SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_SPACES = frozenset(SPACE)
_GAP = pattern(r"[\t\v\f\r ]+")
_QUOTED_FIELD = pattern(r'"((?:[^"]|"")*)"(,|\Z)')
_BARE_FIELD = pattern(r'([^",]*)(,|\Z)')


class NotStrings(ValueError):
    """A JSON list holds something that is no string."""


def split_keyword(line: str) -> tuple[str, str]:
    """The keyword, and the text after it."""
    parts = _GAP.split(line.strip(SPACE), maxsplit=1)
    return parts[0], parts[1] if len(parts) == 2 else ""


def split_flags(text: str) -> tuple[tuple[str, ...], str]:
    """The leading `--flags` with their quotes removed, and the rest, trimmed."""
    flags: list[str] = []
    position, size = 0, len(text)
    while position < size:
        if text[position] in _SPACES:
            position += 1
            continue
        if not text.startswith("--", position):
            return tuple(flags), text[position:].strip(SPACE)
        flag, position = _one_flag(text, position)
        if flag == "--":
            return tuple(flags), text[position:].strip(SPACE)
        flags.append(flag)
    return tuple(flags), ""


def _one_flag(text: str, position: int) -> tuple[str, int]:
    letters: list[str] = []
    quote, size = "", len(text)
    while position < size:
        char = text[position]
        if not quote and char in _SPACES:
            break
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == "\\":
            position += 1
            if position < size:
                letters.append(text[position])
        else:
            letters.append(char)
        position += 1
    return "".join(letters), position


def split_gaps(text: str) -> tuple[str, ...]:
    """Words between white space; quotes mean nothing."""
    return tuple(_GAP.split(text)) if text else ()


def split_two(text: str) -> tuple[str, ...]:
    """At most two words, for the old form `ENV name value`."""
    return tuple(_GAP.split(text, maxsplit=1))


def split_quoted(text: str, escape: str) -> tuple[str, ...]:
    """Words as a shell sees them, with quotes and escapes left in: they are taken off when variables are expanded."""
    if "'" not in text and '"' not in text and escape not in text:
        return tuple(text.split())
    words: list[str] = []
    letters: list[str] = []
    quote, in_word, position, size = "", False, 0, len(text)
    while position < size:
        char = text[position]
        position += 1
        if not quote and char in _SPACES:
            if in_word and letters:
                words.append("".join(letters))
            letters, in_word = [], False
            continue
        in_word = True
        if char == escape and quote != "'":
            if position == size:
                break
            letters.append(char)
            char = text[position]
            position += 1
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        letters.append(char)
    if letters:
        words.append("".join(letters))
    return tuple(words)


def json_list(text: str) -> tuple[str, ...] | None:
    """The words of a JSON list of strings; None when the text is no JSON list, so that it means something else."""
    stripped = text.lstrip(SPACE)
    if not stripped.startswith("["):
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list):
        return None
    if not all(isinstance(item, str) for item in value):
        raise NotStrings
    return tuple(value)


def csv_fields(text: str) -> tuple[str, ...] | None:
    """One record of comma-separated values, quotes allowed around a field; None when the quotes do not fit."""
    if '"' not in text:
        return tuple(text.split(","))
    fields: list[str] = []
    position = 0
    while True:
        match = _QUOTED_FIELD.match(text, position) or _BARE_FIELD.match(text, position)
        if match is None:
            return None
        quoted = text.startswith('"', position)
        fields.append(match[1].replace('""', '"') if quoted else match[1])
        position = match.end()
        if not match[2]:
            return tuple(fields)
