"""Server-sent events, followed through broken connections (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Knows the format and no resource of the API.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from taskengine.client.transport import Transport
from taskengine.errors import Unreachable

#: seconds without a byte after which a connection counts as broken: the service says something every 15
_SILENCE = 45.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class Sent(NamedTuple):
    """One event. `id` is what following goes on from."""

    name: str
    data: str
    id: str


def events(lines: Iterable[str]) -> Iterator[Sent]:
    """The events of a stream's lines. One that is cut off at the end is not there."""
    name, identity = "message", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield Sent(name, "\n".join(data), identity)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            identity = value


def follow(
    to: Transport,
    *path: str,
    params: dict[str, str] | None = None,
    last: str = "event",
    give_up_after: float = 300.0,
    on_break: Callable[[Unreachable], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Sent]:
    """The events of an address until one called `last` came. A connection that breaks is made anew, and goes on where
    it was; one that cannot be made for `give_up_after` seconds raises Unreachable. `on_break` is told of each break."""
    since, pause, left = "", _FIRST_PAUSE, give_up_after
    while True:
        try:
            for event in _stream(to, path, params, since):
                pause, left = _FIRST_PAUSE, give_up_after
                since = event.id or since
                yield event
                if event.name == last:
                    return
            broken = Unreachable(f"{to.url} ended the stream before its end")
        except Unreachable as error:
            broken = error
        if left <= 0:
            raise broken
        on_break(broken)
        sleep(pause)
        left -= pause
        pause = min(pause * 2, _LONGEST_PAUSE)


def _stream(to: Transport, path: tuple[str, ...], params: dict[str, str] | None, since: str) -> Iterator[Sent]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": since} if since else {})}
    with to.raw("GET", *path, params=params, headers=headers, stream=True, seconds=_SILENCE) as response:
        response.encoding = "utf-8"
        lines = response.iter_lines(chunk_size=None, decode_unicode=True)

        def more() -> Iterator[str]:
            while (line := to.reading(lambda: next(lines, None))) is not None:
                yield line

        yield from events(more())
