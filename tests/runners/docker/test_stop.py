"""Who is given time to end, and who is not."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runners.docker.cmd import is_deaf, stop_signal


@pytest.fixture
def process(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").write_text("0::/docker/abc123\n")
    (tmp_path / "status").write_text("Name:\tx\nSigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\n")
    (tmp_path / "syscall").write_text("61 0xffffffff 0x0\n")
    return tmp_path


def test_a_program_that_does_not_catch_the_signal_is_deaf(process: Path) -> None:
    assert is_deaf(process, "abc123", signal.SIGTERM)


def test_a_program_that_catches_it_is_not(process: Path) -> None:
    (process / "status").write_text(f"SigBlk:\t0\nSigCgt:\t{1 << (signal.SIGTERM - 1):016x}\n")
    assert not is_deaf(process, "abc123", signal.SIGTERM)


def test_a_program_that_holds_it_back_for_one_of_its_threads_is_not(process: Path) -> None:
    (process / "status").write_text("SigBlk:\tfffffffe7ffbfeff\nSigCgt:\t0000000000000000\n")
    assert not is_deaf(process, "abc123", signal.SIGTERM)


def test_a_program_that_waits_for_signals_is_not(process: Path) -> None:
    (process / "syscall").write_text("128 0x7fff269a6260 0x0\n")  # tini; its SigBlk lacks what it waits for
    assert not is_deaf(process, "abc123", signal.SIGTERM)


def test_a_process_of_another_container_tells_nothing(process: Path) -> None:
    assert not is_deaf(process, "other", signal.SIGTERM)


def test_a_process_that_cannot_be_seen_tells_nothing(tmp_path: Path) -> None:
    assert not is_deaf(tmp_path / "none", "abc123", signal.SIGTERM)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", signal.SIGTERM),
        ("SIGINT", signal.SIGINT),
        ("quit", signal.SIGQUIT),
        ("2", signal.SIGINT),
        ("SIGRTMIN+3", None),
        ("99", None),
        ("nonsense", None),
    ],
)
def test_an_image_names_the_signal_that_stops_it(said: str, meant: signal.Signals | None) -> None:
    assert stop_signal(said) is meant
