"""gRPC's serving side over one connection that is open already: calls come in, handlers answer them.

gRPC's own library serves sockets that it opened itself, and hands over one message at a time; a context has thousands.
Here messages that are there together travel together. Each call runs in a thread of its own and may wait as long as it
likes; the peer's windows are kept to, so that nothing piles up.

Must not know what the messages mean: bytes in, bytes out.
"""

from __future__ import annotations

import queue
import struct
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from .relay import Connection

_CHUNK = 256 * 1024
_WINDOW = 1 << 20
_LARGEST_HEADERS = 32 << 20
_LARGEST_MESSAGE = 64 << 20
#: Messages wait for each other until they are this many bytes.
_TOGETHER = 128 * 1024
_PREFIX = struct.Struct(">BI")

Metadata = tuple[tuple[str, str], ...]
#: What a handler answers: messages, and None where it is about to wait and what it said so far should go.
Answer = Iterator[bytes | None]
Handler = Callable[[Iterable[bytes], "Call"], Answer]


class Status(IntEnum):
    """The few of gRPC's status codes that we use."""

    OK = 0
    UNKNOWN = 2
    NOT_FOUND = 5
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class CallError(Exception):
    """Ends a call with a status other than OK."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Gone(Exception):
    """The peer does not want the answer any more."""


class Call:
    """One call: its metadata, and what to do when the peer gives it up."""

    def __init__(self, stream: int, metadata: Metadata) -> None:
        self.stream = stream
        self.metadata = metadata
        self.received: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self.gone = False
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def on_end(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the peer gives the call up; at once if it has already."""
        with self._lock:
            if not self.gone:
                self._listeners.append(listener)
                return
        listener()

    def give_up(self) -> None:
        with self._lock:
            self.gone = True
            listeners, self._listeners = self._listeners, []
        self.received.put(None)
        for listener in listeners:
            listener()


