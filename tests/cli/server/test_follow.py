"""Following a run: connections that break, and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.noop.runner import Script
from taskengine.cli.server.follow import followed
from taskengine.client.api import Ended, Output
from taskengine.errors import Unreachable
from taskengine.runs.model import RunStatus
from taskengine.service.model import Role
from tests.cli.server.conftest import Server


class Seen:
    """A view that remembers."""

    def __init__(self) -> None:
        self.words: list[tuple[str, str]] = []
        self.log = b""

    def say(self, text: str, level: str = "info") -> None:
        self.words.append((text, level))

    def event(self, event: object) -> None:
        """Nothing."""

    def write(self, step: str, stream: int, data: bytes) -> None:
        self.log += data


class Breaking:
    """An API whose connection breaks twice before it is there again."""

    class to:  # noqa: N801
        url = "http://service"

    def follow(self, run: str, *, on_break: Any) -> Iterator[object]:
        yield Output("a", 1, b"one\n")
        on_break(Unreachable("reset"))
        on_break(Unreachable("reset"))
        yield Output("a", 1, b"two\n")
        yield Ended({"runId": run, "status": "Succeeded"})


def test_a_broken_connection_is_told_once_and_the_log_goes_on() -> None:
    seen = Seen()
    record = followed(Breaking(), "ca1", seen, seen)  # type: ignore[arg-type]
    assert record.status is RunStatus.SUCCEEDED
    assert seen.log == b"one\ntwo\n"
    assert seen.words == [
        ("the connection to http://service broke; trying again (reset)", "warning"),
        ("connected again; the log goes on where it was", "info"),
    ]


def started(server: Server, folder: Path, *args: str) -> subprocess.Popen[bytes]:
    env = {
        **os.environ, "ACR_TASK_SERVER": server.url, "ACR_TASK_TOKEN": server.token(Role.DEVELOPER),
        "ACR_TASK_DATA": str(folder / "data"), "PYTHONPATH": str(Path(__file__).parents[3]),
    }  # fmt: skip
    command = [sys.executable, "-m", "taskengine.cli", *args]
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_an_interrupt_cancels_the_run_on_the_server_and_waits_for_its_end(server: Server, tmp_path: Path) -> None:
    server.behaviour["cmd"] = Script(stdout=b"up\n", seconds=600)
    with started(server, tmp_path, "run", "--cmd", "alpine:3 sleep 600", "/dev/null") as process:
        assert process.stderr is not None
        watchdog = threading.Timer(100, process.kill)
        watchdog.start()
        said = b""
        while b"cmd: started" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate()
        watchdog.cancel()
    assert process.returncode == 130, said + rest
    assert b"run ca1 was canceled" in rest
    with server.services.database.read() as conn:
        assert conn.exec_driver_sql("select status, cancel_reason from runs").all() == [("Canceled", "interrupted")]


def test_an_interrupt_ends_a_run_that_still_waits(idle: Server, tmp_path: Path) -> None:
    with started(idle, tmp_path, "run", "--cmd", "alpine:3 true", "/dev/null") as process:
        assert process.stderr is not None
        watchdog = threading.Timer(100, process.kill)
        watchdog.start()
        line = process.stderr.readline()
        assert b"run ca1 is queued" in line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate()
        watchdog.cancel()
    # nobody had begun it, so that the first interrupt ended it already
    assert process.returncode == 130, line + rest
    assert b"run ca1 was canceled" in rest


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_run_that_was_queued_and_canceled_by_somebody_is_no_interrupt(
    idle: Server, tmp_path: Path, output: str
) -> None:
    from taskengine.client.api import ServiceApi
    from taskengine.client.transport import Transport

    with started(idle, tmp_path, "run", "--no-wait", "--cmd", "alpine:3 true", "/dev/null") as process:
        assert process.communicate()[0] == b"ca1\n"
    with ServiceApi(Transport(idle.url, idle.token(Role.ADMIN))) as api:
        api.cancel_run("ca1", "no more")
    with started(idle, tmp_path, "task", "logs", "-o", output) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == "json" or b"run ca1 was canceled" in said
