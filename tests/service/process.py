"""A real `acr-task serve` in a process of its own, and calls to it. Must not know what is tested with it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ADMIN = "an-admin-token-for-tests"


class Process:
    """Started when made; stop it, or use it with `with`. `errors` is all that it wrote to standard error so far.
    Of `env`, its own variables are left out; `further` ones are not."""

    def __init__(
        self,
        data: Path,
        *args: str,
        env: Mapping[str, str] | None = None,
        admin: str | None = ADMIN,
        port: int = 0,
        further: Mapping[str, str] | None = None,
    ) -> None:
        base = {key: value for key, value in (env or os.environ).items() if not key.startswith("ACR_TASK_")}
        base |= {"HOME": str(data)} | ({"ACR_TASK_ADMIN_TOKEN": admin} if admin else {}) | dict(further or {})
        self.token = admin or ""
        self._lines: list[str] = []
        self._told = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskengine.cli", "serve", "--port", str(port), "--data", str(data), *args],
            env=base, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.url = self.wait_for(r"serving (\S+) ").group(1)
        except BaseException:
            self.kill()
            raise

    @property
    def errors(self) -> str:
        with self._told:
            return "".join(self._lines)

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """What it has written, or will write soon. Raises AssertionError."""
        end = time.monotonic() + seconds
        with self._told:
            while True:
                if found := re.search(pattern, "".join(self._lines)):
                    return found
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"no {pattern!r} in:\n{''.join(self._lines)}")
                self._told.wait(min(left, 0.5))

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, raw: bool = False
    ) -> tuple[int, Any]:
        """Status and answer, of a path below the root."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token if token is None else token}")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, data=data, timeout=60) as answer:
                status, said = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read()
        return status, said if raw else (json.loads(said) if said else None)

    def resident(self) -> int:
        """Bytes of memory that the process has."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        return int(found.group(1)) * 1024

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        try:
            for line in self.process.stderr:
                with self._told:
                    self._lines.append(line)
                    self._told.notify_all()
        except ValueError:
            pass
        with self._told:
            self._told.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
