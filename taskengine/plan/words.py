"""Splits a line into words exactly as a POSIX shell does: blanks, quotes, backslashes. No expansion, no operators.

Pure text in, words with their offsets out. Knows nothing of docker, steps or YAML.
"""

from __future__ import annotations

from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

#: what separates words; a shell would end the command at a line feed, here it separates like the others
_BLANK = " \t\n"
_PLAIN = pattern(r"[^ \t\n]+")
_SPECIAL = pattern(r"""['"\\]""")
#: characters that end a run of ordinary ones
_STOP = pattern(r"""[ \t\n'"\\]""")
_IN_DOUBLE = pattern(r'["\\]')
#: in double quotes a backslash only takes these characters' meaning away
_ESCAPABLE = '$`"\\'


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its text without quotes, and where it stood, `start` to `end`. `quoted`: some of it was quoted."""

    text: str
    start: int
    end: int
    quoted: bool = False


class WordError(ValueError):
    """A quote is opened and not closed; `offset` is where it was opened."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def split(text: str) -> tuple[Word, ...]:
    """The words of a line. Raises WordError for an unclosed quote."""
    if _SPECIAL.search(text) is None:
        return tuple(Word(match.group(), match.start(), match.end()) for match in _PLAIN.finditer(text))
    words = []
    at, end = 0, len(text)
    while at < end:
        if text[at] in _BLANK:
            at += 1
        elif text.startswith("\\\n", at):
            at += 2
        else:
            word = _word(text, at)
            words.append(word)
            at = word.end
    return tuple(words)


def _word(text: str, start: int) -> Word:
    parts: list[str] = []
    at, end = start, len(text)
    quoted = False
    while at < end:
        char = text[at]
        if char in _BLANK:
            break
        if char == "'":
            close = text.find("'", at + 1)
            if close < 0:
                raise WordError("a single quote (') is not closed", at)
            parts.append(text[at + 1 : close])
            at, quoted = close + 1, True
        elif char == '"':
            at = _double_quoted(text, at, parts)
            quoted = True
        elif char == "\\":
            at = _escaped(text, at, parts)
            quoted = True
        else:
            match = _STOP.search(text, at)
            stop = match.start() if match else end
            parts.append(text[at:stop])
            at = stop
    return Word("".join(parts), start, at, quoted)


def _double_quoted(text: str, start: int, parts: list[str]) -> int:
    at = start + 1
    while match := _IN_DOUBLE.search(text, at):
        stop = match.start()
        parts.append(text[at:stop])
        if text[stop] == '"':
            return stop + 1
        following = text[stop + 1 : stop + 2]
        if following == "\n":
            pass
        elif following and following in _ESCAPABLE:
            parts.append(following)
        else:
            parts.append("\\" + following)
        at = stop + 2
    raise WordError('a double quote (") is not closed', start)


def _escaped(text: str, at: int, parts: list[str]) -> int:
    following = text[at + 1 : at + 2]
    if following != "\n":  # a backslash at the very end stays, one before a line feed goes with it
        parts.append(following or "\\")
    return at + 2 if following else at + 1


def runtime_env(entry: str) -> str:
    """An `env` entry as the container gets it: one that is exactly one shell word loses its quotes, others are literal.

    Files that were written for ACR Tasks quote values with blanks (`A='x y'`), because there a shell reads them.
    """
    if _SPECIAL.search(entry) is None:
        return entry
    try:
        words = split(entry)
    except WordError:
        return entry
    if len(words) != 1 or words[0].start != 0 or words[0].end != len(entry):
        return entry
    return words[0].text


@dataclass(frozen=True, slots=True)
class Operator:
    """Something that a shell would act on, and we do not."""

    text: str
    start: int


_OPERATORS = pattern(r"&&|\|\||;;|>>|<<|\$\(|[;|&<>`]")
_IN_QUOTES = pattern(r"\$\(|`")


def find_operators(text: str) -> tuple[Operator, ...]:
    """Shell operators outside quotes, and command substitutions outside single quotes: plain text for us."""
    if _OPERATORS.search(text) is None:
        return ()
    found = []
    at, end = 0, len(text)
    double = False
    while at < end:
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if char == '"':
            double = not double
        elif char == "'" and not double:
            close = text.find("'", at + 1)
            at = end if close < 0 else close
        elif match := (_IN_QUOTES if double else _OPERATORS).match(text, at):
            found.append(Operator(match.group(), at))
            at = match.end()
            continue
        at += 1
    return tuple(found)
