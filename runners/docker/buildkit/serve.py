"""gRPC's serving side over one connection that is open already: calls come in, handlers answer them.

A context has thousands of messages: those that are there together travel together. Each call runs in a thread of its
own and may wait as long as it likes.

Must not know what the messages mean: bytes in, bytes out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from h2.events import Event, RequestReceived
from h2.exceptions import ProtocolError

from .connection import Connection
from .link import Call, CallError, Gone, Link, Status, framed, quoted, text

#: Messages wait for each other until they are this many bytes.
_TOGETHER = 128 * 1024

#: What a handler answers: messages, and None where it is about to wait and what it said so far should go.
Answer = Iterator[bytes | None]
Handler = Callable[[Iterable[bytes], Call], Answer]


class Server(Link):
    """Serves until the connection ends or close() is called. `handlers` are by path: /package.Service/Method."""

    def __init__(
        self, connection: Connection, handlers: Mapping[str, Handler], *, ended: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(connection, client=False, name="buildkit-session")
        self._handlers = handlers
        self._tell_end = ended
        self._threads: set[threading.Thread] = set()

    def workers(self) -> set[threading.Thread]:
        return self._threads

    def ended(self) -> None:
        self._tell_end()

    def react(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event)
        else:
            super().react(event)

    def _begin(self, event: RequestReceived) -> None:
        headers = tuple((text(name), text(value)) for name, value in event.headers or ())
        path = next((value for name, value in headers if name == ":path"), "")
        call = Call(event.stream_id or 0, headers)
        thread = threading.Thread(target=self._run, args=(call, path), name="buildkit-session", daemon=True)
        with self.lock:
            self.calls[call.stream] = call
            self._threads.add(thread)
        thread.start()

    def _run(self, call: Call, path: str) -> None:
        try:
            self._answer(call, path)
        except (Gone, OSError, ProtocolError):
            pass  # nobody listens any more
        finally:
            self.drop(call)
            with self.lock:
                self._threads.discard(threading.current_thread())

    def _answer(self, call: Call, path: str) -> None:
        handler = self._handlers.get(path)
        status, message = Status.OK, ""
        self.send_headers(call, [(b":status", b"200"), (b"content-type", b"application/grpc")])
        try:
            self._send_all(call, (handler or _unserved)(self.messages(call), call))
        except CallError as error:
            status, message = error.status, str(error)
        except (Gone, OSError, ProtocolError):
            raise
        except Exception as error:  # noqa: BLE001  (the engine must hear of it, else it waits for ever)
            status, message = Status.INTERNAL, type(error).__name__
        trailers = [(b"grpc-status", str(int(status)).encode())]
        if message:
            trailers.append((b"grpc-message", quoted(message)))
        self.send_headers(call, trailers, last=True)

    def _send_all(self, call: Call, answer: Answer) -> None:
        waiting = bytearray()
        for message in answer:
            if message is not None:
                waiting += framed(message)
            if waiting and (message is None or len(waiting) >= _TOGETHER):
                self.send(call, bytes(waiting))
                waiting.clear()
        if waiting:
            self.send(call, bytes(waiting))


def _unserved(_requests: Iterable[bytes], _call: Call) -> Answer:
    raise CallError(Status.UNIMPLEMENTED, "not served here")
