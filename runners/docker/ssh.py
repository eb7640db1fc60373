"""Reaches an engine through ssh: each connection is one `ssh HOST docker system dial-stdio`, as Docker itself does.

The OpenSSH program does the work, so what ~/.ssh/config says holds (keys, agents, jump hosts, known hosts). docker-py's
own way through it hands nothing on before its buffer is full and knows no time limits, so its transport is replaced by
this one, whose connections are real sockets. Must not know what is asked of the engine.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import urllib.parse
import weakref
from collections.abc import Iterable
from typing import IO, Any

import urllib3
import urllib3.connection
from docker.transport.basehttpadapter import BaseHTTPAdapter

from taskengine.errors import Unreachable
from taskengine.lightclass import dataclass

#: a server drops connections by chance when many at once have not logged in yet (sshd_config: MaxStartups 10)
_LOGINS_AT_ONCE = 4
_LONGEST_GREETING = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to: `path` is the engine's socket there, if it is not the one that docker uses by itself."""

    host: str
    user: str = ""
    port: int | None = None
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read ssh://[USER@]HOST[:PORT][/PATH]. Raises Unreachable for anything else."""
        parts = urllib.parse.urlsplit(url)
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if parts.scheme != "ssh" or not host or host.startswith("-") or (parts.username or "").startswith("-"):
            raise Unreachable(f"{url!r} names no host to reach with ssh", hint="write ssh://[USER@]HOST[:PORT]")
        if parts.password is not None or parts.query or parts.fragment:
            raise Unreachable(
                f"ssh://{host}: only user, host, port and the socket's path may be given",
                hint="passwords are not asked for or taken: load a key into ssh-agent",
            )
        return cls(host=host, user=parts.username or "", port=port, path=parts.path.rstrip("/"))

    def command(self) -> list[str]:
        """The command line that becomes a connection to the engine."""
        far = ["docker", *(["--host", f"unix://{self.path}"] if self.path else []), "system", "dial-stdio"]
        return [
            "ssh",
            *(["-l", self.user] if self.user else []),
            *(["-p", str(self.port)] if self.port else []),
            # nobody can answer a question here, and a peer that vanished must be noticed
            *("-o", "BatchMode=yes", "-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=3", "-T"),
            *("--", self.host, shlex.join(far)),
        ]


class ProgramSocket(socket.socket):
    """A socket whose other end is the standard input and output of a program. The program ends with the socket."""

    def __init__(self, command: list[str], complaints: IO[bytes]) -> None:
        near, far = socket.socketpair()
        with near, far:
            # a session of its own: Ctrl-C is for us, and our containers are stopped over this very connection
            self.process = subprocess.Popen(
                command, stdin=far.fileno(), stdout=far.fileno(), stderr=complaints, start_new_session=True
            )
            super().__init__(near.family, near.type, near.proto, fileno=near.detach())

    def _real_close(self) -> None:
        """Called by close(), or later, when the last file made of this socket is closed."""
        super()._real_close()  # type: ignore[misc]
        self.end_program()

    def end_program(self) -> None:
        with contextlib.suppress(OSError):
            self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class SshAdapter(BaseHTTPAdapter):
    """Carries the requests of docker-py. `failure` is why the last connection could not be made."""

    def __init__(self, url: str, *, patience: float, most: int) -> None:
        super().__init__()
        self._target = Target.parse(url)
        self._turns = threading.BoundedSemaphore(_LOGINS_AT_ONCE)
        self._open: weakref.WeakSet[ProgramSocket] = weakref.WeakSet()
        self._patience = patience
        self._pool = _Pool(self, most)
        self.failure = ""
        if shutil.which("ssh") is None:
            raise Unreachable(f"{url} cannot be reached without `ssh`", hint="install OpenSSH's client")
        # also when the process ends, or the client was dropped without close()
        weakref.finalize(self, _end, self._open)

    def dial(self) -> socket.socket:
        """A new connection on which the engine has answered once. Raises OSError with what ssh said."""
        with self._turns, tempfile.TemporaryFile() as complaints:
            sock = ProgramSocket(self._target.command(), complaints)
            try:
                sock.settimeout(self._patience)
                _greet(sock)
            except OSError as error:
                sock.close()
                self.failure = self._why(error, complaints)
                raise ConnectionError(f"ssh: {self.failure}") from error
        self.failure = ""
        self._open.add(sock)
        return sock

    def _why(self, error: OSError, complaints: IO[bytes]) -> str:
        """What ssh, the far shell or the far docker had to say, else the error itself."""
        if isinstance(error, TimeoutError):
            return f"no answer within {self._patience:g} s"
        complaints.seek(0)
        lines = [
            text for line in complaints.read(64 * 1024).decode(errors="replace").splitlines() if (text := line.strip())
        ]
        return lines[-1][:300] if lines else str(error)

    def get_connection(self, url: Any, proxies: Any = None) -> _Pool:  # noqa: ARG002 - requests' signature
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002 - requests' signature
        return str(request.path_url)

    def close(self) -> None:
        """End every connection, also those in use."""
        self._pool.close()
        super().close()
        _end(self._open)


def _end(connections: Iterable[ProgramSocket]) -> None:
    for sock in list(connections):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.end_program()


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, adapter: SshAdapter, most: int) -> None:
        super().__init__("docker", maxsize=most)
        self._adapter = adapter

    def _new_conn(self) -> urllib3.connection.HTTPConnection:
        return _Connection(self._adapter)


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, adapter: SshAdapter) -> None:
        super().__init__("docker")
        self._adapter = adapter

    def connect(self) -> None:
        self.sock = self._adapter.dial()  # its time limit is set by each request


def _greet(sock: socket.socket) -> None:
    """Ask the engine for nothing: its answer shows that the way is open, and ends the log-in that takes a turn."""
    sock.sendall(b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
    seen = b""
    while b"\r\n\r\n" not in seen:
        data = sock.recv(4096)
        seen += data
        if not data or len(seen) > _LONGEST_GREETING or not seen.startswith(b"HTTP/"[: len(seen)]):
            raise ConnectionError("no Docker Engine answered there")
