"""What each instruction accepts: its flags, the number and form of its arguments. Judges one instruction at a time.

Knows nothing of stages, variables or images. What a newer front end may know better (an unknown flag, an unknown
instruction) is a warning when the file asks for a front end of its own, and an error otherwise.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from enum import Enum

from taskengine.dockerfile.model import Instruction
from taskengine.dockerfile.problem import Problems
from taskengine.dockerfile.words import csv_fields, split_two
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern


class Flag(Enum):
    """How often a flag may stand and what follows it."""

    SWITCH = "switch"
    VALUE = "value"
    VALUES = "values"


_V, _S, _M = Flag.VALUE, Flag.SWITCH, Flag.VALUES
FLAGS: Mapping[str, Mapping[str, Flag]] = {
    "ADD": {
        "chown": _V, "chmod": _V, "link": _S, "keep-git-dir": _S, "checksum": _V, "exclude": _M, "unpack": _S,
    },
    "ARG": {},
    "CMD": {},
    "COPY": {"from": _V, "chown": _V, "chmod": _V, "link": _S, "parents": _S, "exclude": _M},
    "ENTRYPOINT": {},
    "ENV": {},
    "EXPOSE": {},
    "FROM": {"platform": _V},
    "HEALTHCHECK": {"interval": _V, "timeout": _V, "start-period": _V, "start-interval": _V, "retries": _V},
    "LABEL": {},
    "MAINTAINER": {},
    "ONBUILD": {},
    "RUN": {"mount": _M, "network": _V, "security": _V, "device": _M},
    "SHELL": {},
    "STOPSIGNAL": {},
    "USER": {},
    "VOLUME": {},
    "WORKDIR": {},
}  # fmt: skip
MOUNT_KEYS = (
    "type", "from", "source", "src", "target", "dst", "destination", "readonly", "ro", "readwrite", "rw", "required",
    "size", "id", "sharing", "mode", "uid", "gid", "env",
)  # fmt: skip
_MOUNT_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_STAGE_NAME = pattern(r"[a-z][a-z0-9-_.]*")
_DURATION = pattern(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)


class FrontEnd(Enum):
    """Who reads the file: the builder itself, a version of Docker's own front end, or somebody else's."""

    BUILT_IN = "built in"
    DOCKERS = "docker's"
    FOREIGN = "foreign"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A `RUN --mount`; `source` is the stage or image it names, empty for none."""

    kind: str
    source: str


def flag_value(instruction: Instruction, name: str) -> str:
    """The value of a flag that may stand once; empty when it does not stand there."""
    prefix = f"--{name}="
    return next((flag[len(prefix) :] for flag in instruction.flags if flag.startswith(prefix)), "")


def mounts(instruction: Instruction) -> tuple[Mount, ...]:
    """The mounts of a RUN that could be read."""
    found = []
    for flag in instruction.flags:
        if flag.startswith("--mount="):
            fields = dict(_mount_fields(flag) or ())
            found.append(Mount(kind=fields.get("type", "bind").lower(), source=fields.get("from", "")))
    return tuple(found)


def stage_name(instruction: Instruction) -> str:
    """The name that a well-formed FROM gives its stage, in lower case; empty for none."""
    return instruction.words[2].lower() if len(instruction.words) == 3 else ""


def key_and_value(word: str) -> tuple[str, str | None]:
    """An ARG's name, and its default if it has one."""
    key, equals, value = word.partition("=")
    return key, value if equals else None


def judge(instruction: Instruction, problems: Problems, front_end: FrontEnd) -> bool:
    """Add what is wrong with one instruction. True when nothing is, so that it can be interpreted further."""
    if problems.is_full:
        return False
    before = problems.errors
    if instruction.keyword not in FLAGS:
        _unknown(instruction, problems, known=front_end is not FrontEnd.FOREIGN)
        return False
    if instruction.keyword != "ARG":  # a builder does not look at the flags of ARG
        _judge_flags(instruction, problems, known=front_end is FrontEnd.BUILT_IN)
    _RULES[instruction.keyword](instruction, problems)
    return problems.errors == before


def _unknown(instruction: Instruction, problems: Problems, *, known: bool) -> None:
    near = difflib.get_close_matches(instruction.keyword[:40], FLAGS, n=1)
    hint = f"did you mean {near[0]}?" if near else "is a \\ missing at the end of the line above?"
    shown = instruction.written if len(instruction.written) <= 60 else instruction.written[:57] + "..."
    code = "E702" if known else "W703"
    problems.add(code, f"unknown instruction {shown!r}", instruction.line, hint=hint)


