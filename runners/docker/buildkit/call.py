"""gRPC's calling side over one connection that is open already: calls go out, and their answers are waited for.

Must not know what the messages mean: bytes in, bytes out.
"""

from __future__ import annotations

import contextlib
import queue
import time
import urllib.parse
from collections.abc import Iterable, Iterator

from h2.events import Event, ResponseReceived, TrailersReceived
from h2.exceptions import ProtocolError

from .connection import Connection
from .link import Call, CallError, Gone, Link, Metadata, Status, framed, text


class Outgoing(Call):
    """One call of ours. One thread may send while another receives; cancel() may come from any."""

    def __init__(self, link: Caller, stream: int, path: str, timeout: float | None) -> None:
        super().__init__(stream, ())
        self.path = path
        self._link = link
        self._canceled = False
        self.trailers: Metadata = ()
        self.until = None if timeout is None else time.monotonic() + timeout

    def send(self, message: bytes) -> None:
        """Raises OSError when the call is over."""
        try:
            self._link.send(self, framed(message))
        except (Gone, ProtocolError) as error:
            raise ConnectionError("the call has ended") from error

    def done_sending(self) -> None:
        with contextlib.suppress(Gone, ProtocolError, OSError):  # it may have ended, which the receiving side sees too
            self._link.end(self)

    def __iter__(self) -> Iterator[bytes]:
        """The answers. Raises CallError for every end but a good one."""
        try:
            yield from self._link.messages(self)
        except queue.Empty:
            self._canceled = True
            raise CallError(Status.DEADLINE_EXCEEDED, "the time for the answer is over") from None
        finally:
            self._link.forget(self)
        self._judge()

    def result(self) -> bytes:
        """The only answer. Raises CallError."""
        answer = None
        for message in self:
            answer = message if answer is None else answer
        if answer is None:
            raise CallError(Status.INTERNAL, "the call was answered by nothing")
        return answer

    def cancel(self) -> None:
        """Whoever waits for the answer gets CallError with CANCELLED at once; the peer is told. Harmless afterwards."""
        self._canceled = True
        self.give_up()
        self._link.wake()
        self._link.forget(self)

    def _judge(self) -> None:
        if self._canceled:
            raise CallError(Status.CANCELLED, "canceled")
        values = dict(self.trailers)
        status = values.get("grpc-status")
        if status is None:
            http = values.get(":status", "200")
            if http != "200":
                raise CallError(Status.UNIMPLEMENTED if http == "404" else Status.UNAVAILABLE, f"answered HTTP {http}")
            raise CallError(Status.UNAVAILABLE, "the connection ended before the answer")
        if status != "0":
            message = urllib.parse.unquote(values.get("grpc-message", ""))
            raise CallError(Status(int(status) if status.isdigit() else 2), message, self.trailers)


class Caller(Link):
    """Makes calls over `connection` until it ends or close() is called. Thread-safe."""

    def __init__(self, connection: Connection, *, authority: str = "localhost", scheme: str = "http") -> None:
        super().__init__(connection, client=True, name="buildkit-control")
        self._authority = authority.encode()
        self._scheme = scheme.encode()

    def call(self, path: str, message: bytes, *, timeout: float | None) -> Outgoing:
        """A call with one request. Raises CallError when it cannot even begin."""
        made = self.open(path, timeout=timeout)
        try:
            made.send(message)
        except OSError:
            return made  # refused before it was read to its end: the answer says why
        made.done_sending()
        return made

    def open(self, path: str, *, metadata: Iterable[tuple[str, str]] = (), timeout: float | None) -> Outgoing:
        """A call whose requests are sent one by one. Raises CallError when it cannot even begin."""
        headers = [
            (b":method", b"POST"),
            (b":scheme", self._scheme),
            (b":path", path.encode()),
            (b":authority", self._authority),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"acr-task"),
        ]
        if timeout is not None:
            # a header of at most eight digits: milliseconds reach for a day
            headers.append((b"grpc-timeout", f"{min(99_999_999, max(1, int(timeout * 1000)))}m".encode()))
        headers += [(name.lower().encode(), value.encode("utf-8", "surrogateescape")) for name, value in metadata]
        if not self.is_open:
            raise CallError(Status.UNAVAILABLE, "the connection is lost")
        try:
            with self.lock:
                made = Outgoing(self, self.http.get_next_available_stream_id(), path, timeout)
                self.http.send_headers(made.stream, headers)
                self.calls[made.stream] = made
            self.flush()
        except (ProtocolError, OSError) as error:
            raise CallError(Status.UNAVAILABLE, f"the connection is lost: {error}") from error
        if not self.is_open:
            made.give_up()  # it ended in between, and may not have seen this call
        return made

    def forget(self, made: Outgoing) -> None:
        """The call is over for us; the peer is told where it still goes on."""
        goes_on = made.stream in self.calls and not any(name == "grpc-status" for name, _ in made.trailers)
        self.drop(made)
        if goes_on:
            self.reset(made)

    def react(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            call = self.calls.get(event.stream_id or 0)
            if isinstance(call, Outgoing):
                call.trailers += tuple((text(name), text(value)) for name, value in event.headers or ())
        else:
            super().react(event)
