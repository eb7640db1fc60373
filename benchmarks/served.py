"""A real `acr-task serve` that is measured: a process of its own, on SQLite or PostgreSQL, that may be killed.

Knows how it is started and where it answers; must not know what is measured.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from benchmarks.measure import ACR_TASK

TOKEN = "acrt_the-token-of-the-benchmarks-0123456789"
V1 = "/api/v1"
_READY_SECONDS = 120.0


class Served:
    """`data` is its folder, `database` a URL (SQLite in the folder without). `inside` is what to put before a command
    to run it beside an engine, and `host` where it then listens. `settings` are lines of its settings file, `more` is
    added to its environment."""

    def __init__(
        self, data: Path, *options: str, database: str = "", env: Mapping[str, str] | None = None,
        inside: tuple[str, ...] = (), host: str = "127.0.0.1", settings: str = "",
        more: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        data.mkdir(parents=True, exist_ok=True)
        if settings:
            (data / "settings.yaml").write_text(settings)
        self.data, self.host, self.port = data, host, 0
        self.database = database or f"sqlite:///{data}/service.db"
        self._command = [*inside, str(ACR_TASK), "serve", "--host", host, "--data", str(data), *options]
        outer = {name: value for name, value in (env or os.environ).items() if not name.startswith("ACR_TASK_")}
        # an installed program has its bytecode
        outer.pop("PYTHONDONTWRITEBYTECODE", None)
        self._env = {**outer, "ACR_TASK_ADMIN_TOKEN": TOKEN, "ACR_TASK_DATABASE_URL": self.database, **(more or {})}
        self.said: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self, ready: str = "serving") -> Self:
        """Returns when it has said that it is `ready`."""
        self.process = subprocess.Popen(
            [*self._command, "--port", str(self.port)], env=self._env, stderr=subprocess.PIPE, text=True
        )
        told = threading.Event()
        threading.Thread(target=self._listen, args=(self.process, ready, told), daemon=True).start()
        if not told.wait(_READY_SECONDS) or self.process.poll() is not None:
            raise RuntimeError("the service did not start:\n" + "\n".join(self.said[-20:]))
        return self

    def _listen(self, process: subprocess.Popen[str], ready: str, told: threading.Event) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.said.append(line.rstrip())
            if found := re.search(r"serving http://[^ ]*:(\d+) ", line):
                self.port = int(found.group(1))
            if ready in line:
                told.set()
        told.set()

    def kill(self) -> None:
        """As a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def resident(self) -> int:
        """Bytes of memory that the process has."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        return int(found.group(1)) * 1024

    def processor_seconds(self) -> float:
        """What the process has used so far, of all threads."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Caller:
    """One kept connection to a service, as the administrator. Thin, so that little of a client is measured."""

    def __init__(self, served: Served, *, seconds: float = 60) -> None:
        self._connection = http.client.HTTPConnection(served.host, served.port, timeout=seconds)
        self._headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer as JSON. Raises RuntimeError for anything but a success."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, V1 + path, body=data, headers=self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:500]!r}")
        return json.loads(said) if said else None

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body)

    def timed(self, path: str) -> float:
        """Seconds until the whole answer of a GET is here."""
        begin = time.perf_counter()
        self._connection.request("GET", V1 + path, headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        taken = time.perf_counter() - begin
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status}")
        return taken


def ended(caller: Caller, names: Sequence[str]) -> list[dict[str, Any]]:
    """The runs when they are over. Raises AssertionError for one that did not succeed."""
    found = {}
    for name in names:
        while (run := caller.get(f"/runs/{name}"))["status"] in ("Queued", "Started", "Running"):
            time.sleep(0.05)
        if run["status"] != "Succeeded":
            raise AssertionError(f"run {name} is {run['status']}: {run.get('runErrorMessage')}")
        found[name] = run
    return [found[name] for name in names]


def rows(url: str, statement: str) -> list[Any]:
    """What a database holds, whoever else has it open."""
    from sqlalchemy import text

    from taskengine.service.store.database import Database

    database = Database.open(url, migrate=False)
    try:
        with database.read() as conn:
            return list(conn.execute(text(statement)).all())
    finally:
        database.close()


@contextmanager
def databases(folder: Path, *, only: tuple[str, ...] = ("SQLite", "PostgreSQL")) -> Iterator[dict[str, str]]:
    """Addresses of an empty database of each kind by its name; the server of PostgreSQL flushes what it commits."""
    from tests.support.postgres import Postgres

    found: dict[str, str] = {}
    if "SQLite" in only:
        found["SQLite"] = f"sqlite:///{folder}/service.db"
    if "PostgreSQL" not in only:
        yield found
        return
    server = Postgres(durable=True)
    try:
        yield {**found, "PostgreSQL": server.fresh()}
    finally:
        server.close()


def say(text: str) -> None:
    """What is going on, for whoever watches."""
    print(text, f"(load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
