"""Addresses as Go's net/url reads and writes them.

Must not know templates."""

from __future__ import annotations

import re

from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern
from taskengine.template.value import from_bytes, to_bytes


class BadUrl(ValueError):
    """The text is no URL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Url:
    """Path and fragment are decoded, the query is not; `userinfo` is (user, password or None), decoded."""

    scheme: str = ""
    opaque: str = ""
    userinfo: tuple[str, str | None] | None = None
    host: str = ""
    path: str = ""
    query: str = ""
    fragment: str = ""
    force_query: bool = False
    raw_path: str = ""


_SCHEME = pattern(r"([A-Za-z][A-Za-z0-9+.-]*):")
_USERINFO = pattern(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*\Z")
_BAD_ESCAPE = pattern(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_PORT = pattern(r"(?::[0-9]*)?\Z")
_HOST = pattern(r"[^\x00-\x20\"<>\\^`{|}\x7f/?#@\[\]]*\Z")

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_PATH_SAFE = _UNRESERVED | frozenset(b"$&+,/:;=@")
_USER_SAFE = _UNRESERVED | frozenset(b"$&+,;=")
_FRAGMENT_SAFE = _UNRESERVED | frozenset(b"$&+,/:;=?@!()*")
_HOST_SAFE = _UNRESERVED | frozenset(b"!$&'()*+,;=:[]<>\"")


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    bad = _BAD_ESCAPE.search(text)
    if bad:
        raise BadUrl(f'invalid URL escape "{bad.group()}"')
    data = to_bytes(text)
    return from_bytes(re.sub(rb"%(..)", lambda m: bytes([int(m.group(1), 16)]), data))


def _escape(text: str, safe: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in to_bytes(text))


def parse(text: str) -> Url:
    """url.Parse. Raises BadUrl."""
    try:
        return _parse(text)
    except BadUrl as error:
        raise BadUrl(f'parse "{text}": {error}') from None


def _parse(text: str) -> Url:
    if any(c < " " or c == "\x7f" for c in text):
        raise BadUrl("invalid control character in URL")
    rest, _, fragment = text.partition("#")
    fragment = _unescape(fragment)
    if rest == "*":
        return Url(path="*", fragment=fragment)
    scheme, rest = _scheme(rest)
    force_query = rest.endswith("?") and rest.count("?") == 1
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme=scheme, opaque=rest, query=query, fragment=fragment, force_query=force_query)
        if ":" in rest.partition("/")[0]:
            raise BadUrl("first path segment in URL cannot contain colon")
    userinfo, host = None, ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, tail = rest[2:].partition("/")
        rest = slash + tail
        userinfo, host = _authority(scheme, authority)
    return Url(
        scheme=scheme, userinfo=userinfo, host=host, path=_unescape(rest), query=query, fragment=fragment,
        force_query=force_query, raw_path=rest,
    )  # fmt: skip


def _scheme(text: str) -> tuple[str, str]:
    if text.startswith(":"):
        raise BadUrl("missing protocol scheme")
    match = _SCHEME.match(text)
    return (match.group(1).lower(), text[match.end() :]) if match else ("", text)


def _authority(scheme: str, text: str) -> tuple[tuple[str, str | None] | None, str]:
    info, at, host = text.rpartition("@")
    host = _host(scheme, host)
    if not at:
        return None, host
    if not _USERINFO.match(info):
        raise BadUrl("net/url: invalid userinfo")
    user, colon, password = info.partition(":")
    return (_unescape(user), _unescape(password) if colon else None), host


def _host(scheme: str, text: str) -> str:
    bracket = text.rfind("[")
    if bracket > 0:
        raise BadUrl("invalid IP-literal")
    if bracket == 0:
        return _bracketed(text)
    # Web addresses have one colon only; other schemes are known to list hosts.
    colon = text.find(":") if scheme in {"http", "https"} else text.rfind(":")
    if colon >= 0:
        _check_port(text[colon:])
    return _unescape_host(text)


def _check_port(text: str) -> None:
    if not _PORT.match(text):
        raise BadUrl(f'invalid port "{text}" after host')


def _bracketed(text: str) -> str:
    """An IPv6 address with its port; %25 stands for the percent sign before a zone."""
    end = text.rfind("]")
    if end < 0:
        raise BadUrl("missing ']' in host")
    port = text[end + 1 :]
    _check_port(port)
    address, percent, zone = text[1:end].partition("%25")
    if not _HOST.match(zone):
        raise BadUrl("invalid character in host name")
    literal = _unescape_host(address) + _unescape(percent + zone)
    from ipaddress import IPv6Address

    try:
        IPv6Address(literal.partition("%")[0])
    except ValueError:
        raise BadUrl(f'invalid host: ParseAddr("{literal}")') from None
    if literal.endswith("%"):
        raise BadUrl("invalid host: zone must be a non-empty string")
    return f"[{literal}]{port}"


def _unescape_host(text: str) -> str:
    bad = re.search(r"%(?!(?:[89a-fA-F][0-9a-fA-F]))(?!25).{0,2}", text)
    if bad:
        raise BadUrl(f'invalid URL escape "{bad.group()}"')
    if not _HOST.match(text):
        raise BadUrl("invalid character in host name")
    return _unescape(text)


def hostname(host: str) -> str:
    """The host without its port and without the brackets of IPv6."""
    if host.startswith("[") and "]" in host:
        return host[1 : host.rfind("]")]
    name, colon, port = host.rpartition(":")
    return name if colon and (not port or port.isdigit()) else host


def userinfo_text(userinfo: tuple[str, str | None] | None) -> str:
    if userinfo is None:
        return ""
    user, password = userinfo
    text = _escape(user, _USER_SAFE)
    return text if password is None else f"{text}:{_escape(password, _USER_SAFE)}"


def unparse(url: Url) -> str:
    """URL.String."""
    out = f"{url.scheme}:" if url.scheme else ""
    if url.opaque:
        out += url.opaque
    else:
        path = _escape(url.path, _PATH_SAFE) if url.path != "*" else "*"
        if url.scheme or url.host or url.userinfo is not None:
            if url.host or url.path or url.userinfo is not None:
                out += "//"
            if url.userinfo is not None:
                out += userinfo_text(url.userinfo) + "@"
            out += _escape(url.host, _HOST_SAFE)
        if path and not path.startswith("/") and url.host:
            out += "/"
        if not out and ":" in path.partition("/")[0]:
            out += "./"
        out += path
    if url.force_query or url.query:
        out += "?" + url.query
    if url.fragment:
        out += "#" + _escape(url.fragment, _FRAGMENT_SAFE)
    return out
