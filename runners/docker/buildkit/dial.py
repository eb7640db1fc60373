"""Opens a connection to the engine that speaks HTTP/2 from then on, over whatever reaches the engine.

`dialer(api)` reads where and how from a docker-py client: a Unix socket, TCP, TLS with client certificates, or ssh (an
adapter that dials by itself). BuildKit is met on two such paths, /grpc and /session.

Must not know BuildKit: it carries bytes and reads one HTTP answer.
"""

from __future__ import annotations

import socket
import urllib.parse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .connection import Connection, SocketConnection

if TYPE_CHECKING:
    import docker

Connect = Callable[[], Connection]
Dial = Callable[[str, Sequence[tuple[str, str]]], Connection]

_TIMEOUT_S = 15.0
_LONGEST_HEAD = 64 * 1024


class EngineRefused(Exception):
    """The engine answered, but did not switch to HTTP/2. `status` is 404 where there is no BuildKit."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the engine answered {status}: {text}" if text else f"the engine answered {status}")
        self.status = status


def dialer(api: docker.APIClient) -> Dial:
    """A function that opens upgraded connections to the engine of `api`. It keeps no connection itself."""
    connect = connector(api)
    prefix = api_prefix(api)

    def dial(path: str, headers: Sequence[tuple[str, str]]) -> Connection:
        connection = connect()
        try:
            return _upgrade(connection, prefix + path, headers)
        except BaseException:
            connection.close()
            raise

    return dial


def api_prefix(api: docker.APIClient) -> str:
    """What the paths of the engine's API begin with."""
    version = getattr(api, "_version", None)
    return f"/v{version}" if version else ""


def connector(api: docker.APIClient) -> Connect:
    """A function that opens plain connections to the engine of `api`."""
    own: Any = getattr(api, "socket_path", None)
    if own is not None:
        return lambda: connect_unix(own)
    url = str(api.base_url)
    adapter: Any = getattr(api, "_custom_adapter", None)
    if (path := getattr(adapter, "socket_path", None)) is not None:
        return lambda: connect_unix(path)
    if (dial := getattr(adapter, "dial", None)) is not None:
        return lambda: SocketConnection(dial())
    where = urllib.parse.urlsplit(url)
    host, port = where.hostname or "localhost", where.port or (2376 if where.scheme == "https" else 2375)
    if where.scheme == "https":
        from .tls import TlsConnection, engine_context

        context, name = engine_context(api, host)
        return lambda: TlsConnection(connect_tcp(host, port), context, name)
    return lambda: SocketConnection(connect_tcp(host, port))


def connect_unix(path: str) -> Connection:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_TIMEOUT_S)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return SocketConnection(sock)


def connect_tcp(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=_TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer that vanished is noticed
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


class _Resumed:
    """A connection of which a little too much has been read already."""

    def __init__(self, connection: Connection, ahead: bytes) -> None:
        self._connection = connection
        self._ahead = ahead

    def recv(self, size: int, /) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._connection.recv(size)

    def sendall(self, data: bytes, /) -> None:
        self._connection.sendall(data)

    def close(self) -> None:
        self._connection.close()


def _upgrade(connection: Connection, path: str, headers: Sequence[tuple[str, str]]) -> Connection:
    """Ask for HTTP/2 on this connection. The engine may send its first frames along with the answer."""
    fields = [("Host", "docker"), ("Connection", "Upgrade"), ("Upgrade", "h2c"), *headers]
    text = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {_field(value)}\r\n" for name, value in fields) + "\r\n"
    connection.sendall(text.encode("latin-1"))
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(4096)
        if not more or len(data) > _LONGEST_HEAD:
            raise ConnectionError("the engine closed the connection instead of answering")
        data += more
    head, _, ahead = data.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or status[1] != b"101":
        code = int(status[1]) if len(status) > 1 and status[1].isdigit() else 0
        raise EngineRefused(code, ahead.decode("utf-8", "replace").strip()[:300])
    if (set_timeout := getattr(connection, "settimeout", None)) is not None:
        set_timeout(None)  # from here on silence is no fault
    return _Resumed(connection, ahead) if ahead else connection


def _field(value: str) -> str:
    """A header's value cannot begin a header of its own."""
    if "\r" in value or "\n" in value:
        raise ValueError("a header's value must stay on its line")
    return value
