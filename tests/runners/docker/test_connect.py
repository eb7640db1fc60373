"""Which engine is spoken to, and what is said when there is none."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runners.docker.connect import Endpoint, connect, find_endpoint
from taskengine.errors import Unreachable
from tests.support.engine import Engine


def config(folder: Path, name: str, host: str, *, current: bool = True, skip_tls: bool = False) -> dict[str, str]:
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / digest
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_tls}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))
    (folder / "config.json").write_text(json.dumps({"currentContext": name} if current else {}))
    return {"DOCKER_CONFIG": str(folder)}


def test_docker_host_comes_first(tmp_path: Path) -> None:
    environ = config(tmp_path, "far", "tcp://far:2376") | {"DOCKER_HOST": "unix:///here.sock"}
    assert find_endpoint(environ) == Endpoint(host="unix:///here.sock", tls_verify=False)


def test_the_current_context_is_used(tmp_path: Path) -> None:
    found = find_endpoint(config(tmp_path, "far", "ssh://me@far"))
    assert (found.host, found.context) == ("ssh://me@far", "far")


def test_docker_context_overrides_the_current_one(tmp_path: Path) -> None:
    environ = config(tmp_path, "far", "tcp://far:2375", current=False)
    assert find_endpoint({**environ, "DOCKER_CONTEXT": "far"}).host == "tcp://far:2375"


@pytest.mark.parametrize("environ", [{}, {"DOCKER_CONTEXT": "default"}])
def test_otherwise_it_is_the_default_socket(tmp_path: Path, environ: dict[str, str]) -> None:
    assert find_endpoint({"DOCKER_CONFIG": str(tmp_path), **environ}).host == "unix:///var/run/docker.sock"


def test_an_unknown_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="'nowhere'"):
        find_endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "nowhere"})


def test_tls_files_come_from_docker_cert_path(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://far:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    assert find_endpoint(environ) == Endpoint(host="tcp://far:2376", tls_dir=str(tmp_path), tls_verify=True)


def test_a_local_socket_is_handed_to_steps_as_it_is_and_a_far_ones_is_the_usual() -> None:
    assert Endpoint(host="unix:///run/user/1000/docker.sock").socket_path == "/run/user/1000/docker.sock"
    assert Endpoint(host="tcp://far:2375").socket_path == "/var/run/docker.sock"


@pytest.mark.parametrize("host", ["unix:///no/such.sock", "tcp://127.0.0.1:9", "nonsense://x"])
def test_an_engine_that_does_not_answer_is_said_with_a_way_on(host: str) -> None:
    with pytest.raises(Unreachable) as caught:
        connect(Endpoint(host=host))
    assert host in caught.value.message
    assert caught.value.hint
    assert "Traceback" not in caught.value.message
    assert "HTTPConnectionPool" not in caught.value.message


def test_paramiko_is_never_loaded(engine: Engine) -> None:
    script = (
        "import sys; from runners.docker.connect import connect, Endpoint\n"
        f"connect(Endpoint(host={engine.host!r})).version(); assert 'paramiko' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ})
