"""Semantic versions and constraints on them, by the rules of the semver library of Sprig 2.22 (1.5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern
from taskengine.template.budget import Env, FunctionError
from taskengine.template.value import GoObject, Int64, wrap_int64

_TAIL = r"(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?"
_VERSION = pattern(r"v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?" + _TAIL)
_LOOSE = r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?" + _TAIL
_CONSTRAINT = pattern(rf"\s*(=>|>=|=<|<=|!=|~>|=|>|<|~|\^|)\s*({_LOOSE})\s*", re.ASCII)
_RANGE = pattern(rf"\s*({_LOOSE})\s+-\s+({_LOOSE})\s*", re.ASCII)
_DOTTED = pattern(r"[0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*")
_WILD = frozenset("xX*")


@dataclass(frozen=True, slots=True, eq=False)
class Version(GoObject):
    major: int
    minor: int
    patch: int
    pre: str = ""
    metadata: str = ""
    original: str = ""
    # A method that makes a new version gives it by value, and Go prints such a value field by field.
    by_value: bool = False

    @property
    def go_type(self) -> str:  # type: ignore[override]
        return "semver.Version" if self.by_value else "*semver.Version"

    @property
    def go_kind(self) -> str:  # type: ignore[override]
        return "struct" if self.by_value else "ptr"

    @property
    def text(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return text + (f"-{self.pre}" if self.pre else "") + (f"+{self.metadata}" if self.metadata else "")

    def go_string(self) -> str | None:
        return None if self.by_value else self.text

    def go_fields(self) -> list[tuple[str, Any]]:
        numbers = [(name, Int64(getattr(self, name))) for name in ("major", "minor", "patch")]
        return [*numbers, ("pre", self.pre), ("metadata", self.metadata), ("original", self.original)]

    @property
    def methods(self) -> dict[str, tuple[str, Callable[..., Any]]]:  # type: ignore[override]
        return _VALUE_METHODS if self.by_value else _METHODS


def _parse(text: str) -> Version:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise FunctionError("Invalid Semantic Version", "a version looks like 1.2.3 or v1.2.3-rc.1")
    numbers = [match.group(i).lstrip(".") if match.group(i) else "0" for i in (1, 2, 3)]
    if any(len(number) > 30 or int(number) >= 2**63 for number in numbers):
        raise FunctionError("Error parsing version segment: value out of range")
    major, minor, patch = map(int, numbers)
    return Version(major, minor, patch, match.group(5) or "", match.group(8) or "", text)


def semver(_env: Env, text: str) -> Version:
    return _parse(text)


def _compare(left: Version, right: Version) -> int:
    ours, theirs = (left.major, left.minor, left.patch), (right.major, right.minor, right.patch)
    if ours != theirs:
        return 1 if ours > theirs else -1
    if left.pre == right.pre:
        return 0
    if not left.pre or not right.pre:
        return 1 if not left.pre else -1
    return _compare_pre(left.pre.split("."), right.pre.split("."))


def _compare_pre(ours: list[str], theirs: list[str]) -> int:
    for i in range(max(len(ours), len(theirs))):
        part = _compare_part(ours[i] if i < len(ours) else "", theirs[i] if i < len(theirs) else "")
        if part:
            return part
    return 0


def _compare_part(ours: str, theirs: str) -> int:
    if ours == theirs:
        return 0
    if not ours or not theirs:
        return -1 if not ours else 1
    our_number, their_number = _number(ours), _number(theirs)
    if our_number is not None and their_number is not None:
        return 1 if our_number > their_number else -1
    if our_number is None and their_number is None:
        return 1 if ours > theirs else -1
    return 1 if our_number is None else -1


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() and len(text) < 20 else None


# Constraints


@dataclass(frozen=True, slots=True)
class _Constraint:
    operator: str
    version: Version
    dirty: bool
    minor_dirty: bool

    def allows(self, version: Version) -> bool:
        order = _compare(version, self.version)
        excluded = bool(version.pre) and not self.version.pre
        if self.operator == "!=":
            return self._differs(version, excluded=excluded) if self.dirty else order != 0
        if self.operator in {">", ">=", "=>"}:
            if not _is_nonzero(self.version) and _is_nonzero(version):
                return True
            return not excluded and (order > 0 or (order == 0 and self.operator != ">"))
        if excluded:
            return False
        if self.operator in {"<", "<=", "=<"}:
            return self._below(version, order)
        if self.operator == "^":
            return order >= 0 and version.major == self.version.major
        if self.operator in {"~", "~>"} or self.dirty:
            return order >= 0 and self._like(version)
        return order == 0

    def _differs(self, version: Version, *, excluded: bool) -> bool:
        if excluded:
            return False
        if self.version.major != version.major:
            return True
        return self.version.minor != version.minor and not self.minor_dirty

    def _below(self, version: Version, order: int) -> bool:
        if not self.dirty:
            return order < 0 or (order == 0 and self.operator != "<")
        if version.major > self.version.major:
            return False
        return not (version.minor > self.version.minor and not self.minor_dirty)

    def _like(self, version: Version) -> bool:
        if (self.version.major, self.version.minor, self.version.patch) == (0, 0, 0):
            return True
        return version.major == self.version.major and (version.minor == self.version.minor or self.minor_dirty)


def _is_nonzero(version: Version) -> bool:
    return bool(version.major or version.minor or version.patch or version.pre)


def _constraint(text: str) -> _Constraint:
    match = _CONSTRAINT.fullmatch(text)
    if match is None:
        raise FunctionError(f"improper constraint: {text}", "a constraint looks like >=1.2.0, <2 || ^3")
    operator, version, major, minor, patch, pre = (match.group(i) or "" for i in (1, 2, 3, 4, 5, 6))
    dirty = minor_dirty = False
    if major in _WILD:
        version, dirty = "0.0.0", True
    elif minor[1:] in _WILD:
        version, dirty, minor_dirty = f"{major}.0.0{pre}", True, True
    elif patch[1:] in _WILD:
        version, dirty = f"{major}{minor}.0{pre}", True
    try:
        return _Constraint(operator, _parse(version), dirty, minor_dirty)
    except FunctionError:
        raise FunctionError("constraint Parser Error") from None


def semver_compare(env: Env, constraint: str, version: str) -> bool:
    if len(constraint) > 1000 or len(version) > 1000:
        raise FunctionError("improper constraint: it is longer than 1000 characters")
    env.spend(len(constraint))
    rewritten = _RANGE.sub(lambda m: f">= {m.group(1)}, <= {m.group(11)}", constraint)
    groups = [[_constraint(part) for part in group.split(",")] for group in rewritten.split("||")]
    parsed = _parse(version)
    return any(all(part.allows(parsed) for part in group) for group in groups)


# Methods that templates may call on a version


def _made(version: Version, major: int, minor: int, patch: int, pre: str = "", metadata: str = "") -> Version:
    prefix = "v" if version.original.startswith("v") else ""
    major, minor, patch = (int(wrap_int64(number)) for number in (major, minor, patch))
    made = Version(major, minor, patch, pre, metadata, by_value=True)
    return replace(made, original=prefix + made.text)


def _inc_patch(_env: Env, v: Version) -> Version:
    return _made(v, v.major, v.minor, v.patch if v.pre else v.patch + 1)


def _set_prerelease(_env: Env, v: Version, pre: str) -> Version:
    if pre and not _DOTTED.fullmatch(pre):
        raise FunctionError("Invalid Prerelease string")
    return _made(v, v.major, v.minor, v.patch, pre, v.metadata)


def _set_metadata(_env: Env, v: Version, metadata: str) -> Version:
    if metadata and not _DOTTED.fullmatch(metadata):
        raise FunctionError("Invalid Metadata string")
    return _made(v, v.major, v.minor, v.patch, v.pre, metadata)


# Those that a version given by value has, too: Go calls the others on pointers only.
_VALUE_METHODS: dict[str, tuple[str, Any]] = {
    "IncMajor": ("", lambda _env, v: _made(v, v.major + 1, 0, 0)),
    "IncMinor": ("", lambda _env, v: _made(v, v.major, v.minor + 1, 0)),
    "IncPatch": ("", _inc_patch),
    "SetPrerelease": ("s", _set_prerelease),
    "SetMetadata": ("s", _set_metadata),
}
_METHODS: dict[str, tuple[str, Any]] = {
    "Major": ("", lambda _env, v: Int64(v.major)),
    "Minor": ("", lambda _env, v: Int64(v.minor)),
    "Patch": ("", lambda _env, v: Int64(v.patch)),
    "Prerelease": ("", lambda _env, v: v.pre),
    "Metadata": ("", lambda _env, v: v.metadata),
    "Original": ("", lambda _env, v: v.original),
    "String": ("", lambda _env, v: v.text),
    "Compare": ("v", lambda _env, v, other: _compare(v, other)),
    "LessThan": ("v", lambda _env, v, other: _compare(v, other) < 0),
    "GreaterThan": ("v", lambda _env, v, other: _compare(v, other) > 0),
    "Equal": ("v", lambda _env, v, other: _compare(v, other) == 0),
    **_VALUE_METHODS,
}
