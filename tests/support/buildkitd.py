"""A stand-in for a standalone buildkitd, for there is no package of a real one: it speaks buildkitd's side of the
protocol (plain gRPC, sessions as the messages of Control.Session, the docker exporter's stream) and lets the BuildKit
inside of a real engine do the work.

What it cannot show is how a real buildkitd differs in what it builds. Must not know what is tested with it."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from runners.docker.buildkit import dialer
from runners.docker.buildkit import messages as pb
from runners.docker.buildkit.call import Caller
from runners.docker.buildkit.connection import SocketConnection
from runners.docker.buildkit.link import Call, CallError, Status
from runners.docker.buildkit.serve import Answer, Handler, Server

if TYPE_CHECKING:
    import docker

_CONTROL = "/moby.buildkit.v1.Control/"
_SEND = "/moby.filesync.v1.FileSend/DiffCopy"


class Buildkitd:
    """Listens on 127.0.0.1 or on a Unix socket until close(). `solved` are the requests to build, as they came."""

    def __init__(self, api: docker.APIClient, *, path: str = "") -> None:
        self._api = api
        self._dial = dialer(api)
        self._engine = Caller(self._dial("/grpc", ()))
        self._engine.start()
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._listener.bind(path or ("127.0.0.1", 0))
        self._listener.listen()
        self.address = f"unix://{path}" if path else f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.solved: list[Any] = []
        self.sessions: dict[str, Caller] = {}
        self._servers: list[Server] = []
        self._handlers: dict[str, Handler] = {
            _CONTROL + "ListWorkers": self._pass_on(self._engine, _CONTROL + "ListWorkers"),
            _CONTROL + "Status": self._pass_on(self._engine, _CONTROL + "Status"),
            _CONTROL + "Solve": self._solve,
            _CONTROL + "Session": self._session,
        }
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in (*self._servers, *self.sessions.values(), self._engine):
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                server = Server(SocketConnection(sock), self._handlers)
                self._servers.append(server)
                server.start()

    @staticmethod
    def _pass_on(there: Caller, path: str) -> Handler:
        """Every message one way and the other, and the end as it is."""

        def handle(requests: Iterable[bytes], call: Call) -> Answer:
            own = (":", "grpc-", "te", "content-type", "user-agent")
            metadata = [(k, v) for k, v in call.metadata if not k.startswith(own)]
            out = there.open(path, metadata=metadata, timeout=None)
            call.on_end(out.cancel)

            def carry() -> None:
                with contextlib.suppress(OSError, CallError):
                    for message in requests:
                        out.send(message)
                    out.done_sending()

            threading.Thread(target=carry, daemon=True).start()
            for answer in out:
                yield answer
                yield None

        return handle

    def _solve(self, requests: Iterable[bytes], call: Call) -> Answer:
        """The engine's exporter keeps the image there; from there it is sent on, as buildkitd's docker exporter does."""
        asked: Any = pb.SolveRequest.decode(next(iter(requests)))
        self.solved.append(asked)
        if asked.Exporter != "docker":
            raise CallError(Status.UNKNOWN, f"exporter {asked.Exporter!r} could not be found")
        order: Any = pb.SolveRequest.decode(asked.encode())
        order.Exporter = "moby"
        out = self._engine.call(_CONTROL + "Solve", order.encode(), timeout=None)
        call.on_end(out.cancel)
        response = pb.SolveResponse.decode(out.result())
        known = dict(response.ExporterResponse)
        image = known.get("containerimage.config.digest") or known["containerimage.digest"]  # the latter: Docker 20.10
        response.ExporterResponse["containerimage.config.digest"] = image
        names = [name for name in asked.ExporterAttrs.get("name", "").split(",") if name] or [image]
        send = self.sessions[asked.Session].open(_SEND, timeout=60)
        for piece in self._archive(names):
            send.send(pb.BytesMessage(data=piece).encode())
        send.done_sending()
        for _ in send:
            raise CallError(Status.UNKNOWN, "a receiver has nothing to say")
        response.ExporterResponse["containerimage.descriptor"] = "e30="
        yield response.encode()

    def _archive(self, names: list[str]) -> Iterator[bytes]:
        api: Any = self._api
        answer = api._get(api._url("/images/get"), params={"names": names}, stream=True)
        if answer.status_code != 200:
            raise CallError(Status.UNKNOWN, answer.text)
        yield from answer.iter_content(64 * 1024)

    def _session(self, requests: Iterable[bytes], call: Call) -> Answer:
        """Bytes of the call are a connection to the client's services; each service that was announced is passed on."""
        exposed = [(k, v) for k, v in call.metadata if k.startswith("x-docker-expose-session-")]
        stream = _MessageConnection(requests)
        client = Caller(stream)
        methods = [v for k, v in exposed if k.endswith("grpc-method")]
        there = [(k, v) for k, v in exposed if v != _SEND]
        self.sessions[next(v for k, v in exposed if k.endswith("uuid"))] = client
        client.start()
        engine = Server(
            self._dial("/session", there), {m: self._pass_on(client, m) for m in methods}, ended=stream.close
        )
        self._servers.append(engine)
        engine.start()
        call.on_end(engine.close)
        while (data := stream.outgoing.get()) is not None:
            yield pb.BytesMessage(data=data).encode()
            yield None


class _MessageConnection:
    """The server's end of a byte stream inside of a call."""

    def __init__(self, requests: Iterable[bytes]) -> None:
        self._requests = iter(requests)
        self._ahead = b""
        self.outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def recv(self, size: int, /) -> bytes:
        if not self._ahead:
            message = next(self._requests, None)
            if message is None:
                return b""
            self._ahead = pb.BytesMessage.decode(message).data
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def sendall(self, data: bytes, /) -> None:
        self.outgoing.put(data)

    def close(self) -> None:
        self.outgoing.put(None)
