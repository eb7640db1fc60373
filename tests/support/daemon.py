"""One dockerd process: started, asked whether it answers, killed, started again.

Knows its command line and its life. Must not know images or tests."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.place import Place, end_containers, stop_process

RUNC_WRAPPER = Path(__file__).resolve().parents[2] / "scripts" / "runc-wrapper"
CAP_SYS_RESOURCE = 24
READY_SECONDS = 60.0


class EngineConnection(http.client.HTTPConnection):
    """The engine's API over its socket, with nothing but the standard library."""

    def __init__(self, path: str, *, timeout: float = 60.0) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """A dockerd in a place. With `apart`, it listens on TCP and sees another /tmp than we do: a far host in small."""

    def __init__(
        self, place: Place, *, apart: bool = False, extra: Sequence[str] = (), settings: dict[str, Any] | None = None
    ) -> None:
        self.place = place
        self.apart = apart
        self.extra = tuple(extra)
        self.settings = settings or {}  # instead of the host's /etc/docker/daemon.json
        self.socket = place.folder / "docker.sock"
        self.log = place.folder / "dockerd.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def tcp_host(self) -> str | None:
        return f"tcp://{self.place.address}:2375" if self.apart else None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("this daemon is not running")
        return self._process.pid

    def launch(self, prefix: Sequence[str] = ()) -> None:
        """Start, without waiting for it. A `prefix` must become the daemon itself (as nsenter does)."""
        (self.place.folder / "pid").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests; they end the daemon in their own time
                env={**os.environ, "TMPDIR": str(self.place.folder)},
            )

    def await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd did not start; the end of its log:\n{self.log_tail()}")
            time.sleep(0.02)

    def answers(self) -> bool:
        connection = EngineConnection(str(self.socket), timeout=5)
        try:
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self, *, wait: bool = True) -> None:
        """SIGKILL, as a crash would: containers and shims live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            if wait:
                self._await_containerd_gone()

    def stop(self) -> None:
        """End the containers first: a daemon that is asked to go would wait for each of them."""
        if self._process is not None:
            end_containers(self.place.cgroup)
            stop_process(self._process)
            self._process = None

    def _await_containerd_gone(self) -> None:
        """It dies with its dockerd, a moment later; a new dockerd that still sees it would wait for it in vain."""
        try:
            pid = int((self.place.folder / "exec/containerd/containerd.pid").read_text())
        except (OSError, ValueError):
            return
        deadline = time.monotonic() + 5
        while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def _command(self) -> list[str]:
        folder = self.place.folder
        (folder / "daemon.json").write_text(json.dumps(self.settings))
        command = [
            _program("dockerd"),
            *("--config-file", str(folder / "daemon.json")),
            *("--data-root", str(folder / "data")),
            *("--exec-root", str(folder / "exec")),
            *("--pidfile", str(folder / "pid")),
            *("--cgroup-parent", self.place.cgroup),
            *("--exec-opt", "native.cgroupdriver=cgroupfs"),
            *("--host", self.host),
            *self.extra,
        ]
        if not may_raise_limits():
            # A copy in our own folder: `apart` hides /tmp, where this repository may stand.
            wrapper = shutil.copy(RUNC_WRAPPER, folder)
            command += ["--add-runtime", f"wrap={wrapper}", "--default-runtime", "wrap"]
        if self.tcp_host:
            command += ["--host", self.tcp_host, "--tls=false"]
            hide = 'mount -t tmpfs tmpfs /tmp && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", hide, "sh", *command]
        return [*self.place.inside, *command]


def may_raise_limits() -> bool:
    """Whether containers may be given CAP_SYS_RESOURCE, which `docker run --privileged` asks for."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return True


def ask_engine(
    path: str, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> bytes:
    """One request over the engine's socket; an answer of 400 or above is an error with the engine's own words."""
    connection = EngineConnection(path)
    try:
        connection.request(method, target, body, {"Content-Type": "application/x-tar"} | (headers or {}))
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status >= 400:
        raise RuntimeError(f"{method} {target}: {response.status} {text.decode(errors='replace').strip()}")
    for line in text.splitlines():
        if line.startswith(b'{"error'):  # a progress stream says 200 first and fails later
            raise RuntimeError(f"{method} {target}: {json.loads(line).get('error')}")
    return text


def _program(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(f"`{name}` is not installed; `make setup` installs it")
    return path
