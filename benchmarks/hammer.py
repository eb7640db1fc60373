"""Sends many small POSTs over kept connections: at a steady rate whatever the answers, or as fast as they come.

Plain sockets under asyncio, so that the client costs little beside the service. Must not know what is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Make = Callable[[int], tuple[str, bytes]]


@dataclass
class Outcome:
    """`latencies` are seconds from when each request was due until its answer was whole; `accepted` are the names of
    those that were answered with 202. `broken` counts connections that ended, `other` answers of another status."""

    latencies: list[float] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    other: list[bytes] = field(default_factory=list)
    broken: int = 0
    #: accepted a second
    rate: float = 0.0


def paced(host: str, port: int, make: Make, *, rate: float, count: int, connections: int = 32) -> Outcome:
    """`count` requests, one every 1 / `rate` seconds. One that has to wait for a connection waits in its latency."""
    outcome = Outcome()

    async def run() -> None:
        numbers = iter(range(count))
        begin = time.perf_counter()

        async def work() -> None:
            connection = _Connection(host, port)
            for number in numbers:
                due = begin + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await _one(connection, make, number, due, outcome)
            connection.close()

        await asyncio.gather(*(work() for _ in range(connections)))
        outcome.rate = len(outcome.accepted) / (time.perf_counter() - begin)

    asyncio.run(run())
    return outcome


def flat_out(
    host: str, port: int, make: Make, *, seconds: float, connections: int = 32,
    at_the_end: Callable[[], object] = lambda: None,
) -> Outcome:  # fmt: skip
    """As many as can be within `seconds`, which is what the rate is of. `at_the_end` is then called while requests are
    under way, and what is accepted meanwhile is accepted too."""
    outcome = Outcome()

    async def run() -> None:
        begin, number, over = time.perf_counter(), -1, False

        async def work() -> None:
            nonlocal number
            connection = _Connection(host, port)
            while not over:
                number += 1
                if not await _one(connection, make, number, time.perf_counter(), outcome):
                    return
            connection.close()

        workers = [asyncio.create_task(work()) for _ in range(connections)]
        await asyncio.sleep(seconds)
        outcome.rate = len(outcome.accepted) / (time.perf_counter() - begin)
        await asyncio.to_thread(at_the_end)
        over = True
        await asyncio.gather(*workers)

    asyncio.run(run())
    return outcome


async def _one(connection: _Connection, make: Make, number: int, due: float, outcome: Outcome) -> bool:
    """False for a connection that broke."""
    name, request = make(number)
    try:
        status = await connection.send(request)
    except (OSError, EOFError):
        outcome.broken += 1
        return False
    outcome.latencies.append(time.perf_counter() - due)
    if status == b"202":
        outcome.accepted.append(name)
    else:
        outcome.other.append(status)
    return True


class _Connection:
    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        await reader.readexactly(length)
        return head.split(b" ", 2)[1]

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


def post(path: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """A request in bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}", *(f"{a}: {b}" for a, b in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
