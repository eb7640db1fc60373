"""The program on a terminal of its own (a pty), watched by an emulated screen."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte
import pytest

ROOT = Path(__file__).parents[2]
TASK = """\
steps:
  - id: build
    cmd: busybox make
  - id: test
    cmd: busybox
  - id: lint
    cmd: busybox
    when: [build]
"""


class Session:
    """A program on a terminal."""

    def __init__(self, args: list[str], cwd: Path, env: dict[str, str], columns: int, lines: int) -> None:
        self.master, slave = pty.openpty()
        self.columns, self.lines = columns, lines
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            args, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.raw = b""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_until(self, seen: Callable[[bytes], bool], seconds: float = 30) -> bytes:
        """Everything until `seen` holds or the program has ended."""
        while not seen(self.raw):
            if not select.select([self.master], [], [], seconds)[0]:
                pytest.fail(f"nothing came for {seconds} s: {self.raw[-2000:]!r}")
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.raw += data
        return self.raw

    def finish(self) -> int:
        self.read_until(lambda raw: False)
        os.close(self.master)
        return self.process.wait(30)

    def screen(self) -> list[str]:
        screen = pyte.HistoryScreen(self.columns, self.lines, history=10_000)
        pyte.ByteStream(screen).feed(self.raw)
        above = ["".join(line[x].data for x in range(self.columns)) for line in screen.history.top]
        return [row.rstrip() for row in [*above, *screen.display] if row.strip()]


Open = Callable[..., Session]


@pytest.fixture
def terminal(tmp_path: Path) -> Open:
    def begin(behaviour: dict[str, Any], *options: str, columns: int = 90, lines: int = 30, **env: str) -> Session:
        (tmp_path / "task.yaml").write_text(TASK)
        keep = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM", "COLUMNS", "LINES")}
        base = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
        return Session(
            [sys.executable, "-m", "tests.cli.driver", json.dumps(behaviour), "run", "task.yaml", *options],
            tmp_path,
            {**keep, **base, "ACR_TASK_DATA": str(tmp_path / "data"), **env},
            columns,
            lines,
        )

    return begin


def test_the_tree_shows_what_runs_and_is_gone_at_the_end(terminal: Open) -> None:
    session = terminal({"build": {"stdout": "compiling\n", "seconds": 0.5}})
    session.read_until(lambda raw: b"waiting" in raw)
    live = session.screen()
    assert any("build" in row and "○" not in row for row in live)
    assert any("waits for build" in row for row in live)
    assert session.finish() == 0
    rows = session.screen()
    assert rows[0] == "build │ compiling"
    assert not any("waits for" in row for row in rows)
    assert any("build" in row and "succeeded" in row for row in rows)
    assert "succeeded in" in rows[-1]


def test_the_cursor_is_given_back(terminal: Open) -> None:
    session = terminal({})
    session.finish()
    assert session.raw.count(b"\x1b[?25l") == 1
    assert session.raw.rfind(b"\x1b[?25h") > session.raw.rfind(b"\x1b[?25l")


def test_no_color_means_no_colour_but_still_a_live_view(terminal: Open) -> None:
    for session in (terminal({}, NO_COLOR="1"), terminal({}, "--no-color")):
        assert session.finish() == 0
        assert b"\x1b[?25l" in session.raw
        assert b"\x1b[3" not in session.raw
        assert b"m\x1b" not in session.raw


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_dumb_terminal_gets_plain_lines(terminal: Open, env: dict[str, str]) -> None:
    session = terminal({"build": {"stdout": "compiling\n"}}, **env)
    assert session.finish() == 0
    assert b"\x1b" not in session.raw
    assert b"build | compiling" in session.raw


def test_a_tiny_terminal_is_enough(terminal: Open) -> None:
    session = terminal({"build": {"stdout": "x" * 300 + "\n", "seconds": 0.3}}, columns=12, lines=4)
    assert session.finish() == 0


def test_a_failure_ends_with_what_to_know_about_it(terminal: Open) -> None:
    session = terminal({"build": {"stdout": "cc1: error\n", "exits": [2]}})
    assert session.finish() == 1
    rows = session.screen()
    assert "step 'build' failed: exit code 2" in rows
    assert "  | cc1: error" in rows
    assert "failed after" in rows[-1]


def test_ctrl_c_on_the_terminal_stops_the_run(terminal: Open) -> None:
    session = terminal({"build": {"stdout": "ready\n", "seconds": 60}})
    session.read_until(lambda raw: b"ready" in raw and b"running" in raw)
    os.killpg(session.process.pid, signal.SIGINT)
    assert session.finish() == 130
    assert "was canceled" in session.screen()[-1]
    assert session.raw.rfind(b"\x1b[?25h") > session.raw.rfind(b"\x1b[?25l")


def test_ctrl_c_twice_leaves_a_usable_terminal(terminal: Open) -> None:
    session = terminal({"build": {"stdout": "ready\n", "seconds": 60}, "cleanup": 60})
    session.read_until(lambda raw: b"ready" in raw and b"running" in raw)
    os.killpg(session.process.pid, signal.SIGINT)
    session.read_until(lambda raw: b"Ctrl-C again" in raw)
    os.killpg(session.process.pid, signal.SIGINT)
    assert session.finish() == 130
    assert session.raw.rfind(b"\x1b[?25h") > session.raw.rfind(b"\x1b[?25l")
