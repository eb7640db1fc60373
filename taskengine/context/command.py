"""Runs one git command: without a shell, with an environment of ours, within a deadline, and killed when told to.

Knows processes and git's configuration; must not know contexts. What is secret travels in the environment of the
command only, never in its arguments, and is taken out of whatever the command says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

from taskengine.context.model import Deadline, Limits, scrubbed, size_of
from taskengine.errors import InvalidInput

_TICK = 0.25
_MOST_WORDS = 16 << 10
_MOST_OUTPUT = 1 << 20
#: what of the caller's GIT_* variables is heard: how to reach hosts and whom to ask, nothing about folders or traces
_HEARD = (
    "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_PROXY_COMMAND", "GIT_EXEC_PATH",
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
)  # fmt: skip
_HEARD_BEGINNINGS = ("GIT_SSL_", "GIT_HTTP_", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
#: nothing that a repository brings, and nothing of the user's own that acts on repositories, is run
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("init.defaultBranch", "none"),
    ("init.templateDir", ""),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("protocol.version", "2"),
    ("http.lowSpeedLimit", "1"),
    ("http.lowSpeedTime", "60"),
)


class GitFailed(Exception):
    """A git command ended with an error. `words` is what it said, without secrets; `git.py` explains it."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class GitCommand:
    """The git commands of one fetch, in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        environ: Mapping[str, str],
        settings: Iterable[tuple[str, str]],
        secrets: Iterable[str],
        protocols: str,
        deadline: Deadline,
        limits: Limits,
    ) -> None:
        self.folder = folder
        self._environ = environment(environ, (*_SETTINGS, *settings))
        self._secrets = tuple(secrets)
        self._protocols = protocols
        self._deadline = deadline
        self._limits = limits

    def run(self, *args: str, protocols: str | None = None) -> str:
        """Run `git ARGS` and return what it printed. Raises GitFailed, Interrupted, Unreachable, InvalidInput."""
        out = bytearray()

        def keep(chunk: bytes) -> None:
            if len(out) + len(chunk) > _MOST_OUTPUT:
                raise InvalidInput("the repository has too many refs of that name")
            out.extend(chunk)

        self.stream(keep, *args, protocols=protocols)
        return out.decode("utf-8", "replace")

    def stream(self, each: Callable[[bytes], None], *args: str, protocols: str | None = None) -> None:
        """The same with its output handed to `each` piece by piece. What `each` raises ends the command."""
        self._deadline.check()
        env = {**self._environ, "GIT_ALLOW_PROTOCOL": self._protocols if protocols is None else protocols}
        try:
            process = subprocess.Popen(
                ["git", *args],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # no terminal to ask on, and one group to kill
            )
        except FileNotFoundError:
            raise InvalidInput(
                "git is not installed, and this context is a repository", hint="install git, or name a folder"
            ) from None
        watch = _Watch(process, self._deadline, self._too_large)
        words = _Words(process.stderr)
        stop_listening = self._deadline.stop.listen(lambda: _kill(process))
        try:
            assert process.stdout is not None  # noqa: S101 - asked for above
            while chunk := process.stdout.read1(65536):  # type: ignore[attr-defined]
                each(chunk)
            process.wait()
        finally:
            stop_listening()
            _kill(process)
            process.wait()
            watch.end()
            said = words.end()
            if process.stdout:
                process.stdout.close()
        if watch.large:
            raise InvalidInput(
                f"the repository is larger than {size_of(self._limits.download)}", hint="fetch it yourself, and name it"
            )
        if process.returncode != 0:
            self._deadline.check()
            raise GitFailed(scrubbed(said, self._secrets))

    def _too_large(self) -> bool:
        return _packs(self.folder / ".git") > self._limits.download


def environment(environ: Mapping[str, str], settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The environment of a git command: the caller's, with `settings` behind the caller's own configuration."""
    env = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name in _HEARD or name.startswith(_HEARD_BEGINNINGS)
    }
    given = environ.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isdecimal() else 0
    number = first
    for number, (key, value) in enumerate(settings, first):
        env[f"GIT_CONFIG_KEY_{number}"], env[f"GIT_CONFIG_VALUE_{number}"] = key, value
    env["GIT_CONFIG_COUNT"] = str(number + 1)
    env["GIT_TERMINAL_PROMPT"] = "0"
    env["GIT_OPTIONAL_LOCKS"] = "0"
    env["SSH_ASKPASS_REQUIRE"] = "never"
    env["GCM_INTERACTIVE"] = "never"
    env["LC_ALL"] = "C"
    return env


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command and all that it started. Its group outlives it while a child does."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _packs(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            if "pack" in name:
                with contextlib.suppress(OSError):
                    total += (Path(root) / name).stat().st_size
    return total


class _Watch:
    """Kills the command when the deadline passes or the folder grows too large."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: Deadline, too_large: Callable[[], bool]) -> None:
        self.large = False
        self._process = process
        self._deadline = deadline
        self._too_large = too_large
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="git-watch", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(min(_TICK, self._deadline.left)):
            self.large = self._too_large()
            if self.large or self._deadline.left <= 0:
                _kill(self._process)
                return

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class _Words:
    """The end of what a command says on stderr; a hostile server may say a lot."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None  # noqa: S101 - every caller asks for a pipe
        self._stream = stream
        self._parts: deque[bytes] = deque()
        self._thread = threading.Thread(target=self._read, name="git-words", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        size = 0
        while chunk := self._stream.read1(4096):  # type: ignore[attr-defined]
            self._parts.append(chunk)
            size += len(chunk)
            while size > _MOST_WORDS and len(self._parts) > 1:
                size -= len(self._parts.popleft())

    def end(self) -> str:
        self._thread.join(1)
        if not self._thread.is_alive():
            self._stream.close()
        return b"".join(self._parts).decode("utf-8", "replace")
