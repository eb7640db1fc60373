"""The web server's thread: its end is noticed, whoever caused it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

from fastapi import FastAPI

from taskengine.service.web import Web, listen

#: `acr-task serve` whose web server breaks at the first request for /break
BREAKING = """
import uvicorn
from taskengine.cli.entry import main
tick = uvicorn.Server.on_tick
async def on_tick(self, counter):
    if self.server_state.total_requests:
        raise RuntimeError("no more files")
    return await tick(self, counter)
uvicorn.Server.on_tick = on_tick
raise SystemExit(main())
"""


def test_it_answers_while_it_is_entered() -> None:
    with listen("127.0.0.1", 0) as sock:
        web = Web(FastAPI())
        web.add(sock)
        with web:
            assert web.answers()
            assert web.died == ""
        assert not web.answers(0.1)
        assert web.died == ""


def test_its_death_is_told() -> None:
    told = threading.Event()
    with listen("127.0.0.1", 0) as sock:
        web = Web(FastAPI(), on_death=told.set)
        web.add(sock)
        with web:
            web._servers[0][0].should_exit = True  # as a fault within it would
            assert told.wait(20)
            assert web.died == "it ended"
            assert not web.answers(0.1)


def test_an_end_in_order_is_no_death() -> None:
    told = threading.Event()
    with listen("127.0.0.1", 0) as sock:
        web = Web(FastAPI(), on_death=told.set)
        web.add(sock)
        with web:
            pass
    assert not told.is_set()


def test_a_service_whose_web_server_breaks_ends_and_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BREAKING, "serve", "--no-worker", "--port", "0", "--data", str(tmp_path)]
    env = {**os.environ, "HOME": str(tmp_path), "ACR_TASK_ADMIN_TOKEN": "an-admin-token"}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line, "it ended before it served"
                found = re.search(r"serving (\S+) ", line)
            with contextlib.suppress(OSError):  # it may break before it has answered
                urllib.request.urlopen(f"{found[1]}/healthz", timeout=20)
            said = process.stderr.read()
            assert process.wait(60) == 1
        finally:
            process.send_signal(signal.SIGKILL)
    assert "error: the service ended, for its web server broke: no more files" in said
    assert "hint: start it again" in said
    assert "Traceback" not in said
