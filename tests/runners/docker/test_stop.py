"""Who is given time to end, and who is not."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runners.docker.cmd import is_deaf


@pytest.fixture
def process(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").write_text("0::/docker/abc123\n")
    (tmp_path / "status").write_text("Name:\tx\nSigCgt:\t0000000000000000\n")
    return tmp_path


def test_a_program_that_does_not_catch_the_signal_is_deaf(process: Path) -> None:
    assert is_deaf(process, "abc123", signal.SIGTERM)


def test_a_program_that_catches_it_is_not(process: Path) -> None:
    (process / "status").write_text(f"SigCgt:\t{1 << (signal.SIGTERM - 1):016x}\n")
    assert not is_deaf(process, "abc123", signal.SIGTERM)


def test_a_process_of_another_container_tells_nothing(process: Path) -> None:
    assert not is_deaf(process, "other", signal.SIGTERM)


def test_a_process_that_cannot_be_seen_tells_nothing(tmp_path: Path) -> None:
    assert not is_deaf(tmp_path / "none", "abc123", signal.SIGTERM)
