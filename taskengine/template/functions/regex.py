"""Sprig's regular expressions, by RE2: Go's syntax, and time that grows with the text only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from taskengine.lightpattern import pattern
from taskengine.template.budget import Env, FunctionError
from taskengine.template.value import Slice, from_bytes, to_bytes

_MAX_PATTERN = 10_000
_ESCAPE = pattern(r"\\Q(?s:.*?)(?:\\E|\Z)|\\(?s:.)")


@lru_cache(maxsize=64)
def _compiled(pattern: str, *, groups: bool) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    # Groups cost time for each character and are needed for replacements only.
    options.never_capture = not groups
    return re2.compile(to_bytes(pattern), options)


def _compile(env: Env, pattern: str, text: str, *, groups: bool = False) -> Any:
    env.spend(len(pattern))
    if len(pattern) > _MAX_PATTERN:
        raise FunctionError(f"the pattern is longer than {_MAX_PATTERN} characters")
    import re2

    if any(found.group() == "\\C" for found in _ESCAPE.finditer(pattern)):
        raise FunctionError("regexp: error parsing regexp: invalid escape sequence: `\\C`", "Go has no single bytes")
    try:
        compiled = _compiled(pattern, groups=groups)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise FunctionError(
            f"regexp: Compile({pattern!r}): error parsing regexp: {shown}",
            "patterns follow RE2: no look-around, no backreferences",
        ) from None
    # The worst case: every state of the program for every byte of the text.
    env.spend(compiled.programsize * (compiled.groups + 1) * len(text) >> 10)
    return compiled


def _matches(env: Env, compiled: Any, data: bytes, limit: int) -> Iterator[Any]:
    """All matches from left to right; an empty one right behind another one does not count."""
    at, previous_end, found = 0, -1, 0
    while at <= len(data) and found != limit:
        env.spend(2 + ((len(data) - at) >> 10))
        match = compiled.search(data, at)
        if match is None:
            return
        start, end = match.span()
        if end > start or start != previous_end:
            yield match
            found += 1
        previous_end = end
        at = end if end > start else end + _char_size(data, end)


def _char_size(data: bytes, at: int) -> int:
    if at >= len(data) or data[at] < 0xC0:
        return 1
    size = 2 if data[at] < 0xE0 else 3 if data[at] < 0xF0 else 4
    following = data[at + 1 : at + size]
    return size if len(following) == size - 1 and all(0x80 <= byte < 0xC0 for byte in following) else 1


def match(env: Env, pattern: str, text: str) -> bool:
    """A pattern that is wrong matches nothing."""
    try:
        return _compile(env, pattern, text).search(to_bytes(text)) is not None
    except FunctionError:
        return False


def find(env: Env, pattern: str, text: str) -> str:
    found = _compile(env, pattern, text).search(to_bytes(text))
    return "" if found is None else from_bytes(found.group())


def find_all(env: Env, pattern: str, text: str, limit: int) -> Slice:
    compiled = _compile(env, pattern, text)
    found = [from_bytes(m.group()) for m in _matches(env, compiled, to_bytes(text), limit if limit >= 0 else -1)]
    env.grow_list(len(found))
    return Slice(found, "string", is_nil=not found)


def split(env: Env, pattern: str, text: str, limit: int) -> Slice:
    compiled = _compile(env, pattern, text)
    if limit == 0:
        return Slice((), "string", is_nil=True)
    if pattern and not text:
        return Slice([""], "string")
    data = to_bytes(text)
    parts: list[str] = []
    begin = end = 0
    for found in _matches(env, compiled, data, limit if limit > 0 else -1):
        if limit > 0 and len(parts) == limit - 1:
            break
        end = found.start()
        if found.end() != 0:
            parts.append(from_bytes(data[begin:end]))
        begin = found.end()
    if end != len(data):
        parts.append(from_bytes(data[begin:]))
    env.grow_list(len(parts))
    return Slice(parts, "string")


def replace_all_literal(env: Env, pattern: str, text: str, replacement: str) -> str:
    new = to_bytes(replacement)
    return _replaced(env, _compile(env, pattern, text), text, lambda _match: new)


def replace_all(env: Env, pattern: str, text: str, replacement: str) -> str:
    """$1, ${1} and ${name} in the replacement stand for groups; $$ is a dollar."""
    parts = _template(replacement)
    compiled = _compile(env, pattern, text, groups=True)
    return _replaced(env, compiled, text, lambda found: _expanded(found, parts))


def _replaced(env: Env, compiled: Any, text: str, replacement: Any) -> str:
    data = to_bytes(text)
    out: list[bytes] = []
    at = 0
    for found in _matches(env, compiled, data, -1):
        new = replacement(found)
        env.grow(found.start() - at + len(new))
        out += (data[at : found.start()], new)
        at = found.end()
    env.grow(len(data) - at)
    out.append(data[at:])
    return from_bytes(b"".join(out))


_GROUP = pattern(r"\$(?:\$|\{(\w+)\}|(\w+))")


def _template(text: str) -> list[bytes | str]:
    """Literal bytes and names of groups; a dollar that begins no name is itself."""
    out: list[bytes | str] = []
    at = 0
    for found in _GROUP.finditer(text):
        out.append(to_bytes(text[at : found.start()]))
        name = found.group(1) or found.group(2)
        out.append(b"$" if name is None else name)
        at = found.end()
    out.append(to_bytes(text[at:]))
    return out


def _expanded(found: Any, parts: list[bytes | str]) -> bytes:
    return b"".join(part if isinstance(part, bytes) else _group(found, part) for part in parts)


def _group(found: Any, name: str) -> bytes:
    if name.isdecimal() and name.isascii() and (name == "0" or not name.startswith("0")):
        number = int(name) if len(name) < 5 else 10_000
    else:
        names = {from_bytes(k) if isinstance(k, bytes) else k: v for k, v in found.re.groupindex.items()}
        number = names.get(name, 10_000)
    if number > found.re.groups:
        return b""
    return found.group(number) or b""
