"""Blobs of one repository on their way up: mounted where they are already, else sent whole or in chunks.

An upload that fails begins again, after a look whether it arrived in spite of what we saw.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

from taskengine.errors import TaskEngineError, Unreachable
from taskengine.lightpattern import pattern
from taskengine.registry.blobs import exists
from taskengine.registry.body import Content, Reading
from taskengine.registry.failure import Denied, RateLimited
from taskengine.registry.site import PULL, PUSH, Site, scope
from taskengine.registry.transport import Request
from taskengine.registry.wire import Reply

How = Literal["there", "mounted", "sent"]
DEFAULT_CHUNK = 16 * 1024 * 1024
_LARGEST_CHUNK = 256 * 1024 * 1024
_RANGE = pattern(r"(?:bytes=)?0-([0-9]{1,18})")
_TOO_LARGE = 413


def push(site: Site, content: Content, *, chunk: int = 0, mount_from: str = "") -> How:
    """Bring a blob into the repository, unless it is there. `mount_from` is a repository of the same registry."""
    if exists(site, content.digest, PUSH):
        return "there"
    pause = site.limits.first_pause
    for left in range(site.limits.tries - 1, -1, -1):
        try:
            return _push(site, content, chunk, mount_from)
        except Unreachable as error:
            if not left or isinstance(error, RateLimited):
                raise
            site.notice(f"{error.message}; sending it again in {pause:g} s")
            site.limits.pause(pause, _what(site, content.digest))
            pause *= 2
            if exists(site, content.digest, PUSH):
                return "sent"
    raise AssertionError("unreachable")


def mount(site: Site, digest: str, source: str) -> str:
    """Try to take a blob over from another repository; empty when that worked, else where it can be sent to."""
    reply = _begin(site, digest, source)
    return "" if reply.status == 201 else site.locate(reply)


def cancel(site: Site, location: str) -> None:
    """Tell the registry that nothing will be sent there. Whether it listens does not matter."""
    try:
        site.ask(_to(site, "DELETE", location, "giving up an upload", again=False))
    except TaskEngineError:
        site.limits.check("giving up an upload")


def _push(site: Site, content: Content, chunk: int, mount_from: str) -> How:
    reply = _begin(site, content.digest, mount_from)
    if reply.status == 201:
        return "mounted"
    location = site.locate(reply)
    if not chunk:
        request = _to(
            site, "PUT", _with_digest(location, content.digest), _what(site, content.digest),
            body=content.reading if content.size else b"", again=False, headers=_octets(),
        )  # fmt: skip
        answer = site.ask(request)
        if answer.status in (200, 201, 204):
            return "sent"
        if answer.status != _TOO_LARGE:
            raise site.error(request, answer)
        site.notice(f"{site.endpoint.host} takes no blob of {content.size} bytes at once; sending it in chunks")
        reply = _begin(site, content.digest, "")
        chunk = DEFAULT_CHUNK
    _send_chunks(site, content, reply, chunk)
    return "sent"


def _begin(site: Site, digest: str, mount_from: str) -> Reply:
    query = {"mount": digest, "from": mount_from} if mount_from else {}
    request = site.request("POST", "/blobs/uploads/", _what(site, digest), right=PUSH, query=query, body=b"")
    if mount_from:
        rights = (*request.scopes, scope(mount_from, PULL))
        request = Request(method="POST", url=request.url, what=request.what, scopes=rights, body=b"")
        # An account that may not read there, or a registry without mounts: it can still be sent.
        with contextlib.suppress(Denied):
            reply = site.ask(request)
            if reply.status in (201, 202):
                return reply
        return _begin(site, digest, "")
    return site.expect(request, 202)


def _send_chunks(site: Site, content: Content, begun: Reply, chunk: int) -> None:
    location = site.locate(begun)
    least = begun.headers.get("OCI-Chunk-Min-Length", "")
    if least.isascii() and least.isdigit():
        chunk = min(max(chunk, int(least[:12])), _LARGEST_CHUNK)
    reading, at = content.reading(), 0
    while piece := reading.read_full(chunk):
        location = _send_piece(site, content, location, piece, at)
        at += len(piece)
    request = _to(
        site, "PUT", _with_digest(location, content.digest), _what(site, content.digest), body=b"", again=False
    )
    site.expect(request, 200, 201, 204)


def _send_piece(site: Site, content: Content, location: str, piece: bytes, at: int) -> str:
    """Send one chunk; one that was cut off goes on where the registry says that it got to."""
    end = at + len(piece)
    pause = site.limits.first_pause
    for left in range(site.limits.tries - 1, -1, -1):
        headers = _octets() | {"Content-Range": f"{at}-{end - 1}"}
        request = _to(
            site, "PATCH", location, _what(site, content.digest), body=_reader(piece[at - end :]), again=False,
            headers=headers,
        )  # fmt: skip
        try:
            reply = site.ask(request)
        except Unreachable:
            if not left:
                raise
        else:
            if reply.status in (202, 201, 204):
                return site.locate(reply)
            if not left or (reply.status < 500 and reply.status != 416):
                raise site.error(request, reply)
        site.limits.pause(pause, request.what)
        pause *= 2
        location, got = _progress(site, location, content)
        if got >= end:
            return location
        if got < end - len(piece):
            raise Unreachable(f"{request.what}: the registry lost what it had taken", hint="push again")
        at = got
    raise AssertionError("unreachable")


def _reader(piece: bytes) -> Callable[[], Reading]:
    """As a reader and not as bytes: what travels is bounded by silence and not by the time of one call."""
    return lambda: Reading(iter([piece]), len(piece))


def _progress(site: Site, location: str, content: Content) -> tuple[str, int]:
    """Where an upload stands: its address now, and how many bytes the registry has."""
    reply = site.ask(_to(site, "GET", location, _what(site, content.digest)))
    if reply.status not in (202, 204):
        raise Unreachable(
            f"{_what(site, content.digest)}: {site.endpoint.host} forgot the upload", hint="push again"
        )  # which begins it anew
    said = _RANGE.fullmatch(reply.headers.get("Range", ""))
    # "0-0" is both the first byte and none: with none, sending it once more is right for either.
    got = int(said[1]) + 1 if said and said[1] != "0" else 0
    return (site.locate(reply) if "Location" in reply.headers else location), got


def _to(site: Site, method: str, location: str, what: str, **rest: object) -> Request:
    return Request(method=method, url=location, what=what, scopes=(scope(site.repository, PUSH),), **rest)  # type: ignore[arg-type]


def _with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe='')}"


def _octets() -> dict[str, str]:
    return {"Content-Type": "application/octet-stream"}


def _what(site: Site, digest: str) -> str:
    return f"pushing {site.name}@{digest}"
