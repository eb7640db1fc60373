"""A BuildKit of its own (buildkitd), named by BUILDKIT_HOST: where it is, and how connections to it are made.

What the engine does by upgrading a connection, buildkitd does by gRPC itself: orders go to it as they are, and a
session travels as the messages of one call, Control.Session. So a dialer for it looks like the engine's to all others.

Must not know builds.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

from .connection import Connection, SocketConnection
from .dial import Dial, connect_tcp, connect_unix

if TYPE_CHECKING:
    import ssl

    from .call import Caller, Outgoing

VARIABLE, TLS_VARIABLE = "BUILDKIT_HOST", "ACR_TASK_BUILDKIT_TLS"
_SESSION = "/moby.buildkit.v1.Control/Session"
_PORT = 1234
#: What one message of a session may hold: well below the 4 MiB that every gRPC server takes.
_MESSAGE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Buildkitd:
    """Where a buildkitd listens: a Unix socket's path, or host and port. `tls_dir` holds ca.pem, cert.pem, key.pem."""

    address: str
    path: str = ""
    host: str = ""
    port: int = _PORT
    tls_dir: str = ""


def find_buildkitd(environ: Mapping[str, str]) -> Buildkitd | None:
    """What the environment names, None when it names none. Touches no network. Raises InvalidInput."""
    address = environ.get(VARIABLE, "")
    if not address:
        return None
    tls_dir = environ.get(TLS_VARIABLE, "")
    if address.startswith("unix://"):
        return Buildkitd(address=address, path=address.removeprefix("unix://"))
    hint = "write unix:///run/buildkit/buildkitd.sock or tcp://HOST:PORT, or unset it to build on the engine"
    if not address.startswith("tcp://"):
        raise InvalidInput(f"{VARIABLE} is {address!r}, which is no address that builds can be sent to", hint=hint)
    try:
        where = urllib.parse.urlsplit(address)
        host, port = where.hostname or "", where.port or _PORT
    except ValueError:
        host, port = "", 0
    if not host:
        raise InvalidInput(f"{VARIABLE} is {address!r}, which names no host", hint=hint)
    if tls_dir and not Path(tls_dir).is_dir():
        raise InvalidInput(
            f"{TLS_VARIABLE} names {tls_dir}, which is no folder", hint="it holds ca.pem, cert.pem and key.pem"
        )
    return Buildkitd(address=address, host=host, port=port, tls_dir=tls_dir)


def buildkitd_dialer(there: Buildkitd) -> Dial:
    """Connections as the engine's dialer gives them: one that takes orders, or one that carries a session."""
    connect = _connector(there)

    def dial(path: str, headers: Sequence[tuple[str, str]]) -> Connection:
        connection = connect()
        try:
            _wait_for_ever(connection)
            return _session(connection, headers) if path == "/session" else connection
        except BaseException:
            connection.close()
            raise

    return dial


def _connector(there: Buildkitd) -> Callable[[], Connection]:
    if there.path:
        return lambda: connect_unix(there.path)
    if not there.tls_dir:
        return lambda: SocketConnection(connect_tcp(there.host, there.port))
    from .tls import TlsConnection

    context = _trust(Path(there.tls_dir))
    return lambda: TlsConnection(connect_tcp(there.host, there.port), context, there.host)


def _trust(folder: Path) -> ssl.SSLContext:
    import ssl

    ca, cert, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca.exists() else None)
        if cert.exists():
            context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"the certificates in {folder} cannot be used: {error}", hint="it holds ca.pem, cert.pem and key.pem"
        ) from error
    context.set_alpn_protocols(["h2"])  # gRPC's servers insist on it
    return context


def _wait_for_ever(connection: Connection) -> None:
    """Once connected, silence is no fault: builds take their time."""
    if (set_timeout := getattr(connection, "settimeout", None)) is not None:
        set_timeout(None)


def _session(connection: Connection, headers: Sequence[tuple[str, str]]) -> Connection:
    from .call import Caller

    caller = Caller(connection)
    caller.start()
    return CallConnection(caller, caller.open(_SESSION, metadata=headers, timeout=None))


class CallConnection:
    """A byte stream inside of a call that goes both ways. Closing it closes the connection of the call too."""

    def __init__(self, caller: Caller, call: Outgoing) -> None:
        self._caller = caller
        self._call = call
        self._incoming = self._messages()
        self._ahead = memoryview(b"")

    def _messages(self) -> Iterator[bytes]:
        from . import messages as pb
        from .link import CallError

        try:
            for message in self._call:
                yield pb.BytesMessage.decode(message).data
        except CallError as error:
            raise ConnectionError(f"the session ended: {error}") from error

    def recv(self, size: int, /) -> bytes:
        while not self._ahead:
            data = next(self._incoming, None)
            if data is None:
                return b""
            self._ahead = memoryview(data)
        data, self._ahead = bytes(self._ahead[:size]), self._ahead[size:]
        return data

    def sendall(self, data: bytes, /) -> None:
        from . import messages as pb

        for begin in range(0, len(data), _MESSAGE):
            self._call.send(pb.BytesMessage(data=data[begin : begin + _MESSAGE]).encode())

    def close(self) -> None:
        self._call.cancel()
        self._caller.close()