def _judge_flags(instruction: Instruction, problems: Problems, *, known: bool) -> None:
    flags = FLAGS[instruction.keyword]
    used: set[str] = set()
    for flag in instruction.flags:
        name, equals, value = flag[2:].partition("=")
        kind = flags.get(name)
        if kind is None:
            near = difflib.get_close_matches(name[:40], flags, n=1)
            hint = f"did you mean --{near[0]}?" if near else _known_flags(instruction.keyword)
            code = "E704" if known else "W703"
            _add(problems, instruction, code, f"{instruction.keyword} has no flag --{name[:60]}", hint, flag)
        elif name in used and kind is not Flag.VALUES:
            _add(problems, instruction, "E704", f"--{name} stands here twice", "remove one of them", flag)
        elif kind is Flag.SWITCH and (value.lower() not in {"true", "false"} if equals else False):
            _add(problems, instruction, "E704", f"--{name} is true or false, not {value[:60]!r}", None, flag)
        elif kind is not Flag.SWITCH and not equals:
            _add(problems, instruction, "E704", f"--{name} has no value", f"write --{name}=VALUE, as one word", flag)
        used.add(name)


def _known_flags(keyword: str) -> str:
    names = ", ".join(f"--{name}" for name in FLAGS[keyword])
    return f"its flags are {names}" if names else f"{keyword} has no flags"


def _add(problems: Problems, at: Instruction, code: str, message: str, hint: str | None, needle: str = "") -> None:
    problems.add(code, message, at.line, hint=hint, needle=needle.split("=")[0], last_line=at.last_line)


def _from(instruction: Instruction, problems: Problems) -> None:
    words = instruction.words
    if len(words) == 3 and words[1].lower() == "as":
        if not _STAGE_NAME.fullmatch(words[2].lower()):
            hint = "begin with a letter; then letters, digits, '-', '_', '.'"
            _add(problems, instruction, "E709", f"{words[2][:60]!r} cannot name a stage", hint, words[2])
        return
    if len(words) == 1:
        return
    hint = "write FROM IMAGE, or FROM IMAGE AS NAME"
    if any(word.startswith("#") for word in words):
        hint = "a comment needs a line of its own"
    elif any(word.startswith("--") for word in words):
        hint = "flags come before the image: FROM --platform=... IMAGE"
    _add(problems, instruction, "E703", f"FROM requires either one or three arguments, not {len(words)}", hint)


def _at_least_one(instruction: Instruction, problems: Problems) -> None:
    if not instruction.words:
        _add(problems, instruction, "E703", f"{instruction.keyword} requires at least one argument", None)


def _exactly_one(instruction: Instruction, problems: Problems) -> None:
    if len(instruction.words) != 1:
        _add(problems, instruction, "E703", f"{instruction.keyword} requires exactly one argument", None)


def _arg(instruction: Instruction, problems: Problems) -> None:
    _at_least_one(instruction, problems)
    if any(word.startswith("=") for word in instruction.words):
        _add(problems, instruction, "E703", "ARG names can not be blank", "write ARG NAME=VALUE", "=")


def _pairs(instruction: Instruction, problems: Problems) -> None:
    keyword, words = instruction.keyword, instruction.words
    if not words:
        _at_least_one(instruction, problems)
    elif "=" not in words[0]:
        if len(split_two(instruction.rest)) < 2:
            _add(problems, instruction, "E703", f"{keyword} must have two arguments", f"write {keyword} NAME=VALUE")
    else:
        for word in words:
            if "=" not in word:
                message = f"{keyword} has no = in {word[:60]!r}"
                _add(problems, instruction, "E703", message, "every pair is NAME=VALUE; quote values with spaces", word)
            elif word.startswith("="):
                _add(problems, instruction, "E703", f"{keyword} names can not be blank", None, word)


def _sources(instruction: Instruction, problems: Problems) -> None:
    if len(instruction.words) < 2:
        hint = "write " + instruction.keyword + " SOURCE... DESTINATION"
        message = f"{instruction.keyword} requires at least two arguments, a source and a destination"
        _add(problems, instruction, "E703", message, hint)
    elif instruction.heredocs and instruction.words[-1].lstrip("0123456789").startswith("<<"):
        message = f"{instruction.keyword} cannot accept a heredoc as a destination"
        _add(problems, instruction, "E703", message, "add the path of the file to be written", instruction.words[-1])


