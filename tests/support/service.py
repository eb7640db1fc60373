"""A real `acr-task serve` beside an engine of the suite, as a process that can be killed and started again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.engine import Engine

TOKEN = "acrt_test-admin-token-of-the-suite-0123456789"
ACR_TASK = Path(sys.executable).with_name("acr-task")


class Service:
    """`url` is right for processes that run behind `engine.inside`."""

    def __init__(self, engine: Engine, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self._engine, self._folder, self._options = engine, folder, options
        self.env = {**engine.env, "ACR_TASK_ADMIN_TOKEN": TOKEN, **(env or {})}
        self.port = 0
        self.said: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, ready: str = "worker: ready") -> None:
        """Start, and return once it said that it is `ready`."""
        command = [
            *self._engine.inside, str(ACR_TASK), "serve", "--port", str(self.port), "--data", str(self._folder),
            *self._options,
        ]  # fmt: skip
        self.process = subprocess.Popen(command, env=self.env, stderr=subprocess.PIPE, text=True)
        up = threading.Event()
        threading.Thread(target=self._listen, args=(self.process, ready, up), daemon=True).start()
        assert up.wait(90), self.said
        assert self.process.poll() is None, self.said

    def _listen(self, process: subprocess.Popen[str], ready: str, up: threading.Event) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.said.append(line.rstrip())
            if line.startswith("serving http://127.0.0.1:"):
                self.port = int(line.split()[1].rpartition(":")[2])
            if ready in line:
                up.set()
        up.set()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def call(self, code: str, **values: Any) -> str:
        """Run Python beside the service, with `api` (ServiceApi) and these values; what it prints."""
        head = (
            "import json, sys\nfrom taskengine.client.api import *\nfrom taskengine.client.transport import *\n"
            f"api = ServiceApi(Transport({self.url!r}, {TOKEN!r}))\n"
        )
        given = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        done = subprocess.run(
            [*self._engine.inside, sys.executable, "-c", head + given + code],
            env={**self.env, "PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@contextmanager
def service(engine: Engine, folder: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Service]:
    """A service that is up; it ends with the context."""
    made = Service(engine, folder, *options, env=env)
    made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill()
