"""Sprig's string functions. Widths and positions count bytes of UTF-8, as Go's do."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from taskengine.lightpattern import pattern
from taskengine.template import gofmt
from taskengine.template.budget import Env, FunctionError
from taskengine.template.quoting import quote
from taskengine.template.value import Slice, StringMap, from_bytes, to_bytes

# What Go's unicode.IsSpace takes for space.
SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def hello(_env: Env) -> str:
    return "Hello!"


def fail(_env: Env, message: str) -> NoReturn:
    raise FunctionError(message, "the template itself asks for this failure")


def string_value(env: Env, value: Any) -> str:
    return gofmt.display(env, value)


to_string = string_value


def abbrev(_env: Env, width: int, text: str) -> str:
    return text if width < 4 else _abbreviated(text, 0, width)


def abbrevboth(_env: Env, left: int, right: int, text: str) -> str:
    if right < 4 or (left > 0 and right < 7):
        return text
    return _abbreviated(text, left, right)


def _abbreviated(text: str, offset: int, width: int) -> str:
    data = to_bytes(text)
    if len(data) <= width:
        return text
    offset = min(offset, len(data))
    if len(data) - offset < width - 3:
        offset = len(data) - (width - 3)
    if offset <= 4:
        return from_bytes(data[: width - 3] + b"...")
    if width < 7:
        return ""
    if offset + width - 3 < len(data):
        return "..." + _abbreviated(from_bytes(data[offset:]), 0, width - 3)
    return from_bytes(b"..." + data[len(data) - (width - 3) :])


def trunc(_env: Env, size: int, text: str) -> str:
    data = to_bytes(text)
    if len(data) <= size:
        return text
    if size < 0:
        raise FunctionError(f"slice bounds out of range [:{size}]", "a text cannot be cut to a negative length")
    return from_bytes(data[:size])


def substr(_env: Env, start: int, end: int, text: str) -> str:
    data = to_bytes(text)
    if start < 0:
        if not 0 <= end <= len(data):
            raise FunctionError(f"slice bounds out of range [:{end}] with length {len(data)}")
        return from_bytes(data[:end])
    if end < 0 or end > len(data):
        end = len(data)
    if start > end:
        raise FunctionError(f"slice bounds out of range [{start}:{end}]", "the start lies behind the end")
    return from_bytes(data[start:end])


def trim(_env: Env, text: str) -> str:
    return text.strip(SPACES)


def trim_all(env: Env, cutset: str, text: str) -> str:
    distinct = "".join(frozenset(cutset))
    env.spend(len(text) * len(distinct) >> 9)
    return text.strip(distinct) if distinct else text


def trim_suffix(_env: Env, suffix: str, text: str) -> str:
    return text.removesuffix(suffix)


def trim_prefix(_env: Env, prefix: str, text: str) -> str:
    return text.removeprefix(prefix)


def repeat(env: Env, count: int, text: str) -> str:
    if count < 0:
        raise FunctionError("strings: negative Repeat count")
    env.grow(count * len(text))
    return text * count


def nospace(_env: Env, text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, SPACES)))


def initials(env: Env, text: str) -> str:
    env.spend(len(text) >> 3)
    return "".join(word[0] for word in re.split(f"[{re.escape(SPACES)}]+", text) if word)


def wrap(env: Env, width: int, text: str) -> str:
    return _wrapped(env, text, width, "\n", cut=False)


def wrap_with(env: Env, width: int, separator: str, text: str) -> str:
    return _wrapped(env, text, width, separator or "\n", cut=True)


def _wrapped(env: Env, text: str, width: int, separator: str, *, cut: bool) -> str:
    """Break at spaces; a word that is too long is cut or left as it is. Leading spaces of a line vanish."""
    data, newline = to_bytes(text), to_bytes(separator)
    width = max(width, 1)
    env.grow(len(data) + len(newline) * (len(data) // width + 1 if cut else data.count(b" ")))
    env.spend(len(data) // width)
    out: list[bytes] = []
    offset = 0
    while len(data) - offset > width:
        if data[offset] == 0x20:
            offset += 1
            continue
        space = data.rfind(b" ", offset, offset + width + 1)
        if space < 0 and not cut:
            space = data.find(b" ", offset + width)
            if space < 0:
                break
        if space >= 0:
            out += (data[offset:space], newline)
            offset = space + 1
        else:
            out += (data[offset : offset + width], newline)
            offset += width
    out.append(data[offset:])
    return from_bytes(b"".join(out))


def contains(_env: Env, part: str, text: str) -> bool:
    return part in text


def has_prefix(_env: Env, prefix: str, text: str) -> bool:
    return text.startswith(prefix)


def has_suffix(_env: Env, suffix: str, text: str) -> bool:
    return text.endswith(suffix)


def quoted(env: Env, *values: Any) -> str:
    texts = [string_value(env, value) for value in values if value is not None]
    size = sum(map(len, texts))
    env.grow(size)
    env.spend(size >> 3)
    return " ".join(quote(text) for text in texts)


def single_quoted(env: Env, *values: Any) -> str:
    texts = [string_value(env, value) for value in values if value is not None]
    env.grow(sum(map(len, texts)))
    return " ".join(f"'{text}'" for text in texts)


def cat(env: Env, *values: Any) -> str:
    texts = [string_value(env, value) for value in values if value is not None]
    env.grow(sum(map(len, texts)))
    return " ".join(texts)


def indent(env: Env, spaces: int, text: str) -> str:
    if spaces < 0:
        raise FunctionError("strings: negative Repeat count")
    env.grow(len(text) + spaces * (text.count("\n") + 1))
    pad = " " * spaces
    return pad + text.replace("\n", "\n" + pad)


def nindent(env: Env, spaces: int, text: str) -> str:
    return "\n" + indent(env, spaces, text)


def replace(env: Env, old: str, new: str, text: str) -> str:
    found = text.count(old)
    env.grow(len(text) + found * len(new))
    env.spend(found >> 4)
    return text.replace(old, new)


def plural(_env: Env, one: str, many: str, count: int) -> str:
    return one if count == 1 else many


# Splitting and joining


def _parts(env: Env, separator: str, text: str, limit: int) -> list[str]:
    """strings.SplitN; a limit below zero is none."""
    if limit == 0:
        return []
    env.grow_list(text.count(separator) + 1)
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if 0 < limit < len(text):
        return [*text[: limit - 1], text[limit - 1 :]]
    return list(text)


def _numbered(parts: list[str]) -> StringMap:
    return StringMap({f"_{i}": part for i, part in enumerate(parts)})


def split(env: Env, separator: str, text: str) -> StringMap:
    return _numbered(_parts(env, separator, text, -1))


def splitn(env: Env, separator: str, limit: int, text: str) -> StringMap:
    return _numbered(_parts(env, separator, text, limit))


def split_list(env: Env, separator: str, text: str) -> Slice:
    return Slice(_parts(env, separator, text, -1), "string")


def strings_of(env: Env, value: Any) -> list[str]:
    """Every element as text, without nil; a single value is a list of one."""
    if isinstance(value, list):
        env.grow_list(len(value))
        return [string_value(env, item) for item in value if item is not None]
    return [] if value is None else [string_value(env, value)]


def to_strings(env: Env, value: Any) -> Slice:
    return Slice(strings_of(env, value), "string")


def join(env: Env, separator: str, value: Any) -> str:
    texts = strings_of(env, value)
    env.grow(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def sort_alpha(env: Env, value: Any) -> Slice:
    texts = strings_of(env, value) if isinstance(value, list) else [string_value(env, value)]
    env.spend(len(texts) >> 1)
    return Slice(sorted(texts, key=to_bytes), "string")


# The environment of a template is empty, whoever renders it.


def env(_env: Env, _name: str) -> str:
    return ""


_VARIABLE = pattern(r"\$(?:[*#$@!?0-9-]|[A-Za-z0-9_]+|\{[*#$@!?0-9-]\}|\{[^}]*\})")


def expandenv(env: Env, text: str) -> str:
    # An opening brace that is never closed is eaten alone, with its dollar.
    closed = text.rfind("}") + 1
    env.spend(len(text) >> 4)
    return _VARIABLE.sub("", text[:closed]) + _VARIABLE.sub("", text[closed:].replace("${", ""))