class Server:
    """Serves until the connection ends or close() is called. `handlers` are by path: /package.Service/Method."""

    def __init__(
        self, connection: Connection, handlers: Mapping[str, Handler], *, ended: Callable[[], None] = lambda: None
    ) -> None:
        self._connection = connection
        self._handlers = handlers
        self._ended = ended
        self._http = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        # the lock guards the protocol's state; `sending` keeps the order of what goes out, and is taken first
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._window = threading.Condition(self._lock)
        self._calls: dict[int, Call] = {}
        self._threads: set[threading.Thread] = set()
        self._open = True
        self._reader = threading.Thread(target=self._read, name="buildkit-session", daemon=True)

    def start(self) -> None:
        with self._lock:
            self._http.initiate_connection()
            # not through local_settings: those would be believed here and never told to the peer
            self._http.update_settings(
                {SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW, SettingCodes.MAX_HEADER_LIST_SIZE: _LARGEST_HEADERS}
            )
            self._http.increment_flow_control_window(_WINDOW)
        self._http.decoder.max_header_list_size = _LARGEST_HEADERS
        self._flush()
        self._reader.start()

    def close(self) -> None:
        self._open = False
        self._connection.close()
        with self._lock:
            threads = [self._reader, *self._threads]
        for thread in threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(2)

    # what comes in

    def _read(self) -> None:
        try:
            while data := self._connection.recv(_CHUNK):
                with self._lock:
                    events = self._http.receive_data(data)
                for event in events:
                    self._react(event)
                self._flush()
        except (OSError, ProtocolError):
            pass  # it is over; whoever waits is told below
        finally:
            self._open = False
            self._connection.close()
            with self._window:
                calls = list(self._calls.values())
                self._window.notify_all()
            for call in calls:
                call.give_up()
            self._ended()

    def _react(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event)
        elif isinstance(event, DataReceived):
            if (call := self._calls.get(event.stream_id)) is not None:
                call.received.put((event.data, event.flow_controlled_length))
        elif isinstance(event, StreamEnded):
            if (call := self._calls.get(event.stream_id)) is not None:
                call.received.put(None)
        elif isinstance(event, StreamReset):
            if (call := self._calls.get(event.stream_id)) is not None:
                call.give_up()
            self._wake()
        elif isinstance(event, WindowUpdated):
            self._wake()
        elif isinstance(event, ConnectionTerminated):
            raise ConnectionError("the peer ended the connection")

    def _wake(self) -> None:
        with self._window:
            self._window.notify_all()

    def _begin(self, event: RequestReceived) -> None:
        headers = tuple((_text(name), _text(value)) for name, value in event.headers or ())
        path = next((value for name, value in headers if name == ":path"), "")
        call = Call(event.stream_id or 0, headers)
        thread = threading.Thread(target=self._run, args=(call, path), name="buildkit-session", daemon=True)
        with self._lock:
            self._calls[call.stream] = call
            self._threads.add(thread)
        thread.start()

    def _messages(self, call: Call) -> Iterator[bytes]:
        """The peer's messages. Room for more is given only for what was taken, so that a flood waits over there."""
        buffer = bytearray()
        while (part := call.received.get()) is not None:
            data, credit = part
            buffer += data
            self._credit(call, credit)
            while len(buffer) >= _PREFIX.size:
                packed, size = _PREFIX.unpack_from(buffer)
                if packed or size > _LARGEST_MESSAGE:
                    raise CallError(Status.UNIMPLEMENTED, "compressed or oversized message")
                if len(buffer) < _PREFIX.size + size:
                    break
                message = bytes(buffer[_PREFIX.size : _PREFIX.size + size])
                del buffer[: _PREFIX.size + size]
                yield message

    def _credit(self, call: Call, size: int) -> None:
        if size <= 0:
            return
        try:
            with self._lock:
                self._http.acknowledge_received_data(size, call.stream)
            self._flush()
        except (ProtocolError, OSError, ValueError):
            pass  # the stream or the connection has ended meanwhile

    # what goes out

    def _run(self, call: Call, path: str) -> None:
        try:
            self._answer(call, path)
        except (_Gone, OSError, ProtocolError):
            pass  # nobody listens any more
        finally:
            with self._lock:
                self._calls.pop(call.stream, None)
                self._threads.discard(threading.current_thread())

    def _answer(self, call: Call, path: str) -> None:
        handler = self._handlers.get(path)
        status, message = Status.OK, ""
        self._send_headers(call, [(b":status", b"200"), (b"content-type", b"application/grpc")])
        try:
            self._send_all(call, (handler or _unserved)(self._messages(call), call))
        except CallError as error:
            status, message = error.status, str(error)
        except (_Gone, OSError, ProtocolError):
            raise
        except Exception as error:  # noqa: BLE001  (the engine must hear of it, else it waits for ever)
            status, message = Status.INTERNAL, type(error).__name__
        trailers = [(b"grpc-status", str(int(status)).encode())]
        if message:
            trailers.append((b"grpc-message", urllib.parse.quote(message, safe=" ").encode()))
        self._send_headers(call, trailers, last=True)

    def _send_all(self, call: Call, answer: Answer) -> None:
        waiting = bytearray()
        for message in answer:
            if message is not None:
                waiting += _PREFIX.pack(0, len(message))
                waiting += message
            if waiting and (message is None or len(waiting) >= _TOGETHER):
                self._send(call, bytes(waiting))
                waiting.clear()
        if waiting:
            self._send(call, bytes(waiting))

    def _send_headers(self, call: Call, headers: list[tuple[bytes, bytes]], *, last: bool = False) -> None:
        with self._lock:
            self._check(call)
            self._http.send_headers(call.stream, headers, end_stream=last)
        self._flush()

    def _send(self, call: Call, data: bytes) -> None:
        view = memoryview(data)
        while view:
            with self._window:
                while not (room := self._room(call)):
                    self._window.wait()
                room = min(room, len(view))
                size = self._http.max_outbound_frame_size
                for begin in range(0, room, size):
                    self._http.send_data(call.stream, bytes(view[begin : min(begin + size, room)]))
            self._flush()
            view = view[room:]

    def _room(self, call: Call) -> int:
        self._check(call)
        return max(0, self._http.local_flow_control_window(call.stream))

    def _check(self, call: Call) -> None:
        if call.gone or not self._open:
            raise _Gone

    def _flush(self) -> None:
        with self._sending:
            with self._lock:
                data = self._http.data_to_send()
            if data:
                self._connection.sendall(data)


def _unserved(_requests: Iterable[bytes], _call: Call) -> Answer:
    raise CallError(Status.UNIMPLEMENTED, "not served here")


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
