"""A real registry (Debian's docker-registry), with or without a login, in a sandbox's network or on loopback.

Knows the registry's process and its first answer. Must not know engines or images."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.place import stop_process

READY_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Login:
    user: str
    password: str


class Registry:
    """`name` is what an engine beside it puts before an image's name; `url` is where this process finds it."""

    def __init__(
        self, folder: Path, *, address: str, port: int, inside: tuple[str, ...] = (), login: Login | None = None
    ) -> None:
        self.folder = folder
        self.address = address
        self.port = port
        self.inside = inside
        self.login = login
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def shared_name(self) -> str:
        """The name under which the engine and this process both find it (not loopback in a sandbox)."""
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def user(self) -> str:
        return self.login.user if self.login else ""

    @property
    def password(self) -> str:
        return self.login.password if self.login else ""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("this registry is not running")
        return self._process.pid

    def launch(self, extra: dict[str, Any] | None = None) -> None:
        """Start, without waiting for it. `extra` adds sections to its configuration (notifications, for one)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "config.json"
        configuration.write_text(json.dumps(self._configuration() | (extra or {})))  # JSON is YAML as well
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.inside, _program(), "serve", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )

    def await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self._status() not in (200, 401):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                log = self.folder / "log"
                raise RuntimeError(f"docker-registry did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            stop_process(self._process, grace=3)
            self._process = None

    def _configuration(self) -> dict[str, Any]:
        listen = "0.0.0.0" if self.inside else self.address
        configuration: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "data")},
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
            },
            "http": {"addr": f"{listen}:{self.port}", "secret": secrets.token_hex(16)},
        }
        if self.login:
            passwords = self.folder / "htpasswd"
            passwords.write_text(_htpasswd_line(self.login))
            configuration["auth"] = {"htpasswd": {"realm": "tests", "path": str(passwords)}}
        return configuration

    def _status(self) -> int:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=2)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def _htpasswd_line(login: Login) -> str:
    import bcrypt

    return f"{login.user}:{bcrypt.hashpw(login.password.encode(), bcrypt.gensalt(rounds=4)).decode()}\n"


def _program() -> str:
    path = shutil.which("docker-registry")
    if path is None:
        raise RuntimeError("`docker-registry` is not installed; `make setup` installs it")
    return path
