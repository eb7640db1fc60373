"""Command line options as data, and the one reader for both docker run and docker build lines (as pflag reads them).

Knows words and tables of options only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.plan.words import Word, WordError, split
from taskengine.taskspec.report import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option. `value` names what it takes, "" for a switch. `refused` says why it cannot be used here, and what to
    do instead. `ignored`: it is allowed, and means nothing here."""

    name: str
    help: str
    short: str = ""
    value: str = ""
    repeatable: bool = False
    refused: str = ""
    ignored: bool = False
    #: an older spelling
    alias: str = ""

    @property
    def takes_value(self) -> bool:
        return bool(self.value)


class LineError(ValueError):
    """A cmd or build line that cannot be understood; `offset` is the place in the line."""

    def __init__(self, code: str, message: str, offset: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Parsed:
    """Options as written, and the words that are no options, in order."""

    options: tuple[tuple[str, str], ...]
    words: tuple[Word, ...]


class OptionReader:
    """Reads words by a table of options. `command` is how messages call the line; `values` are the readers of those
    options whose value must have a meaning, by name: each raises InvalidInput for one that has none. `other` tells the
    command that these options are easily mixed up with, the steps that run it, and its options."""

    def __init__(
        self,
        options: Sequence[Option],
        *,
        command: str,
        interspersed: bool,
        unknown: str,
        values: Mapping[str, Callable[[str], object]],
        other: Callable[[], tuple[str, str, Sequence[Option]]],
    ) -> None:
        self._command = command
        self._values = values
        self._other = other
        self._interspersed = interspersed
        self._unknown_code = unknown
        self._long: Mapping[str, Option] = {
            **{option.alias: option for option in options if option.alias},
            **{option.name: option for option in options},
        }
        self._short: Mapping[str, Option] = {option.short: option for option in options if option.short}

    def read(self, text: str) -> Parsed:
        """Raises LineError. Without `interspersed`, everything after the first plain word is left as it is."""
        try:
            words = split(text)
        except WordError as error:
            hint = "close it, or write \\' or \\\" for the sign itself"
            raise LineError("E401", error.message, error.offset, hint) from None
        options: list[tuple[str, str]] = []
        rest: list[Word] = []
        at = 0
        while at < len(words):
            word = words[at]
            at += 1
            if len(word.text) < 2 or word.text[0] != "-":
                rest.append(word)
                if not self._interspersed:
                    break
            elif word.text == "--":
                break
            elif word.text.startswith("--"):
                at = self._read_long(word, words, at, options)
            else:
                at = self._read_short(word, words, at, options)
        return Parsed(tuple(options), (*rest, *words[at:]))

    def _read_long(self, word: Word, words: Sequence[Word], at: int, options: list[tuple[str, str]]) -> int:
        name, equals, value = word.text[2:].partition("=")
        option = self._long.get(name)
        if option is None:
            near = did_you_mean(name, [known for known, option in self._long.items() if not option.refused])
            whose, hint = self._of_other(name)
            if near is not None:
                hint = near.replace("'", "'--", 1)
            raise LineError(self._unknown_code, f"{self._command} has no option '--{name}'{whose}", word.start, hint)
        self._check(option, f"--{name}", word)
        if not option.takes_value:
            if not equals or _truth(value, word):
                options.append((option.name, ""))
            return at
        if equals:
            self._add(option, value, word, options)
            return at
        return self._take_value(option, f"--{name}", word, words, at, options)

    def _read_short(self, word: Word, words: Sequence[Word], at: int, options: list[tuple[str, str]]) -> int:
        cluster = word.text[1:]
        for index, letter in enumerate(cluster):
            option = self._short.get(letter)
            if option is None:
                whose, hint = self._of_other(letter)
                if cluster in self._long:
                    hint = f"did you mean '--{cluster}'?"
                message = f"{self._command} has no option '-{letter}'{whose}"
                raise LineError(self._unknown_code, message, word.start, hint)
            self._check(option, f"-{letter}", word)
            following = cluster[index + 1 :]
            if not option.takes_value:
                if following.startswith("="):
                    if _truth(following[1:], word):
                        options.append((option.name, ""))
                    return at
                options.append((option.name, ""))
            elif following:
                self._add(option, following.removeprefix("="), word, options)
                return at
            else:
                return self._take_value(option, f"-{letter}", word, words, at, options)
        return at

    def _take_value(
        self,
        option: Option,
        shown: str,
        word: Word,
        words: Sequence[Word],
        at: int,
        options: list[tuple[str, str]],
    ) -> int:
        if at >= len(words):
            raise LineError("E405", f"the option '{shown}' has no value", word.start, f"{shown} {option.value}")
        self._add(option, words[at].text, words[at], options)
        if option.name == "tag" and words[at].text in ("-t", "--tag"):
            return at  # '-t -t x' names two tags, as in ACR Tasks
        return at + 1

    def _add(self, option: Option, value: str, word: Word, options: list[tuple[str, str]]) -> None:
        read = self._values.get(option.name)
        if read is not None:
            try:
                read(value)
            except InvalidInput as error:
                raise LineError("E405", f"--{option.name}: {error}", word.start, error.hint) from None
        options.append((option.name, value))

    def _of_other(self, name: str) -> tuple[str, str]:
        """Words about an unknown option that the other command may have, and a hint."""
        command, steps, options = self._other()
        hint = f"leave it out here; it has a meaning in {steps} steps"
        for option in options:
            if name in (option.name, option.alias):
                return f": it is one of {command}", hint
            if name == option.short:
                return f": it is one of {command} (--{option.name})", hint
        return "", "the reference of the task format lists the options"

    def _check(self, option: Option, shown: str, word: Word) -> None:
        if option.refused:
            raise LineError("E404", f"the option '{shown}' cannot be used in a task", word.start, option.refused)


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def _truth(text: str, word: Word) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise LineError("E405", f"'{word.text.split('=')[0]}' is a switch: true or false, not '{text}'", word.start)
