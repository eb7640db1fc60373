"""What a supervisor is told: the datagrams that systemd understands, and nothing where nobody listens."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskengine.supervisor import Supervisor


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.bind(str(tmp_path / "notify"))
        yield sock


def facts(sock: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in sock.recv(4096).decode().splitlines())


def environ(sock: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": sock.getsockname(), **more}


def test_a_start_and_an_end_are_told(listening: socket.socket) -> None:
    supervisor = Supervisor.of(environ(listening))
    supervisor.ready("serving\nhere")
    assert facts(listening) == {"READY": "1", "STATUS": "serving here"}
    supervisor.status("x" * 1000)
    assert facts(listening) == {"STATUS": "x" * 200}
    supervisor.stopping(90.5)
    assert facts(listening) == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "90500000", "STATUS": "stopping"}


def test_an_abstract_socket_is_told(tmp_path: Path) -> None:
    name = f"acr-task-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.bind(f"\0{name}")
        Supervisor.of({"NOTIFY_SOCKET": f"@{name}"}).ready("here")
        assert facts(sock)["READY"] == "1"


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234", "/not/there", "/" + "x" * 500])
def test_a_supervisor_that_is_none_disturbs_nobody(address: str) -> None:
    Supervisor.of({"NOTIFY_SOCKET": address}).ready("here")


def test_signs_of_life_are_given_while_there_is_life(listening: socket.socket) -> None:
    supervisor = Supervisor.of(environ(listening, WATCHDOG_USEC="20000", WATCHDOG_PID=str(os.getpid())))
    assert supervisor.watchdog == 0.02
    with supervisor.watching(lambda: True):
        assert [facts(listening) for _ in range(3)] == [{"WATCHDOG": "1"}] * 3


def test_no_sign_of_life_comes_from_what_hangs(listening: socket.socket) -> None:
    asked = threading.Semaphore(0)

    def is_alive() -> bool:
        asked.release()
        return False

    with Supervisor.of(environ(listening, WATCHDOG_USEC="2000")).watching(is_alive):
        for _ in range(3):
            assert asked.acquire(timeout=20)
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.recv(100)


@pytest.mark.parametrize("about", [{}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
def test_no_signs_of_life_where_none_are_waited_for(listening: socket.socket, about: dict[str, str]) -> None:
    supervisor = Supervisor.of(environ(listening, **about))
    assert supervisor.watchdog is None
    with supervisor.watching(lambda: True):
        assert "watchdog" not in {thread.name for thread in threading.enumerate()}
