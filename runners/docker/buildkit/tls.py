"""TLS over a socket that is connected already, as a Connection. Loaded only where an engine is reached that way."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker


def engine_context(api: docker.APIClient, host: str) -> tuple[ssl.SSLContext, str | None]:
    """The same trust that docker-py gives to requests: `verify` is a CA file, True or False."""
    verify: Any = api.verify
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False or verify is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if api.cert:
        files = (api.cert,) if isinstance(api.cert, str) else tuple(api.cert)
        context.load_cert_chain(*files)
    return context, host


class TlsConnection:
    """TLS that one thread may read while another writes, which ssl.SSLSocket does not promise.

    The protocol runs in memory under a lock; only the waiting for bytes is done without it.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str | None) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._lock, self._sending = threading.Lock(), threading.Lock()
        try:
            self._until_done(lambda: self._tls.do_handshake())
        except BaseException:
            self.close()
            raise

    def settimeout(self, seconds: float | None) -> None:
        self._sock.settimeout(seconds)

    def _until_done(self, operation: Callable[[], Any]) -> Any:
        while True:
            result, done = None, True
            with self._lock:
                try:
                    result = operation()
                except ssl.SSLWantReadError:
                    done = False
            if self._outgoing.pending:
                self._flush()
            if done:
                return result
            data = self._sock.recv(64 * 1024)
            with self._lock:
                self._incoming.write(data) if data else self._incoming.write_eof()

    def _flush(self) -> None:
        """Send what was encrypted, in that order, and without keeping readers from decrypting meanwhile."""
        with self._sending:
            with self._lock:
                data = self._outgoing.read()
            self._sock.sendall(data)

    def recv(self, size: int, /) -> bytes:
        try:
            data: bytes = self._until_done(lambda: self._tls.read(size))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""
        return data

    def sendall(self, data: bytes, /) -> None:
        with self._lock:
            self._tls.write(data)
        self._flush()

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
