"""One HTTP/2 connection that carries gRPC messages: what the calling side (call.py) and the serving (serve.py) share.

gRPC's own library opens and serves only sockets of its own making, and takes longer to load than a cached build takes.
Here the connection is open already, each stream may wait as long as it likes, and the peer's windows are kept to, so
that nothing piles up.

Must not know what the messages mean: bytes in, bytes out.
"""

from __future__ import annotations

import contextlib
import queue
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from enum import IntEnum

import h2.frame_buffer
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from .connection import Connection

_CHUNK = 256 * 1024
_WINDOW = 1 << 20
_LARGEST_HEADERS = 32 << 20
_LARGEST_MESSAGE = 64 << 20
_PREFIX = struct.Struct(">BI")

# an error carries the whole Dockerfile and the engine's stack along in its headers, 16 KiB a frame
h2.frame_buffer.CONTINUATION_BACKLOG = max(h2.frame_buffer.CONTINUATION_BACKLOG, _LARGEST_HEADERS >> 14)

Metadata = tuple[tuple[str, str], ...]


class Status(IntEnum):
    """gRPC's status codes, the few that we tell apart."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14

    @classmethod
    def _missing_(cls, _value: object) -> Status:
        return cls.UNKNOWN


class CallError(Exception):
    """Ends a call with a status other than OK. `trailers` are what came along with it."""

    def __init__(self, status: Status, message: str, trailers: Metadata = ()) -> None:
        super().__init__(message)
        self.status = status
        self.trailers = trailers


class Gone(Exception):
    """The peer does not want this stream any more, or we do not."""


class Call:
    """One stream: its metadata, what was received on it, and what to do when it is given up."""

    def __init__(self, stream: int, metadata: Metadata) -> None:
        self.stream = stream
        self.metadata = metadata
        self.received: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self.gone = False
        #: when it has to be over, on the monotonic clock
        self.until: float | None = None
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def on_end(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the call is given up; at once if it is already."""
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

    def left(self) -> float | None:
        """Seconds until it has to be over."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())


class Link:
    """Open until the connection ends or close() is called. What differs by side is in react() and ended()."""

    def __init__(self, connection: Connection, *, client: bool, name: str) -> None:
        self._connection = connection
        self._client = client
        self.http = H2Connection(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        # the lock guards the protocol's state; `sending` keeps the order of what goes out, and is taken first
        self.lock = threading.Lock()
        self._sending = threading.Lock()
        self._window = threading.Condition(self.lock)
        self.calls: dict[int, Call] = {}
        self.is_open = True
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)

    def start(self) -> None:
        with self.lock:
            self.http.initiate_connection()
            # not through local_settings: those would be believed here and never told to the peer
            settings: dict[SettingCodes | int, int] = {
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: _LARGEST_HEADERS,
            }
            if self._client:
                settings[SettingCodes.ENABLE_PUSH] = 0
            self.http.update_settings(settings)
            self.http.increment_flow_control_window(_WINDOW)
        self.http.decoder.max_header_list_size = _LARGEST_HEADERS
        self.flush()
        self._reader.start()

    def close(self) -> None:
        self.is_open = False
        self._connection.close()
        with self.lock:
            threads = [self._reader, *self.workers()]
        for thread in threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(2)

    def workers(self) -> set[threading.Thread]:
        """Further threads that end with the connection."""
        return set()

    # what comes in

    def _read(self) -> None:
        try:
            while data := self._connection.recv(_CHUNK):
                with self.lock:
                    events = self.http.receive_data(data)
                for event in events:
                    self.react(event)
                self.flush()
        except (OSError, ProtocolError):
            pass  # it is over; whoever waits is told below
        finally:
            self.is_open = False
            self._connection.close()
            with self._window:
                calls = list(self.calls.values())
                self._window.notify_all()
            for call in calls:
                call.give_up()
            self.ended()

    def ended(self) -> None:
        """The connection is over."""

    def react(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            if (call := self.calls.get(event.stream_id)) is not None:
                call.received.put((event.data, event.flow_controlled_length))
            else:
                self._credit(event.stream_id, event.flow_controlled_length)
        elif isinstance(event, StreamEnded):
            if (call := self.calls.get(event.stream_id)) is not None:
                call.received.put(None)
        elif isinstance(event, StreamReset):
            if (call := self.calls.get(event.stream_id)) is not None:
                call.give_up()
            self.wake()
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self.wake()
        elif isinstance(event, ConnectionTerminated):
            raise ConnectionError("the peer ended the connection")

    def wake(self) -> None:
        """Whoever waits for room looks again."""
        with self._window:
            self._window.notify_all()

    def messages(self, call: Call) -> Iterator[bytes]:
        """The peer's messages. Room for more is given only for what was taken, so that a flood waits over there.

        Raises queue.Empty when the call's time is over."""
        buffer = bytearray()
        while (part := call.received.get(timeout=call.left())) is not None:
            data, credit = part
            buffer += data
            self._credit(call.stream, credit)
            while len(buffer) >= _PREFIX.size:
                packed, size = _PREFIX.unpack_from(buffer)
                if packed or size > _LARGEST_MESSAGE:
                    raise CallError(Status.UNIMPLEMENTED, "compressed or oversized message")
                if len(buffer) < _PREFIX.size + size:
                    break
                message = bytes(buffer[_PREFIX.size : _PREFIX.size + size])
                del buffer[: _PREFIX.size + size]
                yield message

    def drop(self, call: Call) -> None:
        """Forget a stream. What it was sent and nobody read takes no room from the others."""
        with self.lock:
            self.calls.pop(call.stream, None)
        with contextlib.suppress(queue.Empty):
            while True:
                if (part := call.received.get_nowait()) is not None:
                    self._credit(call.stream, part[1])
        call.received.put(None)  # whoever still waits was meant to see the end

    def _credit(self, stream: int, size: int) -> None:
        if size <= 0:
            return
        try:
            with self.lock:
                self.http.acknowledge_received_data(size, stream)
            self.flush()
        except (ProtocolError, OSError, ValueError):
            pass  # the stream or the connection has ended meanwhile

    # what goes out

    def send_headers(self, call: Call, headers: list[tuple[bytes, bytes]], *, last: bool = False) -> None:
        with self.lock:
            self._check(call)
            self.http.send_headers(call.stream, headers, end_stream=last)
        self.flush()

    def send(self, call: Call, data: bytes | bytearray) -> None:
        """Raises Gone when the stream is, or has no more time."""
        view = memoryview(data)
        while view:
            with self._window:
                while not (room := self._room(call)):
                    if not self._window.wait(call.left()):
                        raise Gone
                room = min(room, len(view))
                size = self.http.max_outbound_frame_size
                for begin in range(0, room, size):
                    self.http.send_data(call.stream, bytes(view[begin : min(begin + size, room)]))
            self.flush()
            view = view[room:]

    def end(self, call: Call) -> None:
        """Nothing more will be sent on this stream."""
        with self.lock:
            self._check(call)
            self.http.end_stream(call.stream)
        self.flush()

    def reset(self, call: Call) -> None:
        """Tell the peer that nobody wants this stream any more."""
        try:
            with self.lock:
                self.http.reset_stream(call.stream, ErrorCodes.CANCEL)
            self.flush()
        except (ProtocolError, OSError):
            pass  # it has ended meanwhile

    def _room(self, call: Call) -> int:
        self._check(call)
        return max(0, self.http.local_flow_control_window(call.stream))

    def _check(self, call: Call) -> None:
        if call.gone or not self.is_open:
            raise Gone

    def flush(self) -> None:
        with self._sending:
            with self.lock:
                data = self.http.data_to_send()
            if data:
                self._connection.sendall(data)


def framed(message: bytes) -> bytes:
    """A message as it travels."""
    return _PREFIX.pack(0, len(message)) + message


def text(value: bytes | str) -> str:
    """A header's name or value."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def quoted(message: str) -> bytes:
    """A status message as a header's value."""
    return urllib.parse.quote(message, safe=" ").encode()