def _run(instruction: Instruction, problems: Problems) -> None:
    for flag in instruction.flags:
        if flag.startswith("--mount="):
            _judge_mount(flag, instruction, problems)


def _judge_mount(flag: str, instruction: Instruction, problems: Problems) -> None:
    fields = _mount_fields(flag)
    if fields is None:
        _add(problems, instruction, "E704", f"{flag[:80]} is no list of key=value", "separate them by commas", flag)
        return
    for key, _ in fields:
        if key not in MOUNT_KEYS:
            near = difflib.get_close_matches(key[:40], MOUNT_KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else "its keys are " + ", ".join(MOUNT_KEYS)
            _add(problems, instruction, "W703", f"a mount has no {key[:60]!r}", hint, flag)
    given = dict(fields)
    kind = given.get("type", "bind").lower()
    if kind not in _MOUNT_TYPES and "$" not in kind:
        hint = "it is one of " + ", ".join(_MOUNT_TYPES)
        _add(problems, instruction, "E704", f"a mount cannot be of type {kind[:60]!r}", hint, flag)
    if kind == "secret" and given.get("from"):
        _add(problems, instruction, "E704", "a secret mount cannot have a from", "remove it", flag)


def _mount_fields(flag: str) -> tuple[tuple[str, str], ...] | None:
    text = flag.partition("=")[2]
    fields = csv_fields(text) if text else None
    if fields is None:
        return None
    pairs = (field.partition("=") for field in fields)
    return tuple((key.lower(), value) for key, _, value in pairs)


def _volume(instruction: Instruction, problems: Problems) -> None:
    _at_least_one(instruction, problems)
    if any(not word.strip() for word in instruction.words):
        _add(problems, instruction, "E703", "VOLUME specified can not be an empty string", None)


def _shell(instruction: Instruction, problems: Problems) -> None:
    if not instruction.words:
        _at_least_one(instruction, problems)
    elif not instruction.is_json:
        _add(problems, instruction, "E703", "SHELL requires its arguments as JSON", 'write SHELL ["/bin/sh", "-c"]')


def _healthcheck(instruction: Instruction, problems: Problems) -> None:
    _at_least_one(instruction, problems)
    if not instruction.words:
        return
    kind, arguments = instruction.words[0].upper(), instruction.words[1:]
    if kind == "NONE" and arguments:
        _add(problems, instruction, "E703", "HEALTHCHECK NONE takes no arguments", None)
    elif kind == "CMD" and not arguments:
        _add(problems, instruction, "E703", "HEALTHCHECK CMD has no command", None)
    elif kind not in {"NONE", "CMD"}:
        message = f"HEALTHCHECK has no type {instruction.words[0][:60]!r}"
        _add(problems, instruction, "E703", message, "write HEALTHCHECK CMD COMMAND, or HEALTHCHECK NONE")
    for name in ("interval", "timeout", "start-period", "start-interval"):
        value = flag_value(instruction, name)
        if value and not _DURATION.fullmatch(value[:60]):
            _add(
                problems,
                instruction,
                "E704",
                f"--{name} is no duration: {value[:60]!r}",
                "such as 30s or 1m",
                "--" + name,
            )
    retries = flag_value(instruction, "retries")
    if retries and not re.fullmatch(r"\+?\d{1,9}", retries, re.ASCII):
        _add(problems, instruction, "E704", f"--retries is no number: {retries[:60]!r}", None, "--retries")


def _onbuild(instruction: Instruction, problems: Problems) -> None:
    _at_least_one(instruction, problems)
    inner = instruction.inner.keyword if instruction.inner else ""
    if inner == "ONBUILD":
        _add(problems, instruction, "E703", "ONBUILD cannot stand inside ONBUILD", None)
    elif inner in {"MAINTAINER", "FROM"}:
        _add(problems, instruction, "E703", f"{inner} isn't allowed as an ONBUILD trigger", None)


def _anything(instruction: Instruction, problems: Problems) -> None:
    """CMD and ENTRYPOINT accept every text."""


_RULES: Mapping[str, Callable[[Instruction, Problems], None]] = {
    "ADD": _sources,
    "ARG": _arg,
    "CMD": _anything,
    "COPY": _sources,
    "ENTRYPOINT": _anything,
    "ENV": _pairs,
    "EXPOSE": _at_least_one,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _pairs,
    "MAINTAINER": _exactly_one,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _exactly_one,
    "USER": _exactly_one,
    "VOLUME": _volume,
    "WORKDIR": _exactly_one,
}
