"""The session: while a build runs, the engine calls services of ours over a connection of its own.

It fetches files, secrets, registry credentials and ssh agents here, each build from its own session.

Must not know how a build is asked for. Never writes a secret anywhere but into the answer to the engine.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, BinaryIO

from taskengine.errors import InvalidInput, TaskEngineError
from taskengine.lightclass import dataclass

from . import filesync
from . import messages as pb
from .connection import SocketConnection
from .dial import Dial
from .link import Call, CallError, Status
from .model import Credentials
from .receive import Load, receiver
from .serve import Answer, Handler, Server
from .tree import Tree

_HUB = "registry-1.docker.io"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a session has for the engine. Trees are asked for by name."""

    trees: Mapping[str, Tree] = field(default_factory=dict)
    upload: Callable[[], BinaryIO] | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials | None = field(default=None, repr=False)
    #: takes the image that a standalone buildkitd sends
    load: Load | None = None


class Session:
    """Open from construction until close(). `failure` is the first error of ours that made the engine give up."""

    def __init__(self, *, ident: str, offer: Offer, dial: Dial, shared_key: str) -> None:
        self.ident = ident
        self.sent = filesync.Sent()
        self.failure: TaskEngineError | None = None
        self.lost = False
        self._offer = offer
        self._closing = False
        handlers = dict(self._services())
        headers = [
            ("X-Docker-Expose-Session-Uuid", ident),
            ("X-Docker-Expose-Session-Name", "acr-task"),
            ("X-Docker-Expose-Session-Sharedkey", shared_key),
            *(("X-Docker-Expose-Session-Grpc-Method", method) for method in handlers),
        ]
        self._server = Server(dial("/session", headers), handlers, ended=self._ended)
        self._server.start()

    def _ended(self) -> None:
        self.lost = not self._closing

    def close(self) -> None:
        self._closing = True
        self._server.close()

    def _services(self) -> Iterator[tuple[str, Handler]]:
        """Only what this session can serve is announced."""
        yield "/grpc.health.v1.Health/Check", _one(pb.HealthRequest, _healthy)
        yield "/moby.filesync.v1.FileSync/DiffCopy", self._diff_copy
        yield "/moby.filesync.v1.Auth/Credentials", _one(pb.CredentialsRequest, self._credentials)
        yield "/moby.buildkit.secrets.v1.Secrets/GetSecret", _one(pb.GetSecretRequest, self._secret)
        if self._offer.upload is not None:
            yield "/moby.upload.v1.Upload/Pull", self._pull
        if self._offer.load is not None:
            yield "/moby.filesync.v1.FileSend/DiffCopy", self._receive
        if self._offer.ssh:
            yield "/moby.sshforward.v1.SSH/CheckAgent", _one(pb.CheckAgentRequest, self._check_agent)
            yield "/moby.sshforward.v1.SSH/ForwardAgent", self._forward_agent

    def _give_up(self, error: TaskEngineError) -> CallError:
        """Ends the call so that the build ends too; the author gets our own words, not the engine's echo of them."""
        self.failure = self.failure or error
        return CallError(Status.FAILED_PRECONDITION, error.message)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except TaskEngineError as error:
            raise self._give_up(error) from error
        except OSError as error:
            raise self._give_up(InvalidInput(f"cannot read the build context: {error}")) from error

    def _diff_copy(self, requests: Iterable[bytes], call: Call) -> Answer:
        wanted = filesync.options(call.metadata)
        name = next(iter(wanted.get("dir-name", ())), "")
        tree = self._offer.trees.get(name)
        if tree is None:
            raise CallError(Status.NOT_FOUND, f"this build has no folder '{name}'")
        with self._reading():
            sender = filesync.Sender(tree, filesync.selection(tree, wanted), self.sent)
            call.on_end(sender.stop)
            yield from sender.packets(map(pb.Packet.decode, requests))

    def _pull(self, _requests: Iterable[bytes], _call: Call) -> Answer:
        assert self._offer.upload is not None  # noqa: S101  (announced only when there is one)
        with self._reading(), self._offer.upload() as stream:
            while data := stream.read(64 * 1024):
                yield pb.BytesMessage(data=data).encode()

    def _receive(self, requests: Iterable[bytes], call: Call) -> Answer:
        assert self._offer.load is not None  # noqa: S101  (announced only when there is one)
        try:
            yield from receiver(self._offer.load)(requests, call)
        except TaskEngineError as error:
            raise self._give_up(error) from error

    def _credentials(self, request: Any) -> Any:
        host = "docker.io" if request.Host == _HUB else request.Host
        try:
            found = self._offer.credentials(host) if self._offer.credentials is not None else None
        except TaskEngineError as error:
            raise self._give_up(error) from error
        user, secret = found or ("", "")
        # a token has no user: "<token>" is how credential helpers spell that
        return pb.CredentialsResponse(Username="" if user == "<token>" else user, Secret=secret)

    def _secret(self, request: Any) -> Any:
        value = self._offer.secrets.get(request.ID)
        if value is None:
            raise CallError(Status.NOT_FOUND, f"there is no secret '{request.ID}'")
        return pb.GetSecretResponse(data=value)

    def _agent(self, ident: str) -> str:
        path = self._offer.ssh.get(ident or "default")
        if path is None:
            raise CallError(Status.NOT_FOUND, f"there is no ssh agent '{ident or 'default'}'")
        return path

    def _check_agent(self, request: Any) -> Any:
        self._agent(request.ID)
        return pb.CheckAgentResponse()

    def _forward_agent(self, requests: Iterable[bytes], call: Call) -> Answer:
        ident = dict(call.metadata).get("buildkit.ssh.id", "default")
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection = SocketConnection(agent)
        try:
            agent.connect(self._agent(ident))
            call.on_end(connection.close)
            writer = threading.Thread(target=_write, args=(requests, agent), name="buildkit-ssh", daemon=True)
            writer.start()
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(32 * 1024):
                    yield pb.BytesMessage(data=data).encode()
                    yield None
        except OSError as error:
            raise CallError(Status.UNAVAILABLE, f"the ssh agent '{ident}' does not answer: {error}") from error
        finally:
            connection.close()


def _write(requests: Iterable[bytes], agent: socket.socket) -> None:
    with contextlib.suppress(Exception):  # the stream or the agent is gone, which the reading side sees too
        for message in requests:
            agent.sendall(pb.BytesMessage.decode(message).data)
        agent.shutdown(socket.SHUT_WR)


def _one(kind: Any, answer: Callable[[Any], Any]) -> Handler:
    """A handler for calls that have one request and one answer."""

    def handle(requests: Iterable[bytes], _call: Call) -> Answer:
        for message in requests:
            yield answer(kind.decode(message)).encode()
            return

    return handle


def _healthy(_request: Any) -> Any:
    return pb.HealthResponse(status=1)
