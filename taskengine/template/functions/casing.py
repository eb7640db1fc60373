"""Functions that change the case of letters or the way words are joined, by the rules of the libraries Sprig uses."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from taskengine.template.budget import Env
from taskengine.template.functions.text import SPACES

_SPACES = frozenset(SPACES)


def _upper(char: str) -> str:
    """One character for one: Go maps rune by rune, so ß stays ß."""
    mapped = char.upper()
    return mapped if len(mapped) == 1 else _title(char)


def _lower(char: str) -> str:
    # Only İ becomes two characters, of which the first is the one.
    return char.lower()[0]


def _title(char: str) -> str:
    mapped = char.title()
    return mapped if len(mapped) == 1 else char


def upper(_env: Env, text: str) -> str:
    mapped = text.upper()
    return mapped if len(mapped) == len(text) else "".join(map(_upper, text))


def lower(env: Env, text: str) -> str:
    if text.isascii():
        return text.lower()
    env.spend(len(text) >> 3)
    return "".join(map(_lower, text))


def title(env: Env, text: str) -> str:
    env.spend(len(text) >> 3)
    out, previous = [], " "
    for char in text:
        out.append(_title(char) if _separates(previous) else char)
        previous = char
    return "".join(out)


def _separates(char: str) -> bool:
    if char < "\x80":
        return not (char.isalnum() or char == "_")
    return char in _SPACES


def untitle(env: Env, text: str) -> str:
    env.spend(len(text) >> 3)
    out, fresh = [], True
    for char in text:
        if char in _SPACES:
            fresh = True
        elif fresh:
            char, fresh = _lower(char), False
        out.append(char)
    return "".join(out)


def swapcase(env: Env, text: str) -> str:
    env.spend(len(text) >> 3)
    out, fresh = [], True
    for char in text:
        kind = unicodedata.category(char)
        if kind in {"Lu", "Lt"}:
            out.append(_lower(char))
            fresh = False
        elif kind == "Ll":
            out.append(_title(char) if fresh else _upper(char))
            fresh = False
        else:
            out.append(char)
            fresh = char in _SPACES
    return "".join(out)


def _connects(char: str) -> bool:
    return char in "-_" or char in _SPACES


def camelcase(env: Env, text: str) -> str:
    """Words joined, each with a capital; of a run of connectors in front or between, all but the last stay."""
    env.spend(len(text) >> 3)
    rest = text.lstrip("-_" + SPACES)
    out = [text[: len(text) - len(rest)]]
    if not rest:
        # As the library does it: what consists of connectors only gets its last one twice.
        return text + text[-1:]
    previous = _upper(rest[0])
    for char in rest[1:]:
        if _connects(char) and _connects(previous):
            out.append(previous)
            previous = char
            continue
        if _connects(previous):
            previous = _upper(char)
        else:
            out.append(previous)
            previous = _lower(char)
    out.append(previous)
    return "".join(out)


def snakecase(env: Env, text: str) -> str:
    return _lower_case(env, text, "_")


def kebabcase(env: Env, text: str) -> str:
    return _lower_case(env, text, "-")


# Chinese letters make no words that have a case.
_IDEOGRAPHS = ("\u4e00", "\u9fcc"), ("\u3400", "\u4d85"), ("\U00020000", "\U0002b81d")


def _is_punct(char: str) -> bool:
    return unicodedata.category(char).startswith("P")


def _class(char: str) -> str:
    if _connects(char):
        return "connector"
    kind = unicodedata.category(char)
    if kind.startswith("P"):
        return "punct"
    if kind == "Lu":
        return "upper"
    if kind.startswith("L") and not any(first <= char <= last for first, last in _IDEOGRAPHS):
        return "lower"
    return "number" if kind.startswith("N") else "other"


def _runs(text: str) -> Iterator[tuple[str, str]]:
    """Characters of one class together. A punctuation mark takes connectors behind it along when they are marks."""
    start = 0
    while start < len(text):
        kind, end = _class(text[start]), start + 1
        while end < len(text) and (_is_punct(text[end]) if kind == "punct" else _class(text[end]) == kind):
            end += 1
        yield kind, text[start:end]
        start = end


def _words(text: str) -> Iterator[tuple[str, str]]:
    """The words of a mixed-case text: a capital starts a word, a run of capitals is one, HTTPServer is HTTP Server."""
    runs = list(_runs(text))
    i = 0
    while i < len(runs):
        kind, word = runs[i]
        followed = i + 1 < len(runs) and runs[i + 1][0] == "lower"
        if kind == "upper" and followed:
            if len(word) > 1:
                yield "upper", word[:-1]
            yield "upper", word[-1] + runs[i + 1][1]
            i += 2
            continue
        yield kind, word
        i += 1


def _lower_case(env: Env, text: str, connector: str) -> str:
    """Numbers belong to the word before them (Bld4), unless lower-case letters follow (2xx): then they start one."""
    env.spend(len(text) >> 2)
    words = list(_words(text))
    out: list[str] = []
    i = 0
    while i + 1 < len(words):
        kind = words[i][0]
        out.append(_written(*words[i], connector))
        i += 1
        if kind == "number":
            i = _absorb(words, i, out, connector)
            # As the library does it: a connector that follows a number is written twice.
            if i < len(words) and words[i][0] != "punct":
                out.append(connector)
        elif kind not in {"connector", "punct"}:
            i = _after_word(words, i, out, connector)
    if i < len(words):
        out.append(_written(*words[i], connector))
    return "".join(out)


def _after_word(words: list[tuple[str, str]], i: int, out: list[str], connector: str) -> int:
    if words[i][0] == "number":
        if i + 1 == len(words):
            return i
        lower_follows = words[i + 1][0] == "lower"
        out.append((connector if lower_follows else "") + words[i][1])
        i += 1
        if lower_follows:
            i = _absorb(words, i, out, connector)
    if i < len(words) and words[i][0] not in {"connector", "punct"}:
        out.append(connector)
    return i


def _absorb(words: list[tuple[str, str]], i: int, out: list[str], connector: str) -> int:
    """Lower-case letters and numbers after a number belong to it: 2xx, 20x3."""
    while i < len(words) and words[i][0] in {"lower", "number"}:
        out.append(_written(*words[i], connector))
        i += 1
    return i


def _written(kind: str, word: str, connector: str) -> str:
    if kind == "connector":
        return connector * len(word)
    if kind == "upper":
        return "".join(_lower(char) if unicodedata.category(char) == "Lu" else char for char in word)
    return word
