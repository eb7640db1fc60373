"""An ssh server of the suite's own on loopback, through which one engine is reached, and what a client needs for it.

Debian's sshd with keys made here; nothing below ~/.ssh or /etc/ssh is read or written. Must not know Docker's API."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.support.place import stop_process
from tests.support.registry import free_port

READY_SECONDS = 20.0
_SEPARATION = Path("/run/sshd")  # where sshd, started by root, locks itself up


class SshServer:
    """`host` is for DOCKER_HOST; `bin` holds an `ssh` that knows keys and settings, to be put first on PATH."""

    def __init__(self, folder: Path, engine_socket: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.bin = folder / "bin"
        self.host = f"ssh://{getpass.getuser()}@localhost:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._made_separation = False
        folder.mkdir()
        for name in ("host", "user", "stranger"):
            make_key(folder / name)
        (folder / "authorized_keys").write_bytes((folder / "user.pub").read_bytes())
        self._write_server_settings(engine_socket)
        self._write_client_settings()

    def _write_server_settings(self, engine_socket: str) -> None:
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "StrictModes no",
            "PidFile none",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f"UsePAM {'yes' if _account_is_locked() else 'no'}",
            f"SetEnv DOCKER_HOST=unix://{engine_socket}",
        ]
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")

    def _write_client_settings(self) -> None:
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        (self.folder / "known_hosts").write_text(f"[localhost]:{self.port} {kind} {key}\n")
        self.use(key="user")
        self.bin.mkdir()
        wrapper = self.bin / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder}/config "$@"\n')
        wrapper.chmod(0o755)

    def use(self, *, key: str) -> None:
        """Log in with this key from now on: `user` may come in, `stranger` may not."""
        lines = [
            f"IdentityFile {self.folder}/{key}",
            "IdentitiesOnly yes",
            "IdentityAgent none",
            f"UserKnownHostsFile {self.folder}/known_hosts",
            "GlobalKnownHostsFile none",
            "StrictHostKeyChecking yes",
        ]
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    @property
    def path(self) -> str:
        """PATH for a process that is to find this `ssh`."""
        return f"{self.bin}:{os.environ['PATH']}"

    def clients(self) -> list[int]:
        """The ssh processes that are connected, or about to be."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self.port).encode() in words and words[0].endswith(b"ssh"):
                found.append(int(entry.name))
        return found

    def start(self) -> None:
        program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if program is None:
            raise RuntimeError("`sshd` is not installed (Debian: openssh-server); `make setup` installs it")
        if os.geteuid() == 0 and not _SEPARATION.exists():
            _SEPARATION.mkdir(mode=0o755)
            self._made_separation = True
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while "Server listening" not in (text := (self.folder / "log").read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd did not start:\n{text}")
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            stop_process(self._process)
            self._process = None
        if self._made_separation:
            shutil.rmtree(_SEPARATION, ignore_errors=True)


def make_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)


def _account_is_locked() -> bool:
    """sshd lets nobody into a locked account unless PAM decides; in containers PAM often cannot."""
    name = getpass.getuser()
    try:
        lines = Path("/etc/shadow").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith(f"{name}:!") for line in lines)
