"""Engines that are reached through ssh or TLS do all that a local one does, and what fails on the way is said."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runners.docker.connect import Endpoint, connect
from runners.docker.ssh import Target
from taskengine import wiring
from taskengine.errors import Unreachable
from taskengine.runner import Cancel
from tests.runners.docker.conftest import NOTHING, Log, RunTask
from tests.support.certificates import Authority
from tests.support.engine import Engine, OwnEngine
from tests.support.sshd import SshServer

ACR_TASK = str(Path(sys.executable).with_name("acr-task"))


@dataclass(frozen=True)
class Way:
    """One way to an engine: what the environment has to say, and how many connections of it are open."""

    engine: Engine
    environ: dict[str, str]
    connections: Callable[[], list[int]] = field(default=list)

    @property
    def host(self) -> str:
        return self.environ["DOCKER_HOST"]


@pytest.fixture(scope="session")
def sshd(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("ssh") / "server", engine.host.removeprefix("unix://"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def ssh(engine: Engine, sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> Way:
    monkeypatch.setenv("PATH", sshd.path)
    return Way(engine, {"DOCKER_HOST": sshd.host, "PATH": sshd.path}, sshd.clients)


@dataclass(frozen=True)
class TlsEngine:
    engine: OwnEngine
    authority: Authority
    client: Path

    @property
    def host(self) -> str:
        return f"tcp://{self.engine.sandbox.address}:2376"


@pytest.fixture
def tls_engine(fresh_engine: Callable[..., OwnEngine], tmp_path: Path) -> TlsEngine:
    engine = fresh_engine(registry=True)
    authority = Authority("engines of the suite")
    address = engine.sandbox.address
    # below the engine's own folder, which a dockerd in another root sees too
    files = authority.issue(engine.folder / "tls", "engine", address=address, for_server=True)
    engine.kill()
    engine.daemon.extra += (
        *("--host", f"tcp://{address}:2376", "--tlsverify", "--tlscacert", str(files / "ca.pem")),
        *("--tlscert", str(files / "cert.pem"), "--tlskey", str(files / "key.pem")),
    )
    engine.start()
    return TlsEngine(engine, authority, authority.issue(tmp_path / "client", "client"))


@pytest.fixture
def tls(tls_engine: TlsEngine) -> Way:
    names = {"DOCKER_HOST": tls_engine.host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tls_engine.client)}
    return Way(tls_engine.engine, names)


@pytest.fixture(params=["ssh", "tls"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "ctx"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox:1\nCOPY big /big\nRUN wc -c < /big; seq 20000\n")
    (folder / "big").write_bytes(os.urandom(3 << 20))
    return folder


def test_a_task_builds_runs_and_pushes(way: Way, run_task: RunTask, context: Path) -> None:
    name = f"{way.engine.registry}/far/built:1"
    done = run_task(
        f"""
steps:
  - {{id: file, cmd: busybox:1 sh -c 'echo made > made; wc -c < big'}}
  - {{id: built, build: -t {name} ., when: ['-']}}
  - {{id: again, build: -t {name} --no-cache ., when: [file]}}
  - {{id: seen, cmd: '{name} sh -c "wc -c < /big; echo wrong >&2"', when: [built, again]}}
  - {{id: pushed, push: ['{name}'], when: [seen]}}
