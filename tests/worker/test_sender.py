"""A run's feed arrives whole and in order, whatever happens on the way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from taskengine.ambient import Ambient
from taskengine.client.transport import Conflict, Gone
from taskengine.errors import Unreachable
from taskengine.worker.sender import Sender
from taskengine.worker.spool import Lease, Spool


class Copy:
    """The service's copy of the feed. `trouble` are errors raised by the next calls, one each."""

    def __init__(self, *trouble: Exception, taken: int = 1 << 30) -> None:
        self.data = b""
        self.trouble = list(trouble)
        self.calls = 0
        self.arrived = threading.Event()
        self._taken = taken

    def __call__(self, offset: int, data: bytes) -> int:
        self.calls += 1
        if self.trouble:
            raise self.trouble.pop(0)
        if offset != len(self.data):
            error = Conflict("elsewhere")
            error.offset = len(self.data)
            raise error
        self.data += data
        self.arrived.set()
        return len(self.data)


def a_spool(folder: Path) -> Spool:
    return Spool(folder / "s", Lease(run="ca1", attempt=1, epoch=1), Ambient.fixed(datetime(2026, 1, 1, tzinfo=UTC)))


def send(spool: Spool, copy: Copy, *, offset: int = 0) -> tuple[Sender, list[str]]:
    lost: list[str] = []
    sender = Sender(spool, copy, offset=offset, on_lost=lost.append)
    sender.start()
    return sender, lost


def test_all_that_was_said_arrives(tmp_path: Path) -> None:
    spool, copy = a_spool(tmp_path), Copy()
    sender, lost = send(spool, copy)
    for n in range(200):
        spool.write("a", 1, b"line %d\n" % n)
    sender.finish()
    assert copy.data == (tmp_path / "s" / "feed").read_bytes()
    assert sender.complete
    assert lost == []
    spool.close()


def test_what_is_said_while_the_run_goes_on_arrives_while_it_goes_on(tmp_path: Path) -> None:
    spool, copy = a_spool(tmp_path), Copy()
    sender, _ = send(spool, copy)
    spool.write("a", 1, b"now")
    assert copy.arrived.wait(10)
    sender.finish()
    spool.close()


def test_a_service_that_is_away_is_asked_again(tmp_path: Path) -> None:
    spool, copy = a_spool(tmp_path), Copy(Unreachable("away"), Unreachable("still"))
    spool.write("a", 1, b"x")
    sender, _ = send(spool, copy)
    sender.finish()
    assert sender.complete
    assert copy.calls == 3
    spool.close()


def test_sending_goes_on_where_the_service_says_that_its_copy_ends(tmp_path: Path) -> None:
    spool, copy = a_spool(tmp_path), Copy()
    spool.write("a", 1, b"first")
    copy.data = spool.read(0, 1000)  # it arrived, and the answer got lost
    spool.write("a", 1, b"second")
    sender, _ = send(spool, copy, offset=0)
    sender.finish()
    assert copy.data == spool.read(0, 1000)
    spool.close()


def test_a_run_that_is_not_ours_any_more_is_told_of_once(tmp_path: Path) -> None:
    spool, copy = a_spool(tmp_path), Copy(Gone("given to another"))
    spool.write("a", 1, b"x")
    sender, lost = send(spool, copy)
    sender.finish()
    assert lost == ["given to another"]
    assert (sender.lost, sender.complete, copy.data) == (True, False, b"")
    spool.close()


def test_a_service_that_has_more_than_was_said_is_not_argued_with(tmp_path: Path) -> None:
    spool, copy = a_spool(tmp_path), Copy()
    spool.write("a", 1, b"x")
    copy.data = b"y" * 10_000
    sender, lost = send(spool, copy)
    sender.finish()
    assert len(lost) == 1
    assert "disagree" in lost[0]
    spool.close()


def test_leaving_keeps_what_has_not_arrived(tmp_path: Path) -> None:
    spool, copy = a_spool(tmp_path), Copy(*[Unreachable("away")] * 1000)
    spool.write("a", 1, b"x")
    sender, _ = send(spool, copy)
    sender.stop()
    assert not sender.complete
    spool.close()
    assert (tmp_path / "s" / "feed").stat().st_size > 0
