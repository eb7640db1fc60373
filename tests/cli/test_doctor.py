"""What the doctor finds, and what it says to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskengine.cli.doctor import credential_helpers, data_folder, engine_findings, git, lines, registry_answers
from taskengine.errors import Unreachable
from tests.cli.conftest import Outcome, Wiring

VERSION: dict[str, Any] = {
    "Version": "26.1.5",
    "ApiVersion": "1.45",
    "Os": "linux",
    "Arch": "amd64",
    "Components": [{"Name": "Engine"}],
}


def states(**changes: Any) -> dict[str, str]:
    return {f.check: f.state for f in engine_findings({**VERSION, **changes}, "unix:///x")}


def test_a_modern_engine_lacks_nothing() -> None:
    assert set(states().values()) == {"ok"}


def test_an_engine_that_is_too_old_is_a_failure() -> None:
    assert states(ApiVersion="1.39")["engine API"] == "fail"


def test_podman_is_told_to_have_no_buildkit() -> None:
    assert states(Components=[{"Name": "Podman Engine"}])["BuildKit"] == "warn"


@pytest.fixture
def registry() -> Iterator[Callable[[int], str]]:
    servers: list[HTTPServer] = []

    def serve(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Silent."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (401, "ok"), (404, "fail"), (500, "fail")])
def test_a_registry_answers_or_asks_for_a_login(registry: Callable[[int], str], status: int, state: str) -> None:
    assert registry_answers(registry(status)).state == state


def test_a_registry_that_is_not_there_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = registry_answers(f"127.0.0.1:{taken.getsockname()[1]}")
    assert found.state == "fail"
    assert found.mend


@pytest.mark.parametrize("host", ["registry.invalid", "a b", "host:notaport", ""])
def test_a_name_that_is_no_host_is_a_failure_and_no_crash(host: str) -> None:
    assert registry_answers(host).state == "fail"


def test_a_credential_helper_that_is_not_installed_is_named(tmp_path: Path) -> None:
    config = {"credsStore": "no-such-one", "credHelpers": {"r.io": "nor-this", "q.io": 7}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert [f.text.split()[0] for f in credential_helpers(tmp_path)] == [
        "docker-credential-no-such-one",
        "docker-credential-nor-this",
    ]


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"credHelpers": 3}'])
def test_a_strange_docker_config_is_no_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert all(f.state == "warn" for f in credential_helpers(tmp_path))


def test_git_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert git().state == "ok"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git().state == "warn"


def test_the_data_folder_must_be_writable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert data_folder(tmp_path).state == "ok"
    assert data_folder(tmp_path / "not" / "yet").state == "ok"
    assert data_folder(tmp_path / "file" / "below").state == "fail"


def test_a_finding_says_how_to_mend_it() -> None:
    found = next(f for f in engine_findings({**VERSION, "ApiVersion": "1.20"}, "x") if f.state == "fail")
    assert lines(found)[0].startswith("FAIL  engine API: ")
    assert lines(found)[1].startswith("      use an engine")


def test_without_an_engine_the_exit_code_is_3(
    cli: Callable[..., Outcome], wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(settings: object) -> object:
        raise Unreachable("no Docker Engine answers at unix:///x", hint="start it; `acr-task doctor` says more")

    monkeypatch.setattr("taskengine.wiring.engine", unreachable)
    outcome = cli("doctor")
    assert outcome.code == 3
    assert "FAIL  engine: no Docker Engine answers at unix:///x\n      start it\n" in outcome.out
    data = json.loads(cli("doctor", "-o", "json").out)
    assert data["ok"] is False
    assert yaml.safe_load(cli("doctor", "-o", "yaml").out) == data
    rows = [line.split("\t") for line in cli("doctor", "-o", "tsv").out.splitlines()]
    assert rows == [[c["state"], c["check"], c["text"], c["mend"]] for c in data["checks"]]
