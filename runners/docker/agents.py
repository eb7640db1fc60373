"""The SSH agents that builds may use: those that the user handed to the run, by id, and no others.

An agent is its socket. For a key file an agent is started that holds this key alone, and ends with the run. Private
keys are read by ssh-add and never by us.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runners.docker.failure import StepFailed, fail
from taskengine.runs.model import Reason

if TYPE_CHECKING:
    import subprocess

_START_S, _ADD_S = 10.0, 20.0


class Agents:
    """By id, what the user gave: the path of a socket or of a key file. Thread-safe. `folder` is private to the run."""

    def __init__(self, given: Mapping[str, str], folder: Path) -> None:
        self._given = given
        self._folder = folder
        self._lock = threading.Lock()
        self._started: dict[str, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def sockets(self, idents: Iterable[str]) -> dict[str, str]:
        """The sockets of these agents. Raises StepFailed for one that the user did not give, or that is not there."""
        return {ident: self._socket(ident) for ident in idents}

    def _socket(self, ident: str) -> str:
        path = self._given.get(ident)
        if path is None:
            raise fail(
                Reason.INVALID, f"--ssh {ident}: this run was given no such agent",
                hint=f"a task cannot take your SSH agent by itself; hand it over by `acr-task run --ssh {ident}`",
            )  # fmt: skip
        try:
            mode = Path(path).stat().st_mode
        except OSError as error:
            raise _unusable(ident, f"{path}: {error.strerror}") from None
        if stat.S_ISSOCK(mode):
            return path
        with self._lock:
            if self._closed:
                raise fail(Reason.CANCELED, "the run is over: no agent is started for it")
            if ident not in self._started:
                self._started[ident] = self._start(ident, path)
            return self._started[ident]

    def _start(self, ident: str, key: str) -> str:
        import subprocess

        address = str(self._folder / f"ssh-{len(self._processes)}")
        try:
            process = subprocess.Popen(
                ["ssh-agent", "-D", "-a", address],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise _unusable(ident, f"ssh-agent cannot be started: {error.strerror}") from None
        self._processes.append(process)
        assert process.stdout is not None  # noqa: S101  (asked for above)
        process.stdout.readline()  # it says where it listens when it does
        try:
            added = subprocess.run(
                ["ssh-add", "-q", key],
                env={"SSH_AUTH_SOCK": address, "SSH_ASKPASS_REQUIRE": "never", "PATH": "/usr/bin:/bin:/usr/local/bin"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                timeout=_ADD_S, check=False, start_new_session=True,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _unusable(ident, f"{key}: ssh-add failed: {type(error).__name__}") from None
        if added.returncode:
            why = added.stderr.decode("utf-8", "replace").strip().splitlines()
            raise _unusable(ident, f"{key}: {why[-1] if why else 'it is no private key'}")
        return address

    def close(self) -> None:
        """End what was started. May be called twice."""
        with self._lock:
            self._closed = True
            processes, self._processes = self._processes, []
        if not processes:
            return
        import subprocess

        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(_START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _unusable(ident: str, why: str) -> StepFailed:
    return fail(
        Reason.INVALID, f"--ssh {ident}: {why}",
        hint="name the socket of an agent, or a private key without a passphrase; others go into an agent by ssh-add",
    )  # fmt: skip
