"""Feeds on the service's disk: appended exactly, followed, mended at start. SQLite, but for what depends on the kind."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import Conflict, InvalidInput, NotFound, OutOfSpace, Unreachable
from taskengine.runs.feed import event_frame, log_frames
from taskengine.runs.model import RunStatus
from taskengine.service.model import Lease
from taskengine.service.store import feedfile, queue, report, runs
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds, Fenced
from taskengine.service.store.signals import QUEUE, Signals
from taskengine.service.store.uploads import WrongOffset
from tests.service.support import (
    AT,
    enqueue,
    finished,
    later,
    lease,
    output,
    started,
    step_finished,
    step_started,
    worker,
)  # fmt: skip


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def feeds(sqlite: Database, tmp_path: Path, signals: Signals) -> Feeds:
    return Feeds(sqlite, tmp_path / "runs", signals)


@pytest.fixture
def held(sqlite: Database) -> Lease:
    """ca1, in the hands of w1."""
    with sqlite.write() as conn:
        worker(conn)
        enqueue(conn)
        return lease(conn)


@pytest.fixture
def send(feeds: Feeds, held: Lease) -> Callable[..., int]:
    def append(offset: int, data: bytes) -> int:
        return feeds.append("w1", "ca1", held.epoch, offset, data, now=later(1))

    return append


def status(database: Database) -> RunStatus:
    with database.read() as conn:
        return runs.get(conn, "ca1").status


def steps(database: Database) -> dict[str, tuple[str, int]]:
    with database.read() as conn:
        return {step.id: (step.status, step.log_size) for step in runs.steps(conn, "ca1")}


# ---- appending


def test_bytes_go_to_the_very_place_where_the_copy_ends(send: Callable[..., int], feeds: Feeds) -> None:
    first = output("a", "one\n")
    size = send(0, first)
    assert size == len(first)
    for wrong in (0, size - 1, size + 1):
        with pytest.raises(WrongOffset) as told:
            send(wrong, output("a", "two\n"))
        assert told.value.offset == size
    send(size, output("a", "two\n"))
    assert b"".join(feeds.text("ca1", 1)) == b"one\ntwo\n"


def test_only_whole_frames_are_taken(send: Callable[..., int], sqlite: Database, feeds: Feeds) -> None:
    for bad in (
        output("a", "one")[:-1],
        b"\xff" * 40,
        event_frame(AT, {"event": "run.finished"}),
        b"\x01" + b"\0" * 15,
    ):
        with pytest.raises(InvalidInput):
            send(0, bad)
    assert feeds.state("ca1").size == 0
    assert status(sqlite) is RunStatus.STARTED


@pytest.mark.parametrize(
    "event",
    [
        {"event": "run.started"}, {"event": "run.started", "steps": [["a"]]}, {"event": "run.started", "steps": 7},
        {"event": "step.finished", "record": {"id": "a", "status": "odd"}}, {"event": "step.finished", "record": None},
        {"event": "run.finished", "record": {"status": "Running"}}, {"event": "run.finished", "record": []},
        {"event": "image", "image": {"pushed": True, "reference": "a b"}}, {"event": "image", "image": "x"},
        {"event": "run.finished", "record": {"status": "Failed", "steps": [7]}},
        {"event": "run.finished", "record": {"status": "Failed", "duration": float("nan")}},
    ],
)  # fmt: skip
def test_an_event_in_another_form_is_refused_and_nothing_of_it_is_kept(
    event: dict[str, Any], send: Callable[..., int], sqlite: Database, feeds: Feeds
) -> None:
    with pytest.raises(InvalidInput):
        send(0, output("a", "x") + event_frame(AT, event))
    assert feeds.state("ca1").size == 0
    assert steps(sqlite) == {}
    assert send(0, started("ca1", "a")) > 0


def test_events_of_a_kind_that_is_not_known_are_kept_and_mean_nothing(
    send: Callable[..., int], sqlite: Database
) -> None:
    send(0, event_frame(AT, {"event": "run.pondered", "record": 7}) + event_frame(AT, {}))
    assert status(sqlite) is RunStatus.STARTED


def test_text_that_no_database_takes_is_kept_all_the_same(database: Database, tmp_path: Path) -> None:
    feeds = Feeds(database, tmp_path / "runs", Signals())
    with database.write() as conn:
        worker(conn)
        enqueue(conn)
        held = lease(conn)
    frames = (
        started("ca1", "a\0b") + output("a\0b", "x\0") + finished("ca1", "Error", message="\0 @@@@@@", errorExitCode=2)
    )
    feeds.append("w1", "ca1", held.epoch, 0, frames.replace(b"@@@@@@", b"\\ud83d"), now=AT)
    with database.read() as conn:
        assert runs.get(conn, "ca1").message.startswith("\ufffd")
        assert [step.log_size for step in runs.steps(conn, "ca1")] == [2]


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    send: Callable[..., int], feeds: Feeds, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = send(0, started("ca1", "a"))
    real = os.pwrite

    def full(handle: int, data: Any, at: int) -> int:
        real(handle, bytes(data)[:7], at)
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(feedfile.os, "pwrite", full)
    with pytest.raises(OutOfSpace, match="disk is full") as told:
        send(size, output("a", "hello\n"))
    assert told.value.hint
    monkeypatch.undo()
    assert feeds.state("ca1").size == size
    assert list(feeds.text("ca1", 1)) == []
    send(size, output("a", "hello\n"))
    assert list(feeds.text("ca1", 1, "a")) == [b"hello\n"]


def test_a_disk_that_fails_is_unreachable(send: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "runs" / "ca1").write_text("in the way")
    with pytest.raises(Unreachable):
        send(0, output("a", "x"))


def test_a_run_that_was_taken_away_while_the_bytes_were_written_keeps_none_of_them(
    feeds: Feeds, send: Callable[..., int], sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = feedfile.FeedFile.put

    def put(self: feedfile.FeedFile, *args: Any, **more: Any) -> None:
        real(self, *args, **more)
        with sqlite.write() as conn:
            queue.expire(conn, now=later(31))

    monkeypatch.setattr(feedfile.FeedFile, "put", put)
    with pytest.raises(Fenced):
        send(0, finished("ca1"))
    with sqlite.read() as conn:
        run = runs.get(conn, "ca1")
        assert (run.status, run.attempt, len(runs.late(conn, "ca1"))) == (RunStatus.QUEUED, 2, 1)


# ---- what frames mean


def test_an_infrastructure_error_is_tried_again_and_a_failure_is_not(sqlite: Database, feeds: Feeds) -> None:
    ends = {
        "ca1": ({"status": "Error", "message": "the engine is gone"}, RunStatus.QUEUED),
        "ca2": ({"status": "Error", "errorExitCode": 2, "message": "no such step"}, RunStatus.ERROR),
        "ca3": (
            {
                "status": "Failed",
                "failedStep": "a",
                "steps": [{"id": "a", "status": "failed", "reason": "exit code", "message": "exit code 7"}],
            },
            RunStatus.FAILED,
        ),
        "ca4": (
            {
                "status": "Failed",
                "failedStep": "a",
                "steps": [{"id": "a", "status": "failed", "reason": "infrastructure"}],
            },
            RunStatus.QUEUED,
        ),
        "ca5": ({"status": "Timeout"}, RunStatus.TIMEOUT),
    }
    with sqlite.write() as conn:
        worker(conn, capacity=9)
        for _ in ends:
            enqueue(conn)
    for name, (record, expected) in ends.items():
        with sqlite.write() as conn:
            given = lease(conn)
        assert given.run.id == name
        feeds.append("w1", name, given.epoch, 0, started(name, "a") + finished(name, **record), now=AT)
        with sqlite.read() as conn:
            run = runs.get(conn, name)
        assert run.status is expected, name
    with sqlite.read() as conn:
        assert runs.get(conn, "ca3").message == "step a: exit code 7"
        assert runs.get(conn, "ca1").cause[0]["message"] == "the engine is gone"
        assert feeds.state("ca1", 1).size > 0
        assert feeds.state("ca1").size == 0


def test_a_broken_off_run_that_was_canceled_is_not_tried_again(send: Callable[..., int], sqlite: Database) -> None:
    with sqlite.write() as conn:
        queue.cancel(conn, "ca1", "asked", now=AT)
    send(0, finished("ca1", "Error", message="the engine is gone"))
    assert status(sqlite) is RunStatus.CANCELED


def test_only_pushed_images_are_told_and_each_once(send: Callable[..., int], sqlite: Database) -> None:
    pushed = {"reference": "reg.example/app:v1", "digest": "sha256:" + "a" * 64, "pushed": True}
    local = {"reference": "reg.example/other:v1", "pushed": False}
    frames = event_frame(AT, {"event": "image", "step": "a", "image": pushed})
    send(0, frames + finished("ca1", images=[pushed, local]))
    with sqlite.read() as conn:
        assert [image["repository"] for image in runs.get(conn, "ca1").images] == ["app"]


def test_a_worker_that_came_back_may_tell_again_what_it_told(send: Callable[..., int], sqlite: Database) -> None:
    size = send(0, started("ca1", "a", "b") + step_started("a") + step_finished("a"))
    send(size, started("ca1", "a", "b") + step_started("a") + step_started("b"))
    assert steps(sqlite) == {"a": ("succeeded", 0), "b": ("running", 0)}


def test_steps_that_were_under_way_when_the_run_ended_are_not_told_as_running(
    send: Callable[..., int], sqlite: Database
) -> None:
    send(0, started("ca1", "a", "b") + step_started("a") + finished("ca1", "Canceled"))
    assert {name: one for name, (one, _) in steps(sqlite).items()} == {"a": "canceled", "b": "skipped"}


def test_a_clock_of_a_worker_that_is_wrong_is_bounded(send: Callable[..., int], sqlite: Database) -> None:
    send(0, started("ca1", "a", at=later(99999)))
    with sqlite.read() as conn:
        assert runs.get(conn, "ca1").started == later(1)


@pytest.mark.parametrize(
    ("record", "again"),
    [
        ({"status": "Error"}, True), ({"status": "Error", "errorExitCode": 3}, True),
        ({"status": "Error", "errorExitCode": 2}, False), ({"status": "Failed"}, False), ({"status": "Succeeded"}, False),
    ],
)  # fmt: skip
def test_what_counts_as_infrastructure(record: dict[str, Any], again: bool) -> None:
    assert report.is_infrastructure(record) is again


# ---- reading


def test_one_steps_output_is_found_among_the_others(send: Callable[..., int], feeds: Feeds) -> None:
    size = 0
    for n in range(20):
        size = send(size, output("a", f"a{n}\n") + output("b", f"b{n}\n") + output("b", f"c{n}\n") + step_started("a"))
    assert b"".join(feeds.text("ca1", 1, "b")) == "".join(f"b{n}\nc{n}\n" for n in range(20)).encode()
    assert list(feeds.text("ca1", 1, "nobody")) == []
    assert list(feeds.text("ca1", 2, "a")) == []


def test_the_index_is_made_anew_when_it_is_gone_or_behind(
    send: Callable[..., int], feeds: Feeds, tmp_path: Path
) -> None:
    size = send(0, output("a", "one") + output("b", "two"))
    index = tmp_path / "runs" / "ca1" / "1" / "index"
    (index / "upto").write_bytes(b"\0" * 5)  # a crash between the entries and the mark
    size = send(size, output("a", "three"))
    assert b"".join(feeds.text("ca1", 1, "a")) == b"onethree"
    for path in index.iterdir():
        path.unlink()
    index.rmdir()
    assert b"".join(feeds.text("ca1", 1, "a")) == b"onethree"
    send(size, output("a", "four"))
    assert b"".join(feeds.text("ca1", 1, "a")) == b"onethreefour"


def test_a_frame_larger_than_a_readers_piece_is_read_whole(send: Callable[..., int], feeds: Feeds) -> None:
    big = event_frame(AT, {"event": "notice", "message": "x" * (9 << 20)})
    size = send(0, output("a", "before") + big + log_frames(AT, "a", 1, b"y" * (3 << 20)))
    found = list(feeds.frames("ca1", 1))
    assert found[-1][0] == size
    assert len(b"".join(feeds.text("ca1", 1, "a"))) == 6 + (3 << 20)
    assert len(feeds.read("ca1", 1, 0, most=1)) == len(output("a", "before"))


def test_a_follower_wakes_when_bytes_come_and_when_the_run_ends(
    send: Callable[..., int], feeds: Feeds, signals: Signals
) -> None:
    seen: list[int] = []
    ready = threading.Event()

    def follow() -> None:
        offset = 0
        ready.set()
        while True:
            state = feeds.wait("ca1", 1, offset, timeout=30)
            if state.size == offset and state.over:
                return
            offset = state.size
            seen.append(offset)

    thread = threading.Thread(target=follow)
    thread.start()
    ready.wait(10)
    with signals.watch(QUEUE) as queue_watch:
        size = send(0, output("a", "x"))
        end = send(size, finished("ca1"))
        assert queue_watch.wait(0), "a run that ended makes room"
    thread.join(30)
    assert not thread.is_alive()
    assert seen[-1] == end


def test_a_wait_ends_in_time_and_when_the_service_ends(held: Lease, feeds: Feeds, signals: Signals) -> None:
    assert feeds.wait("ca1", 1, 0, timeout=0).size == 0
    signals.close()
    assert not feeds.wait("ca1", 1, 0, timeout=60).over
    with pytest.raises(NotFound):
        feeds.wait("ca99", 1, 0, timeout=0)


def test_an_earlier_attempts_feed_is_over_and_stays(send: Callable[..., int], feeds: Feeds, sqlite: Database) -> None:
    send(0, output("a", "first"))
    with sqlite.write() as conn:
        queue.expire(conn, now=later(60))
        again = lease(conn, now=later(600))
    feeds.append("w1", "ca1", again.epoch, 0, output("a", "second"), now=later(600))
    assert feeds.state("ca1", 1).over
    assert not feeds.state("ca1", 2).over
    assert [b"".join(feeds.text("ca1", attempt)) for attempt in (1, 2)] == [b"first", b"second"]


@pytest.mark.parametrize("name", ["../x", "ca1/..", "", "ca 1"])
def test_no_name_leads_out_of_the_folder(feeds: Feeds, name: str) -> None:
    with pytest.raises(NotFound):
        feeds.remove(name)


# ---- start


def test_what_does_not_count_is_cut_off_at_start(send: Callable[..., int], feeds: Feeds, tmp_path: Path) -> None:
    size = send(0, output("a", "one"))
    path = tmp_path / "runs" / "ca1" / "1" / "feed"
    with path.open("ab") as file:
        file.write(b"half an append")
    assert feeds.recover(now=later(2)) == []
    assert path.stat().st_size == size


def test_bytes_that_the_disk_has_lost_are_asked_for_again(
    send: Callable[..., int], feeds: Feeds, sqlite: Database, tmp_path: Path
) -> None:
    first = started("ca1", "a") + output("a", "one")
    send(0, first + output("a", "two"))
    path = tmp_path / "runs" / "ca1" / "1" / "feed"
    os.truncate(path, len(first) + 3)
    assert feeds.recover(now=later(2)) == ["ca1"]
    assert feeds.state("ca1").size == len(first)
    assert steps(sqlite)["a"] == ("pending", 3)
    send(len(first), output("a", "two"))
    assert b"".join(feeds.text("ca1", 1, "a")) == b"onetwo"


def test_a_feed_that_is_gone_while_the_service_runs_is_asked_for_from_its_start(
    send: Callable[..., int], tmp_path: Path
) -> None:
    size = send(0, output("a", "one"))
    (tmp_path / "runs" / "ca1" / "1" / "feed").unlink()
    with pytest.raises(WrongOffset) as told:
        send(size, output("a", "two"))
    assert told.value.offset == 0
    assert send(0, output("a", "one") + output("a", "two")) > size


def test_a_second_service_that_starts_takes_nothing_from_one_that_runs(
    send: Callable[..., int], feeds: Feeds, sqlite: Database, tmp_path: Path
) -> None:
    other = Feeds(sqlite, tmp_path / "runs", Signals())
    over = threading.Event()
    lost: list[str] = []

    def start_again_and_again() -> None:
        while not over.is_set():
            lost.extend(other.recover(now=later(2)))

    thread = threading.Thread(target=start_again_and_again)
    thread.start()
    try:
        size = 0
        for n in range(60):
            size = send(size, output("a", f"{n}\n"))
    finally:
        over.set()
        thread.join(30)
    assert lost == []
    assert b"".join(feeds.text("ca1", 1, "a")) == "".join(f"{n}\n" for n in range(60)).encode()


def test_two_senders_of_one_run_do_not_mix(send: Callable[..., int], feeds: Feeds) -> None:
    frames = output("a", "x" * 1000)
    errors: list[Exception] = []

    def push() -> None:
        for n in range(30):
            try:
                send(n * len(frames), frames)
            except (WrongOffset, Conflict) as error:
                errors.append(error)

    threads = [threading.Thread(target=push) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert feeds.state("ca1").size % len(frames) == 0
    assert b"".join(feeds.text("ca1", 1)) == b"x" * 1000 * (feeds.state("ca1").size // len(frames))
