"""The session: while a build runs, the engine calls services of ours over a connection of its own.

It fetches files, secrets, registry credentials and ssh agents here, each build from its own session. The services are
served on a socket file, which is gone as soon as the one connection to it stands.

Must not know how a build is asked for. Never writes a secret anywhere but into the answer to the engine.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from taskengine.errors import InvalidInput, TaskEngineError

from . import filesync
from .dial import Dial
from .model import Credentials
from .relay import Relay, SocketConnection, SocketFolder
from .tree import Tree
from .wire import grpc, pb

_HUB = "registry-1.docker.io"
_OPTIONS = [
    # a request for files carries all of .dockerignore in its metadata
    ("grpc.max_metadata_size", 32 << 20),
    ("grpc.absolute_max_metadata_size", 32 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.so_reuseport", 0),
]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a session has for the engine. Trees are asked for by name."""

    trees: Mapping[str, Tree] = field(default_factory=dict)
    upload: Callable[[], BinaryIO] | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials | None = field(default=None, repr=False)


class _ThreadForEachCall(futures.Executor):
    """gRPC's calls here are few and may wait long; a fixed pool could be full of them. The threads are daemons, so that
    a process that is told to end does not wait for an engine."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        future: futures.Future[Any] = futures.Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  (handed on to whoever asks the future)
                future.set_exception(error)

        threading.Thread(target=run, name="buildkit-session", daemon=True).start()
        return future


class Session:
    """Open from construction until close(). `failure` is the first error of ours that made the engine give up."""

    def __init__(self, *, ident: str, offer: Offer, dial: Dial, folder: SocketFolder, shared_key: str) -> None:
        self.ident = ident
        self.sent = filesync.Sent()
        self.failure: TaskEngineError | None = None
        self.lost = False
        self._offer = offer
        self._closing = False
        self._server = grpc.server(_ThreadForEachCall(), options=_OPTIONS)
        methods = [method for service in self._services() for method in self._serve(*service)]
        path = f"{folder.path}/{ident[:16]}"
        self._relay: Relay | None = None
        try:
            self._server.add_insecure_port(f"unix:{path}")
            self._server.start()
            near = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            near.connect(path)
            Path(path).unlink(missing_ok=True)
            self._join(SocketConnection(near), dial, methods, shared_key)
        except BaseException:
            self.close()
            raise

    def _join(self, near: SocketConnection, dial: Dial, methods: list[str], shared_key: str) -> None:
        headers = [
            ("X-Docker-Expose-Session-Uuid", self.ident),
            ("X-Docker-Expose-Session-Name", "acr-task"),
            ("X-Docker-Expose-Session-Sharedkey", shared_key),
            *(("X-Docker-Expose-Session-Grpc-Method", method) for method in methods),
        ]
        try:
            far = dial("/session", headers)
        except BaseException:
            near.close()
            raise
        self._relay = Relay(near, far, ended=self._ended)

    def _ended(self) -> None:
        self.lost = not self._closing

    def close(self) -> None:
        self._closing = True
        stopped = self._server.stop(None)
        if self._relay is not None:
            self._relay.close()
        stopped.wait(2)

    def _services(self) -> Iterator[tuple[str, str, str, Any, Any, Any]]:
        """Service, method, kind, handler, request and response; only what this session can serve is announced."""
        one, two = "unary_unary", "stream_stream"
        yield "grpc.health.v1.Health", "Check", one, _healthy, pb.HealthRequest, pb.HealthResponse
        yield "moby.filesync.v1.FileSync", "DiffCopy", two, self._diff_copy, pb.Packet, pb.Packet
        yield (
            "moby.filesync.v1.Auth",
            "Credentials",
            one,
            self._credentials,
            pb.CredentialsRequest,
            pb.CredentialsResponse,
        )
        secrets = "moby.buildkit.secrets.v1.Secrets"
        yield secrets, "GetSecret", one, self._secret, pb.GetSecretRequest, pb.GetSecretResponse
        if self._offer.upload is not None:
            yield "moby.upload.v1.Upload", "Pull", two, self._pull, pb.BytesMessage, pb.BytesMessage
        if self._offer.ssh:
            ssh = "moby.sshforward.v1.SSH"
            yield ssh, "CheckAgent", one, self._check_agent, pb.CheckAgentRequest, pb.CheckAgentResponse
            yield ssh, "ForwardAgent", two, self._forward_agent, pb.BytesMessage, pb.BytesMessage

    def _serve(self, service: str, method: str, kind: str, handler: Any, request: Any, response: Any) -> list[str]:
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        call = make(handler, request_deserializer=request.FromString, response_serializer=response.SerializeToString)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: call}),))
        return [f"/{service}/{method}"]

    def _give_up(self, error: TaskEngineError, context: Any) -> None:
        """End the call so that the build ends too; the author gets our own words, not the engine's echo of them."""
        self.failure = self.failure or error
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, error.message)

    def _diff_copy(self, requests: Any, context: Any) -> Iterator[Any]:
        wanted = filesync.options(context.invocation_metadata())
        name = next(iter(wanted.get("dir-name", ())), "")
        tree = self._offer.trees.get(name)
        if tree is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"this build has no folder '{name}'")
            return
        try:
            sender = filesync.Sender(tree, filesync.selection(tree, wanted), self.sent)
            context.add_callback(sender.stop)
            yield from sender.packets(requests)
        except TaskEngineError as error:
            self._give_up(error, context)
        except OSError as error:
            self._give_up(InvalidInput(f"cannot read the build context: {error}"), context)

    def _pull(self, _requests: Any, context: Any) -> Iterator[Any]:
        assert self._offer.upload is not None  # noqa: S101  (announced only when there is one)
        try:
            with self._offer.upload() as stream:
                while data := stream.read(64 * 1024):
                    yield pb.BytesMessage(data=data)
        except TaskEngineError as error:
            self._give_up(error, context)
        except OSError as error:
            self._give_up(InvalidInput(f"cannot read the build context: {error}"), context)

    def _credentials(self, request: Any, context: Any) -> Any:
        host = "docker.io" if request.Host == _HUB else request.Host
        try:
            found = self._offer.credentials(host) if self._offer.credentials is not None else None
        except TaskEngineError as error:
            self._give_up(error, context)
            return None
        user, secret = found or ("", "")
        # a token has no user: "<token>" is how credential helpers spell that
        return pb.CredentialsResponse(Username="" if user == "<token>" else user, Secret=secret)

    def _secret(self, request: Any, context: Any) -> Any:
        value = self._offer.secrets.get(request.ID)
        if value is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no secret '{request.ID}'")
        return pb.GetSecretResponse(data=value)

    def _agent(self, ident: str, context: Any) -> str:
        path = self._offer.ssh.get(ident or "default")
        if path is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no ssh agent '{ident or 'default'}'")
        return path or ""

    def _check_agent(self, request: Any, context: Any) -> Any:
        self._agent(request.ID, context)
        return pb.CheckAgentResponse()

    def _forward_agent(self, requests: Any, context: Any) -> Iterator[Any]:
        ident = dict(context.invocation_metadata()).get("buildkit.ssh.id", "default")
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection = SocketConnection(agent)
        try:
            agent.connect(self._agent(ident, context))
        except OSError as error:
            connection.close()
            context.abort(grpc.StatusCode.UNAVAILABLE, f"the ssh agent '{ident}' does not answer: {error}")
            return
        context.add_callback(connection.close)
        writer = threading.Thread(target=_write, args=(requests, agent), name="buildkit-ssh", daemon=True)
        writer.start()
        try:
            with contextlib.suppress(OSError):
                while data := connection.recv(32 * 1024):
                    yield pb.BytesMessage(data=data)
        finally:
            connection.close()


def _write(requests: Any, agent: socket.socket) -> None:
    with contextlib.suppress(Exception):  # the stream or the agent is gone, which the reading side sees too
        for message in requests:
            agent.sendall(message.data)
        agent.shutdown(socket.SHUT_WR)


def _healthy(_request: Any, _context: Any) -> Any:
    return pb.HealthResponse(status=1)
