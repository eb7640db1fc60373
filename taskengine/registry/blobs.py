"""Blobs of one repository on their way down: whether they are there, and their bytes, verified and resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskengine.errors import InvalidInput, Unreachable
from taskengine.lightpattern import pattern
from taskengine.registry.content import BrokenContent, Descriptor
from taskengine.registry.digest import Hasher, algorithm_of
from taskengine.registry.site import DELETE, PULL, Site
from taskengine.registry.wire import Fault, Reply

_CONTENT_RANGE = pattern(r"bytes ([0-9]{1,18})-")

#: opens the blob from a byte on, on whichever server has it
Open = Callable[[int, int | None], tuple[Site, Reply]]


def exists(site: Site, digest: str, right: str = PULL) -> bool:
    request = site.request("HEAD", f"/blobs/{digest}", f"looking for {site.name}@{digest}", right=right)
    reply = site.ask(request)
    reply.close()
    if reply.status in (200, 404):
        return reply.status == 200
    raise site.error(request, reply)


def delete(site: Site, digest: str) -> None:
    request = site.request("DELETE", f"/blobs/{digest}", f"deleting {site.name}@{digest}", right=DELETE)
    site.expect(request, 200, 202, 204)


def open_at(site: Site, digest: str, start: int, end: int | None) -> Reply:
    """An answer whose body is the blob from `start` on, whatever the server made of the range."""
    ranged = start > 0 or end is not None
    last = "" if end is None else end - 1
    request = site.request(
        "GET", f"/blobs/{digest}", f"reading {site.name}@{digest}", stream=True,
        headers={"Range": f"bytes={start}-{last}"} if ranged else {},
    )  # fmt: skip
    reply = site.expect(request, 200, 206)
    if reply.status == 206:
        said = _CONTENT_RANGE.match(reply.headers.get("Content-Range", ""))
        if said is None or int(said[1]) != start:
            reply.close()
            raise BrokenContent(f"{request.what}: the registry sent another part than asked", hint="try again")
    return reply


def read(site: Site, wanted: Descriptor | str, opened: Open, start: int, length: int | None) -> Iterator[bytes]:
    """The bytes of a blob. The whole of it is verified against its digest, a part cannot be."""
    digest = wanted if isinstance(wanted, str) else wanted.digest
    size = wanted.size if isinstance(wanted, Descriptor) and wanted.size else None
    if start < 0 or (length is not None and length < 0):
        raise InvalidInput("a part of a blob cannot begin or end before it", hint="count bytes from 0")
    end = start + length if length is not None else None
    if end is None or (size is not None and end > size):
        end = size
    return _Reader(site, digest, opened, start, end, is_part=start > 0 or length is not None).pieces()


class _Reader:
    def __init__(self, site: Site, digest: str, opened: Open, start: int, end: int | None, *, is_part: bool) -> None:
        self._site = site
        self._digest = digest
        self._opened = opened
        self._at = start
        self._end = end
        self._is_part = is_part
        self._hasher = Hasher(algorithm_of(digest))

    def pieces(self) -> Iterator[bytes]:
        limits = self._site.limits
        left, pause = limits.tries - 1, limits.first_pause
        while self._end is None or self._at < self._end:
            before = self._at
            try:
                yield from self._once()
                break
            except Fault as fault:
                if self._at > before:
                    left, pause = limits.tries - 1, limits.first_pause  # it moves: not the same trouble as before
                if not left:
                    raise Unreachable(f"{self._what}: {self._host} {fault.text}", hint=fault.hint) from None
                self._site.notice(f"{self._host} {fault.text}; going on at byte {self._at} ({self._what})")
                limits.pause(pause, self._what)
                left, pause = left - 1, pause * 2
        if not self._is_part and self._hasher.digest != self._digest:
            raise BrokenContent(
                f"{self._what}: the registry sent other bytes, {self._hasher.digest}",
                hint="do not trust what is between; if it stays so, push the image again",
            )

    def _once(self) -> Iterator[bytes]:
        _, reply = self._opened(self._at, self._end if self._is_part else None)
        skip = self._at if reply.status == 200 else 0
        for received in reply.chunks():
            piece = received[skip:] if skip else received
            skip = max(0, skip - len(received))
            if self._end is not None and self._at + len(piece) > self._end:
                if not self._is_part:
                    reply.close()
                    raise BrokenContent(f"{self._what}: it is larger than its manifest says", hint="do not trust it")
                piece = piece[: self._end - self._at]
            if piece:
                self._at += len(piece)
                self._hasher.update(piece)
                yield piece
            if self._is_part and self._at == self._end:
                reply.close()
                return
        if self._end is not None and self._at < self._end and not (self._is_part and reply.status == 200):
            raise Fault("broke the blob off")

    @property
    def _what(self) -> str:
        return f"reading {self._site.name}@{self._digest}"

    @property
    def _host(self) -> str:
        return self._site.endpoint.host
