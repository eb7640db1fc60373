"""Encodings and checksums. A text that cannot be decoded gives the decoder's complaint as the result, as Sprig does."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

from taskengine.template import gourl
from taskengine.template.budget import Env, FunctionError
from taskengine.template.functions.text import string_value
from taskengine.template.value import from_bytes, to_bytes, type_name

_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_BASE32 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
_PAD = ord("=")
_NEWLINES = b"\r\n"


def b64enc(env: Env, value: Any) -> str:
    """Of anything: its printed form; a missing value gives an empty text."""
    if value is None:
        return ""
    data = to_bytes(string_value(env, value))
    env.grow(len(data) * 2)
    return base64.b64encode(data).decode()


def b64dec(env: Env, text: str) -> str:
    env.grow(len(text))
    data = to_bytes(text)
    wrong = _wrong_base64(env, data)
    if wrong is not None:
        return f"illegal base64 data at input byte {wrong}"
    return from_bytes(base64.b64decode(data.translate(None, _NEWLINES)))


def _wrong_base64(env: Env, data: bytes) -> int | None:
    """Where Go's decoder gives up, or None when it does not."""
    stripped = data.rstrip(b"=\r\n")
    if not stripped.translate(None, bytes(_BASE64)) and data[len(stripped) :].count(b"=") == -len(stripped) % 4 < 3:
        return None
    env.spend(len(data))
    at, size = 0, len(data)
    while at < size:
        filled = 0
        while filled < 4:
            if at == size:
                return at - filled if filled else None
            byte = data[at]
            at += 1
            if byte in _BASE64:
                filled += 1
            elif byte not in _NEWLINES:
                return _after_padding(data, at, filled) if byte == _PAD else at - 1
    return None


def _after_padding(data: bytes, at: int, filled: int) -> int | None:
    if filled < 2:
        return at - 1
    at = _skip_newlines(data, at)
    if filled == 2:
        if at == len(data):
            return at
        if data[at] != _PAD:
            return at - 1
        at = _skip_newlines(data, at + 1)
    return at if at < len(data) else None


def _skip_newlines(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in _NEWLINES:
        at += 1
    return at


def b32enc(env: Env, text: str) -> str:
    data = to_bytes(text)
    env.grow(len(data) * 2)
    return base64.b32encode(data).decode()


def b32dec(env: Env, text: str) -> str:
    env.grow(len(text))
    data = to_bytes(text).translate(None, _NEWLINES)
    wrong = _wrong_base32(env, data)
    if wrong is not None:
        return f"illegal base32 data at input byte {wrong}"
    # Go looks at nothing behind the padding that completes a group.
    body = data.partition(b"=")[0]
    return from_bytes(base64.b32decode(body + b"=" * (-len(body) % 8)))


def _wrong_base32(env: Env, data: bytes) -> int | None:
    env.spend(len(data) >> 2)
    for start in range(0, len(data), 8):
        for filled in range(8):
            at = start + filled
            if at >= len(data):
                return start
            if data[at] == _PAD and filled >= 2 and len(data) - at - 1 < 8:
                return _wrong_base32_padding(data, at + 1, filled)
            if data[at] not in _BASE32:
                return at
    return None


def _wrong_base32_padding(data: bytes, at: int, filled: int) -> int | None:
    rest = data[at:]
    if len(rest) + filled < 7:
        return len(data)
    for k in range(7 - filled):
        if k < len(rest) and rest[k] != _PAD:
            return at + k - 1
    return at - 1 if filled in {1, 3, 6} else None


def sha1sum(_env: Env, text: str) -> str:
    return hashlib.sha1(to_bytes(text), usedforsecurity=False).hexdigest()


def sha256sum(_env: Env, text: str) -> str:
    return hashlib.sha256(to_bytes(text)).hexdigest()


def adler32sum(_env: Env, text: str) -> str:
    return str(zlib.adler32(to_bytes(text)))


# Addresses


def url_parse(env: Env, text: str) -> dict[str, Any]:
    env.grow(4 * len(text))
    try:
        url = gourl.parse(text)
    except gourl.BadUrl as error:
        raise FunctionError(f"unable to parse url: {error}") from None
    return {
        "scheme": url.scheme,
        "host": url.host,
        "hostname": gourl.hostname(url.host),
        "path": url.path,
        "query": url.query,
        "opaque": url.opaque,
        "fragment": url.fragment,
        "userinfo": gourl.userinfo_text(url.userinfo),
    }


def url_join(_env: Env, parts: dict[str, Any] | None) -> str:
    def part(key: str) -> str:
        value = (parts or {}).get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise FunctionError(f"unable to parse {key} key, must be of type string, but {type_name(value)} found")
        return value

    userinfo = None
    if part("userinfo"):
        try:
            userinfo = gourl.parse(f"proto://{part('userinfo')}@host").userinfo
        except gourl.BadUrl as error:
            raise FunctionError(f"unable to parse userinfo in dict: {error}") from None
    return gourl.unparse(
        gourl.Url(
            scheme=part("scheme"),
            opaque=part("opaque"),
            userinfo=userinfo,
            host=part("host"),
            path=part("path"),
            query=part("query"),
            fragment=part("fragment"),
        )
    )


def get_host_by_name(_env: Env, name: str) -> str:
    """Addresses and localhost only: a rendering does not ask the network."""
    from ipaddress import ip_address

    if name == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(name))
    except ValueError:
        raise FunctionError(
            f"cannot look up {name!r}: templates do not reach the network", "give the address as a value"
        ) from None
