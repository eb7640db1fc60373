"""Logs in files: every byte, per step and in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskengine.logs.store import FileLog, Piece, file_name, read


def test_each_step_has_its_raw_bytes_in_a_file_of_its_own(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    log.write("a", 1, b"one\xff")
    log.write("b", 1, b"two")
    log.write("a", 2, b"\nthree")
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"one\xff\nthree"
    assert (tmp_path / "b.log").read_bytes() == b"two"


def test_the_order_can_be_read_back_byte_for_byte_also_after_a_step_ended_and_went_on(tmp_path: Path) -> None:
    log = FileLog(tmp_path, keep_order=True)
    pieces = [Piece("a", 1, b"x"), Piece("b", 2, b"\x00"), Piece("a", 2, b"y")]
    for piece in pieces:
        log.write(*piece)
        log.end(piece.step)
    log.close()
    assert list(read(tmp_path)) == pieces


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "logs")
    log.write("a", 1, b"x")
    log.close()
    assert (tmp_path / "logs").stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "logs").iterdir())


@pytest.mark.parametrize("step", ["..", "../../etc/passwd", "a/b", "x" * 500, "\x00"])
def test_no_step_id_leaves_the_folder(step: str, tmp_path: Path) -> None:
    log = FileLog(tmp_path, keep_order=True)
    log.write(step, 1, b"x")
    log.close()
    assert (tmp_path / file_name(step)).resolve().parent == tmp_path.resolve()
    assert list(read(tmp_path)) == [Piece(step, 1, b"x")]


def test_an_earlier_runs_files_are_replaced(tmp_path: Path) -> None:
    for text in (b"long ago", b"now"):
        log = FileLog(tmp_path, keep_order=True)
        log.write("a", 1, text)
        log.close()
    assert list(read(tmp_path)) == [Piece("a", 1, b"now")]
    assert (tmp_path / "a.log").read_bytes() == b"now"


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_a_full_disk_stops_the_logging_and_not_the_run(size: int, tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to("/dev/full")
    log = FileLog(tmp_path)
    log.write("a", 1, b"x" * size)
    log.write("b", 1, b"y")
    log.end("a")
    log.close()
    assert log.failure == f"{tmp_path / 'a.log'}: no space left on device"


def test_without_being_asked_only_the_steps_files_are_there(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    log.write("a", 1, b"x")
    log.close()
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]
