"""The units of packaging/systemd: sound, and what they start does under a real systemd what they promise."""

from __future__ import annotations

import grp
import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import BUSYBOX, Engine
from tests.support.registry import free_port
from tests.support.systemd import Systemd, SystemdUnavailable, program_in

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
TOKEN = "acrt_admin-token-of-the-unit-0123456789"


class Host:
    """A machine with both units installed as docs/service.md says."""

    def __init__(self, folder: Path, engine: Engine | None) -> None:
        self.port = free_port()
        self.systemd = Systemd(folder)
        if engine is not None:
            self.systemd.bind({Path(engine.host.removeprefix("unix://")): "/run/docker.sock"})
        self.systemd.bind(program_in(self.systemd.opt))
        for unit in UNITS.glob("*.service"):
            shutil.copy(unit, self.systemd.units)
            self.set_up(unit.stem, "RestartSec=100ms", f"StandardError=append:/var/lib/{unit.stem}.log")
        self._group(engine)
        self.credential("acr-task.admin-token", TOKEN)
        options = f"--port {self.port}" + ("" if engine else " --no-worker")
        self.configure("serve.env", f"ACR_TASK_SERVE_OPTIONS={options}\nDOCKER_HOST=unix:///run/docker.sock\n")

    def set_up(self, unit: str, *lines: str) -> None:
        """As a drop-in, before the unit is started for the first time."""
        drop_in = self.systemd.units / f"{unit}.service.d"
        drop_in.mkdir(exist_ok=True)
        (drop_in / f"{len(list(drop_in.iterdir()))}.conf").write_text("\n".join(("[Service]", *lines, "")))

    def _group(self, engine: Engine | None) -> None:
        """Who may write to the socket; a machine without Docker has no such group."""
        text = Path("/etc/group").read_text()
        try:
            number = grp.getgrnam("docker").gr_gid
        except KeyError:
            number = 64999
            (self.systemd.etc / "group").write_text(f"{text}docker:x:{number}:\n")
        if engine is not None:
            socket = engine.host.removeprefix("unix://")
            os.chown(socket, 0, number)
            Path(socket).chmod(0o660)

    def credential(self, name: str, value: str) -> None:
        store = self.systemd.etc / "credstore"
        store.mkdir(mode=0o700, exist_ok=True)
        (store / name).write_text(f"{value}\n")

    def configure(self, name: str, text: str) -> None:
        (self.systemd.etc / "acr-task").mkdir(exist_ok=True)
        (self.systemd.etc / "acr-task" / name).write_text(text)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, None if body is None else json.dumps(body).encode(), timeout=90) as answer:
            said = answer.read()
        return json.loads(said) if answer.headers["Content-Type"].startswith("application/json") else said

    def log(self, unit: str = "acr-task") -> str:
        return (self.systemd.lib / f"{unit}.log").read_text()


def started(folder: Path, engine: Engine | None = None) -> Iterator[Host]:
    try:
        host = Host(folder, engine)
        with host.systemd:
            yield host
    except SystemdUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    yield from started(tmp_path / "host")


@pytest.fixture
def host_with_engine(tmp_path: Path, engine: Engine) -> Iterator[Host]:
    yield from started(tmp_path / "host", engine)


def test_the_units_are_sound_and_shut_in(host: Host) -> None:
    units = [f"/run/acr-task-units/{unit.name}" for unit in UNITS.glob("*.service")]
    assert len(units) == 2
    done = host.systemd.run("systemd-analyze", "verify", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for unit in units:
        done = host.systemd.run("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
        assert done.returncode == 0, done.stdout


def test_the_service_starts_serves_and_stops_by_its_unit(host: Host) -> None:
    host.credential("acr-task.secret-key", "x" * 43 + "=")
    begun = host.systemd.run("systemctl", "start", "acr-task")
    assert begun.returncode == 0, f"{begun.stderr}{host.systemd.said}{host.log()}"
    assert host.systemd.show("acr-task", "StatusText") == f"serving http://127.0.0.1:{host.port}"
    assert host.call("GET", "/readyz")["status"] == "ok"
    assert host.call("GET", "/api/v1/version")["role"] == "admin"
    facts = Path(f"/proc/{host.systemd.pid('acr-task')}/status").read_text()
    assert "NoNewPrivs:\t1" in facts
    assert "CapEff:\t0000000000000000" in facts
    assert "Uid:\t0" not in facts
    state = host.systemd.lib / "private" / "acr-task"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {"service.db"} <= {path.name for path in state.iterdir()}
    assert not (state / "secret.key").exists(), "the key is a credential"
    ended = host.systemd.run("systemctl", "stop", "acr-task")
    assert ended.returncode == 0
    assert host.systemd.show("acr-task", "Result") == "success"
    assert host.systemd.show("acr-task", "ExecMainStatus") == "0"
    assert "Traceback" not in host.log()
    assert TOKEN not in host.log()


def test_a_service_that_dies_or_hangs_is_started_again(host: Host) -> None:
    host.set_up("acr-task", "WatchdogSec=5")
    host.systemd.run("systemctl", "start", "acr-task")
    os.kill(host.systemd.pid("acr-task"), signal.SIGKILL)
    host.systemd.await_property("acr-task", "NRestarts", "1")
    host.systemd.await_property("acr-task", "ActiveState", "active")
    os.kill(host.systemd.pid("acr-task"), signal.SIGSTOP)
    host.systemd.await_property("acr-task", "NRestarts", "2")
    host.systemd.await_property("acr-task", "ActiveState", "active")
    assert host.call("GET", "/readyz")["status"] == "ok"


def test_a_service_that_is_started_wrongly_is_not_tried_again(host: Host) -> None:
    host.configure("serve.env", "ACR_TASK_SERVE_OPTIONS=--tls-cert nowhere.pem --tls-key nowhere.pem\n")
    assert host.systemd.run("systemctl", "start", "acr-task").returncode != 0
    assert "nowhere.pem is no file" in host.log()
    assert host.systemd.show("acr-task", "ActiveState") == "failed"
    assert host.systemd.show("acr-task", "NRestarts") == "0"


def test_a_run_goes_through_both_units(host_with_engine: Host) -> None:
    host = host_with_engine
    host.configure("serve.env", f"ACR_TASK_SERVE_OPTIONS=--port {host.port} --no-worker\n")
    begun = host.systemd.run("systemctl", "start", "acr-task")
    assert begun.returncode == 0, host.log()
    made = host.call("POST", "/api/v1/tokens", {"name": "builder", "role": "worker"})
    host.credential("acr-task.token", made["token"])
    host.configure(
        "worker.env", f"ACR_TASK_SERVER=http://127.0.0.1:{host.port}\nACR_TASK_WORKER_OPTIONS=--name builder\n"
    )
    begun = host.systemd.run("systemctl", "start", "acr-task-worker")
    assert begun.returncode == 0, host.log("acr-task-worker")
    text = f"steps:\n  - cmd: {BUSYBOX} echo hello from the unit\n"
    run = host.call("POST", "/api/v1/runs", {"text": text})["runId"]
    assert b"event: end" in host.call("GET", f"/api/v1/runs/{run}/logs?follow=true")
    assert host.call("GET", f"/api/v1/runs/{run}")["status"] == "Succeeded", host.log("acr-task-worker")
    assert host.systemd.show("acr-task-worker", "StatusText").endswith("Succeeded")
    for unit in ("acr-task-worker", "acr-task"):
        assert host.systemd.run("systemctl", "stop", unit).returncode == 0
        assert host.systemd.show(unit, "Result") == "success"
    assert made["token"] not in host.log("acr-task-worker")
