"""The control side: one gRPC channel to the engine's BuildKit, over which all builds of a run are ordered and watched.

gRPC connects to a socket file of ours; for each such connection one is opened to the engine. When it breaks, gRPC
connects anew by itself. Must not know what a build is.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from .dial import Dial, EngineRefused
from .relay import Relay, SocketConnection, SocketFolder
from .wire import grpc, pb

_OPTIONS = [
    # an error carries the Dockerfile and the engine's stack along in its metadata
    ("grpc.max_metadata_size", 32 << 20),
    ("grpc.absolute_max_metadata_size", 32 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 20_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


class Channel:
    """BuildKit's Control service. Thread-safe. `refusal` is why the last connection to the engine failed."""

    def __init__(self, dial: Dial, folder: SocketFolder) -> None:
        self._dial = dial
        self._listener = folder.listen("control")
        self._relays: list[Relay] = []
        self._lock = threading.Lock()
        self._closed = False
        self.refusal: Exception | None = None
        self._acceptor = threading.Thread(target=self._accept, name="buildkit-accept", daemon=True)
        self._acceptor.start()
        self._channel = grpc.insecure_channel(f"unix:{folder.path}/control", options=_OPTIONS)
        self._solve = self._channel.unary_unary(
            "/moby.buildkit.v1.Control/Solve",
            request_serializer=pb.SolveRequest.SerializeToString,
            response_deserializer=pb.SolveResponse.FromString,
        )
        self._status = self._channel.unary_stream(
            "/moby.buildkit.v1.Control/Status",
            request_serializer=pb.StatusRequest.SerializeToString,
            response_deserializer=pb.StatusResponse.FromString,
        )
        self._workers = self._channel.unary_unary(
            "/moby.buildkit.v1.Control/ListWorkers",
            request_serializer=pb.ListWorkersRequest.SerializeToString,
            response_deserializer=pb.ListWorkersResponse.FromString,
        )

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._join(sock)

    def _join(self, sock: socket.socket) -> None:
        try:
            engine = self._dial("/grpc", ())
        except (OSError, EngineRefused, ValueError) as error:
            self.refusal = error
            sock.close()
            return
        self.refusal = None
        relay = Relay(SocketConnection(sock), engine)
        with self._lock:
            self._relays = [r for r in self._relays if r.is_open] + [relay]
            closed = self._closed
        if closed:
            relay.close()

    def solve(self, request: Any, *, timeout: float) -> Any:
        """Start a build; gives gRPC's future."""
        return self._solve.future(request, timeout=timeout)

    def status(self, ref: str, *, timeout: float) -> Any:
        """A stream of status messages, which can be canceled."""
        return self._status(pb.StatusRequest(Ref=ref), timeout=timeout)

    def workers(self, *, timeout: float) -> Iterator[Mapping[str, Any]]:
        """What builds there: one entry a worker, with its labels and platforms."""
        for record in self._workers(pb.ListWorkersRequest(), timeout=timeout).record:
            yield {
                "id": record.ID,
                "labels": dict(record.Labels),
                "platforms": tuple("/".join(filter(None, (p.OS, p.Architecture, p.Variant))) for p in record.platforms),
            }

    def close(self) -> None:
        self._channel.close()
        with self._lock:
            self._closed = True
            relays, self._relays = self._relays, []
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for relay in relays:
            relay.close()
        self._acceptor.join(2)