""",
        context=context, on=way.engine, host=way.host, environ=way.environ,
    )  # fmt: skip
    assert done.status == "Succeeded", done.record
    assert done.text("file") == f"{3 << 20}\n"
    assert sorted(done.text("seen").split()) == [str(3 << 20), "wrong"]
    assert "20000" in done.text("built").split()  # from the author's folder
    assert "20000" in done.text("again").split()  # from the workspace
    assert done.step("pushed").images[0].digest.startswith("sha256:")
    assert done.labels_left == NOTHING


def test_output_comes_while_it_is_printed_and_a_cancel_ends_the_run(way: Way, run_task: RunTask) -> None:
    cancel, log, ends = Cancel(), Log(), list[float]()

    def stop() -> None:
        log.wait_for("a", b"up")
        ends.append(time.monotonic())
        cancel.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    task = "steps:\n  - {id: a, cmd: busybox:1 sh -c 'echo up; sleep 1000'}\n"
    done = run_task(task, cancel=cancel, log=log, on=way.engine, host=way.host, environ=way.environ)
    stopper.join(60)
    assert done.status == "Canceled"
    assert time.monotonic() - ends[0] < 20
    assert done.labels_left == NOTHING


def test_every_byte_of_output_arrives(way: Way, run_task: RunTask) -> None:
    size = 20_000_000
    task = f"steps:\n  - {{id: a, cmd: busybox:1 sh -c 'yes abcdefghi | head -c {size}'}}\n"
    done = run_task(task, on=way.engine, host=way.host, environ=way.environ)
    assert done.log.output["a"] == b"abcdefghi\n" * (size // 10)


def test_a_failing_build_tells_its_line(way: Way, run_task: RunTask, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:1\nRUN echo oops; exit 9\n")
    done = run_task("steps: [{id: b, build: .}]", context=context, on=way.engine, host=way.host, environ=way.environ)
    assert (done.status, done.step("b").exit_code) == ("Failed", 9)
    assert "oops" in done.text("b")


def test_many_steps_at_once_do_not_overrun_the_ssh_server(ssh: Way, run_task: RunTask) -> None:
    steps = "".join(f"  - {{id: s{i}, cmd: busybox:1 echo {i}, when: ['-']}}\n" for i in range(16))
    done = run_task("steps:\n" + steps, on=ssh.engine, host=ssh.host, environ=ssh.environ)
    assert done.status == "Succeeded", done.record
    assert [done.text(f"s{i}") for i in range(16)] == [f"{i}\n" for i in range(16)]


def test_a_closed_connection_leaves_no_ssh_behind(ssh: Way) -> None:
    before = set(ssh.connections())
    api = connect(Endpoint(host=ssh.host))
    events = api.events(decode=True)
    api.info()
    assert len(set(ssh.connections()) - before) == 2  # the stream of events keeps one
    api.close()
    assert set(ssh.connections()) <= before
    assert list(events) == []


def acr(way: Way, folder: Path, *args: str) -> subprocess.Popen[str]:
    env = {**way.engine.env, **way.environ, "ACR_TASK_DATA": str(folder / "data")}
    return subprocess.Popen(
        [ACR_TASK, *args], env=env, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_the_command_ends_and_takes_its_connections_with_it(way: Way, tmp_path: Path) -> None:
    before = set(way.connections())
    process = acr(way, tmp_path, "run", "--cmd", "busybox:1 echo hello", "/dev/null")
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert out.endswith("| hello\n")
    assert set(way.connections()) <= before


def test_ctrl_c_stops_the_container_over_a_connection_of_its_own(way: Way, tmp_path: Path) -> None:
    objects, connections = way.engine.objects(), set(way.connections())
    process = acr(way, tmp_path, "run", "--cmd", "busybox:1 sh -c 'echo up; sleep 1000'", "/dev/null")
    assert process.stdout is not None
    assert process.stdout.readline().endswith("up\n")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert way.engine.objects() == objects
    assert set(way.connections()) <= connections


# what goes wrong on the way


def refusal(environ: dict[str, str]) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        wiring.engine(wiring.read_settings({**environ, "DOCKER_CONFIG": "/nowhere"}))
    wiring._connection.cache_clear()
    assert caught.value.hint
    return caught.value


def test_a_key_that_may_not_log_in_is_said_in_the_servers_words(ssh: Way, sshd: SshServer) -> None:
    before = set(ssh.connections())
    sshd.use(key="stranger")
    try:
        error = refusal(ssh.environ)
    finally:
        sshd.use(key="user")
    assert "Permission denied (publickey)" in error.message
    assert "ssh-agent" in (error.hint or "")
    assert set(ssh.connections()) <= before


def test_an_unknown_host_key_is_refused(ssh: Way, sshd: SshServer) -> None:
    known = sshd.folder / "known_hosts"
    text = known.read_text()
    known.write_text("")
    try:
        assert "Host key verification failed" in refusal(ssh.environ).message
    finally:
        known.write_text(text)


def test_a_host_that_is_not_there_is_said(ssh: Way) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = refusal({**ssh.environ, "DOCKER_HOST": f"ssh://localhost:{taken.getsockname()[1]}"})
    assert "Connection refused" in error.message


def test_an_ssh_host_without_an_engine_is_said(ssh: Way) -> None:
    error = refusal({**ssh.environ, "DOCKER_HOST": f"{ssh.host}/no/such.sock"})
    assert "/no/such.sock" in error.message


def test_the_engines_socket_may_be_named_behind_the_host(ssh: Way) -> None:
    api = connect(Endpoint(host=ssh.host + ssh.engine.host.removeprefix("unix://")))
    try:
        assert api.version()["ApiVersion"]
    finally:
        api.close()


@pytest.mark.parametrize(
    "url", ["ssh://", "ssh://-oProxyCommand=x", "ssh://me:secret@far", "ssh://-l@far", "ssh://a:b"]
)
def test_an_address_that_ssh_could_take_for_something_else_is_refused(url: str) -> None:
    with pytest.raises(Unreachable) as caught:
        Target.parse(url)
    assert "secret" not in str(caught.value)


def test_an_ssh_address_becomes_the_command_that_docker_runs() -> None:
    command = Target.parse("ssh://me@[::1]:2222/run/my docker.sock").command()
    assert command[:5] == ["ssh", "-l", "me", "-p", "2222"]
    assert command[-3:] == ["--", "::1", "docker --host 'unix:///run/my docker.sock' system dial-stdio"]


def test_tls_wants_our_certificate_and_an_authority_that_we_trust(
    tls: Way, tls_engine: TlsEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Authority("somebody else").issue(tmp_path / "stranger", "client")
    anybody = tls_engine.authority.issue(tmp_path / "anybody", "client")
    for name in ("cert.pem", "key.pem"):
        (anybody / name).unlink()
    mixed = tls_engine.authority.issue(tmp_path / "mixed", "client")
    for name in ("cert.pem", "key.pem"):
        (mixed / name).write_bytes((stranger / name).read_bytes())
    # an engine says why it ends the connection, but a client may be writing then and not hear it
    unwanted = "does not take our certificate|closed the connection"
    for folder, why in ((stranger, "not from an authority"), (anybody, unwanted), (mixed, unwanted)):
        error = refusal({**tls.environ, "DOCKER_CERT_PATH": str(folder)})
        assert re.search(why, error.message), error.message
        assert str(folder) in (error.hint or "")
    plain = {"DOCKER_HOST": tls.host}
    assert "it wants TLS" in refusal(plain).message
    # what a machine's administrator set for the web says nothing about engines
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert wiring.engine(wiring.read_settings(tls.environ)).version()["ApiVersion"]
    wiring._connection.cache_clear()
