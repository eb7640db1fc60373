"""What a run says is on the worker's disk before it is sent, survives the worker, and is never said twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from taskengine.ambient import Ambient
from taskengine.errors import RunnerError
from taskengine.runs.event import Notice, StepStarted
from taskengine.runs.feed import FrameKind, frames
from taskengine.worker.spool import Lease, Spool, left_behind

AT = datetime(2026, 11, 23, tzinfo=UTC)
LEASE = Lease(run="ca1", attempt=1, epoch=4)


def a_spool(folder: Path) -> Spool:
    return Spool(folder, LEASE, Ambient.fixed(AT))


def output(spool: Spool) -> bytes:
    return b"".join(f.payload for _, f in frames(spool.read(0, 1 << 20)) if f.kind is FrameKind.LOG)


def test_events_and_output_are_kept_in_one_order(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "s")
    spool(Notice(at=AT, message="hello"))
    spool.write("build", 2, b"out")
    kinds = [frame.kind for _, frame in frames(spool.read(0, 1 << 20))]
    assert kinds == [FrameKind.EVENT, FrameKind.LOG]
    spool.close()


def test_a_later_life_finds_the_run_and_what_it_had_said(tmp_path: Path) -> None:
    first = a_spool(tmp_path / "runs" / "ca1-1")
    first(StepStarted(at=AT, step="a", attempt=1))
    first.close()
    ((folder, lease),) = left_behind(tmp_path / "runs")
    assert lease == LEASE
    again = Spool(folder, LEASE, Ambient.fixed(AT))
    assert list(again.events()) == [StepStarted(at=AT, step="a", attempt=1)]
    again.close()


def test_a_folder_that_names_no_run_is_told_of_as_such(tmp_path: Path) -> None:
    (tmp_path / "ca9-1").mkdir()
    assert list(left_behind(tmp_path)) == [(tmp_path / "ca9-1", None)]
    assert list(left_behind(tmp_path / "nowhere")) == []


def test_a_frame_that_was_cut_off_by_the_end_is_cut_off_the_file_too(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "s")
    spool.write("a", 1, b"whole")
    whole = spool.size
    spool.write("a", 1, b"half")
    spool.close()
    feed = tmp_path / "s" / "feed"
    feed.write_bytes(feed.read_bytes()[:-2])
    again = a_spool(tmp_path / "s")
    assert again.size == whole
    again.write("a", 1, b"!")
    assert output(again) == b"whole!"
    again.close()


def test_a_container_that_is_adopted_says_only_what_was_not_said(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "s")
    spool(StepStarted(at=AT, step="a", attempt=1))
    spool.write("a", 1, b"old attempt ")
    spool(StepStarted(at=AT, step="a", attempt=2))
    spool.write("a", 1, b"one ")
    spool.write("a", 2, b"err ")
    spool.close()
    again = a_spool(tmp_path / "s")
    again.skip_what_was_said()
    before = again.size
    for piece in (b"on", b"e t", b"wo"):
        again.write("a", 1, piece)
    again.write("a", 2, b"err more")
    said = [(f.stream, f.payload) for _, f in frames(again.read(before, 1 << 20))]
    assert said == [(1, b"t"), (1, b"wo"), (2, b"more")]
    again.close()


def test_an_attempt_that_is_made_anew_is_heard_from_its_first_byte(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "s")
    spool(StepStarted(at=AT, step="a", attempt=1))
    spool.write("a", 1, b"one")
    spool.skip_what_was_said()
    spool(StepStarted(at=AT, step="a", attempt=2))
    before = spool.size
    spool.write("a", 1, b"one")
    assert [f.payload for _, f in frames(spool.read(before, 1 << 20))] == [b"one"]
    spool.close()


def test_reading_gives_whole_frames_even_when_one_is_larger_than_was_asked_for(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "s")
    spool.write("a", 1, b"x" * 5000)
    spool.write("a", 1, b"y" * 9000)
    first = spool.read(0, 100)
    assert [len(f.payload) for _, f in frames(first)] == [5000]
    assert [len(f.payload) for _, f in frames(spool.read(len(first), 100))] == [9000]
    spool.close()


def test_who_waits_is_woken_by_more_and_by_the_end(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "s")
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(spool.wait(0, 30)))
    waiting.start()
    spool.write("a", 1, b"x")
    waiting.join(10)
    spool.seal()
    assert answers == [True]
    assert spool.wait(spool.size, 30) is False
    spool.close()


def test_a_disk_that_is_full_leaves_no_half_of_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    spool = a_spool(tmp_path / "s")
    spool.write("a", 1, b"before")
    size, real = spool.size, os.write

    def full(file: int, data: bytes) -> int:
        if data:
            real(file, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("taskengine.worker.spool.os.write", full)
    with pytest.raises(RunnerError, match="no space left"):
        spool.write("a", 1, b"after")
    assert (spool.size, (tmp_path / "s" / "feed").stat().st_size) == (size, size)
    spool.close()


def test_files_are_for_their_owner_only_and_go_with_the_spool(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "s")
    assert (tmp_path / "s" / "feed").stat().st_mode & 0o077 == 0
    spool.remove()
    assert not (tmp_path / "s").exists()
