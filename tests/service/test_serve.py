"""`acr-task serve` as a process: it starts, shows one token, carries runs out, and ends in order."""

from __future__ import annotations

import base64
import os
import signal
import socket
import ssl
import time
import urllib.request
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.service.process import ADMIN, Process
from tests.support.certificates import Authority
from tests.support.engine import BUSYBOX, Engine
from tests.support.registry import free_port


def test_it_starts_and_ends_by_a_signal(tmp_path: Path) -> None:
    with Process(tmp_path, "--no-worker") as service:
        assert service.call("GET", "/healthz") == (200, {"status": "ok"})
        assert service.call("GET", "/readyz")[0] == 200
        status, who = service.call("GET", "/api/v1/version")
        assert (status, who["role"]) == (200, "admin")
        assert service.stop() == 0
    assert "Traceback" not in service.errors


def test_a_supervisor_is_told_when_it_serves_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.bind(str(tmp_path / "notify"))
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Process(tmp_path / "data", "--no-worker", "--grace", "7", env=env) as service:
            assert sock.recv(4096).decode().splitlines() == ["READY=1", f"STATUS=serving {service.url}"]
            assert service.stop() == 0
        assert sock.recv(4096).decode().startswith("STOPPING=1\nEXTEND_TIMEOUT_USEC=67000000\n")


def test_secrets_of_the_start_may_lie_in_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another-admin-token\n")
    (tmp_path / "key").write_bytes(Fernet.generate_key())
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/data/other.db")
    env = {f"ACR_TASK_{name}_FILE": str(tmp_path / file) for name, file in
           (("ADMIN_TOKEN", "token"), ("SECRET_KEY", "key"), ("DATABASE_URL", "url"))}  # fmt: skip
    with Process(tmp_path / "data", "--no-worker", admin=None, further=env) as service:
        assert service.call("GET", "/api/v1/tokens", token="another-admin-token")[0] == 200
        assert "shown this once" not in service.errors
        assert (tmp_path / "data" / "other.db").exists()
        assert not (tmp_path / "data" / "secret.key").exists()


def test_the_first_admin_token_is_shown_once(tmp_path: Path) -> None:
    with Process(tmp_path, "--no-worker", admin=None) as service:
        token = service.wait_for(r"shown this once: (acrt_\S+)").group(1)
        assert service.call("GET", "/api/v1/tokens", token=token)[0] == 200
    with Process(tmp_path, "--no-worker", admin=None) as service:
        assert "acrt_" not in service.errors
        assert service.call("GET", "/api/v1/tokens", token=token)[0] == 200
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()


def test_a_given_admin_token_is_not_shown(tmp_path: Path) -> None:
    with Process(tmp_path, "--no-worker") as service:
        assert service.call("GET", "/api/v1/tasks")[0] == 200
    assert ADMIN not in service.errors


def test_all_files_are_for_their_owner_only(tmp_path: Path) -> None:
    with Process(tmp_path / "data", "--no-worker"):
        found = list((tmp_path / "data").rglob("*"))
        assert {path.name for path in found} >= {"service.db", "secret.key"}
        assert not [path for path in found if path.stat().st_mode & 0o077]


def test_a_new_key_before_the_old_one_takes_its_place_at_the_next_start(tmp_path: Path) -> None:
    file, new = tmp_path / "secret.key", Fernet.generate_key().decode()
    task = {
        "name": "app",
        "step": {
            "type": "EncodedTask",
            "encodedTaskContent": base64.b64encode(b"steps:\n  - cmd: bash echo {{.Values.a}}\n").decode(),
            "values": [{"name": "a", "value": "s3cret", "isSecret": True}],
        },
    }
    with Process(tmp_path, "--no-worker") as service:
        assert service.call("POST", "/api/v1/tasks", task)[0] == 201
    file.write_text(f"{new}\n{file.read_text()}")
    with Process(tmp_path, "--no-worker") as service:
        service.wait_for("2 secrets are sealed by the first of 2 keys")  # the value and the webhook's
    file.write_text(new)
    with Process(tmp_path, "--no-worker") as service:
        assert service.call("POST", "/api/v1/tasks/app/runs")[0] == 201
        assert "sealed" not in service.errors
    file.write_text(f"{Fernet.generate_key().decode()}\n{Fernet.generate_key().decode()}")
    with Process(tmp_path, "--no-worker") as service:
        service.wait_for("warning: the key of secrets was not rotated")


def test_a_word_of_warning_where_nothing_is_encrypted_and_others_can_listen(tmp_path: Path) -> None:
    with Process(tmp_path, "--no-worker", "--host", "0.0.0.0") as service:
        service.wait_for("warning: tokens and logs travel in clear text")


