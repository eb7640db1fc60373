"""Ctrl-C and SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TASK = "steps:\n  - id: build\n    cmd: busybox make\n  - id: test\n    cmd: busybox\n"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a run and waits until its first step talks."""
    running: list[subprocess.Popen[str]] = []

    def begin(behaviour: dict[str, Any], *options: str) -> subprocess.Popen[str]:
        (tmp_path / "task.yaml").write_text(TASK)
        told = json.dumps({"build": {"stdout": "ready\n", "seconds": 60}, **behaviour})
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.driver", told, "run", "task.yaml", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ACR_TASK_DATA": str(tmp_path / "data")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if "ready" in line:
                return process
        pytest.fail("the run ended before its first step talked")

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_run_cleans_up_and_exits_with_130(start: Start, number: int, tmp_path: Path) -> None:
    process = start({})
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (tmp_path / "cleaned").exists()
    assert not (tmp_path / "killed").exists()
    assert "stopping; interrupt again to stop at once" in err
    assert "was canceled" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_second_ctrl_c_does_not_wait_for_the_clean_up(start: Start, tmp_path: Path) -> None:
    process = start({"cleanup": 60})
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    for line in process.stderr:
        if "interrupt again" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (tmp_path / "killed").exists()
    assert not (tmp_path / "cleaned").exists()
    assert "stopped at once" in err


def test_json_lines_tell_of_the_interrupt_and_of_the_end(start: Start) -> None:
    process = start({}, "-o", "json")
    process.send_signal(signal.SIGINT)
    # read through the stream that the start was read from: `communicate` does not see what that one holds already
    assert process.wait(timeout=120) == 130
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    events = [json.loads(line) for line in out.splitlines()]
    assert any(e["event"] == "notice" and "interrupted" in e["message"] for e in events)
    assert events[-1]["event"] == "run.finished"
    assert events[-1]["record"]["status"] == "Canceled"
    assert err == ""


def test_a_run_whose_reader_has_gone_is_stopped_and_cleaned_up(start: Start, tmp_path: Path) -> None:
    process = start({"build": {"stdout": "ready\n"}, "test": {"stdout": "nobody reads this\n"}})
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=30) in (0, 1)
    assert (tmp_path / "cleaned").exists()
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
