"""An engine that dies, restarts or falls silent in the middle of a run: the run ends soon, says why, and is tidied up."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.engine import OwnEngine

ACR_TASK = str(Path(sys.executable).with_name("acr-task"))
UP = "steps:\n  - {id: a, cmd: \"--stop-signal=KILL busybox:1 sh -c 'echo up; sleep 1000'\"}\n"
BUILD = "steps:\n  - {id: b, build: -t never .}\n"


class Run:
    """One `acr-task run` on an engine that may be broken."""

    def __init__(self, engine: OwnEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.env = {**engine.env, "ACR_TASK_DATA": str(folder / "data")}
        (folder / "ctx").mkdir()
        (folder / "ctx" / "Dockerfile").write_text("FROM busybox:1\nRUN echo up; sleep 1000\n")

    def start(self, text: str) -> subprocess.Popen[bytes]:
        """Returns when the step has said `up`."""
        (self.folder / "task.yaml").write_text(text)
        process = subprocess.Popen(
            [ACR_TASK, "run", "-f", "task.yaml", "ctx"], env=self.env, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        seen, end = b"", time.monotonic() + 60
        while b"up" not in seen and (left := end - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(process.stdout, select.POLLIN)
            if poll.poll(left * 1000):
                piece = os.read(process.stdout.fileno(), 65536)
                seen += piece
                if not piece:
                    break
        assert b"up" in seen, seen
        return process

    def journals(self) -> list[Path]:
        return list((self.folder / "data" / "runs").glob("*.json"))

    def next_command(self) -> float:
        """Any command that comes after; the seconds it took."""
        begin = time.monotonic()
        subprocess.run([ACR_TASK, "version"], env=self.env, check=True, capture_output=True, timeout=100)
        return time.monotonic() - begin


@pytest.fixture
def run(fresh_engine: Callable[..., OwnEngine], tmp_path: Path) -> Run:
    return Run(fresh_engine(), tmp_path)


def end_of(process: subprocess.Popen[bytes], seconds: float) -> str:
    """What it said on standard error; it has to end within this time."""
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
        pytest.fail(f"still running after {seconds} s:\n{errors.decode()}")
    return errors.decode()


@contextmanager
def silent(engine: OwnEngine) -> Iterator[None]:
    """The engine is there and says nothing, as on a machine that is out of memory."""
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(engine.pid, signal.SIGCONT)


@pytest.mark.parametrize("text", [UP, BUILD], ids=["cmd", "build"])
def test_a_run_whose_engine_dies_fails_and_the_next_command_tidies_up(run: Run, text: str) -> None:
    process = run.start(text)
    run.engine.kill()
    errors = end_of(process, 40)
    assert process.returncode in (1, 3), errors
    assert "engine" in errors.lower()
    assert "hint: " in errors
    assert "Traceback" not in errors
    assert "bug" not in errors
    assert len(run.journals()) == 1
    run.next_command()  # the engine is still away: this one must neither fail nor forget
    assert len(run.journals()) == 1
    run.engine.start()
    run.next_command()
    assert run.journals() == []
    assert not any(run.engine.objects().values())


def test_a_run_whose_engine_restarts_fails_and_leaves_nothing(run: Run) -> None:
    process = run.start(UP)
    run.engine.kill()
    run.engine.start()
    errors = end_of(process, 40)
    assert process.returncode in (1, 3), errors
    run.next_command()
    assert run.journals() == []
    assert not any(run.engine.objects().values())


def test_ctrl_c_twice_ends_the_process_although_the_engine_is_silent(run: Run) -> None:
    process = run.start(UP)
    with silent(run.engine):
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # two signals of a kind at once are one
        process.send_signal(signal.SIGINT)
        errors = end_of(process, 15)
        assert time.monotonic() - begin < 8
        assert process.returncode == 130, errors
        assert run.next_command() < 15
        assert len(run.journals()) == 1
    run.next_command()
    assert run.journals() == []
    assert not any(run.engine.objects().values())


@pytest.mark.parametrize("text", [UP, BUILD], ids=["cmd", "build"])
def test_ctrl_c_once_ends_the_process_although_the_engine_is_silent(run: Run, text: str) -> None:
    process = run.start(text)
    with silent(run.engine):
        process.send_signal(signal.SIGINT)
        errors = end_of(process, 60)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
    run.next_command()
    assert run.journals() == []
    assert not any(run.engine.objects().values())


def test_an_engine_that_is_silent_from_the_start_is_said_to_be(run: Run) -> None:
    with silent(run.engine):
        done = subprocess.run(
            [ACR_TASK, "run", "--cmd", "busybox:1 true", "/dev/null"], env=run.env, cwd=run.folder, text=True,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert "timed out" in done.stderr