def test_tls(tmp_path: Path) -> None:
    folder = Authority("us").issue(tmp_path / "tls", "localhost", address="127.0.0.1", for_server=True)
    tls = ("--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"))
    with Process(tmp_path / "data", "--no-worker", *tls) as service:
        assert service.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        with urllib.request.urlopen(f"{service.url}/healthz", context=context) as answer:
            assert answer.status == 200
        assert "warning" not in service.errors


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"), 2, "nowhere.pem is no file"),
        (("--tls-cert", "cert.pem"), 2, "both a certificate"),
        (("--host", "no such host"), 2, "no address"),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path: Path, args: tuple[str, ...], code: int, word: str) -> None:
    with pytest.raises(AssertionError, match=word):
        Process(tmp_path, "--no-worker", *args)


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    port = free_port()
    with (
        Process(tmp_path / "one", "--no-worker", port=port),
        pytest.raises(AssertionError, match=f"port {port} on 127.0.0.1 cannot be used"),
    ):
        Process(tmp_path / "two", "--no-worker", port=port)


def test_wrong_settings_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("retentionDay: 3\n")
    with pytest.raises(AssertionError, match="did you mean 'retentionDays'"):
        Process(tmp_path, "--no-worker")


def test_a_followed_log_ends_with_the_service(tmp_path: Path) -> None:
    with Process(tmp_path, "--no-worker") as service:
        _, run = service.call("POST", "/api/v1/runs", {"text": "steps:\n  - cmd: bash\n"})
        request = urllib.request.Request(
            f"{service.url}/api/v1/runs/{run['runId']}/logs?follow=true", headers={"Authorization": f"Bearer {ADMIN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as stream:
            assert stream.readline().startswith(b": the log of run")
            service.process.send_signal(signal.SIGTERM)
            assert b"event: end" not in stream.read()
        assert service.process.wait(20) == 0


def finished(service: Process, run: str, seconds: float = 120) -> dict[str, object]:
    """The run, when it is over: its log is followed until then."""
    status, log = service.call("GET", f"/api/v1/runs/{run}/logs?follow=true", raw=True)
    assert status == 200
    assert b"event: end" in log
    found: dict[str, object] = service.call("GET", f"/api/v1/runs/{run}")[1]
    return found


def test_a_run_goes_all_the_way(engine: Engine, tmp_path: Path) -> None:
    with Process(tmp_path, env=engine.env) as service:
        text = f"steps:\n  - id: hello\n    cmd: {BUSYBOX} echo hello from the service\n"
        status, run = service.call("POST", "/api/v1/runs", {"text": text})
        assert status == 201, run
        after = finished(service, run["runId"])
        assert after["status"] == "Succeeded", after
        assert service.call("GET", f"/api/v1/runs/{run['runId']}/logs", raw=True)[1] == b"hello from the service\n"
        _, workers = service.call("GET", "/api/v1/workers")
        assert [worker["state"] for worker in workers["value"]] == ["ready"]
        resident = service.resident()
        assert resident < 150 << 20, f"{resident >> 20} MiB after a run"
        assert service.stop() == 0
    assert "Traceback" not in service.errors


def test_behind_tls_the_worker_inside_needs_no_certificate(engine: Engine, tmp_path: Path) -> None:
    folder = Authority("us").issue(tmp_path / "tls", "tasks.example.com", address="192.0.2.1", for_server=True)
    tls = ("--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"))
    with Process(tmp_path / "data", *tls, env=engine.env) as service:
        service.wait_for("worker: ready")
        assert service.stop() == 0


def test_what_runs_at_the_end_of_the_grace_goes_on_with_the_next_start(engine: Engine, tmp_path: Path) -> None:
    text = f"steps:\n  - id: wait\n    cmd: {BUSYBOX} sh -c 'echo begun; sleep 8; echo over'\n"
    with Process(tmp_path, "--grace", "0", env=engine.env) as service:
        run = service.call("POST", "/api/v1/runs", {"text": text})[1]["runId"]
        end = time.monotonic() + 60
        while b"begun" not in service.call("GET", f"/api/v1/runs/{run}/logs", raw=True)[1]:
            assert time.monotonic() < end, service.errors
        assert service.stop() == 0
        service.wait_for("leaving what runs to the next start")
    with Process(tmp_path, env=engine.env) as service:
        after = finished(service, run)
        assert (after["status"], after["attempt"]) == ("Succeeded", 1), after
        assert service.call("GET", f"/api/v1/runs/{run}/logs", raw=True)[1] == b"begun\nover\n"
