from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runners.docker.buildkit import messages as pb
from runners.docker.buildkit.filesync import DATA, FINISH, REQUEST, STAT, Sender, Sent
from runners.docker.buildkit.tree import FolderTree, MemoryTree, Selection, Tree


class Receiver:
    """The engine's part: asks for files, and ends."""

    def __init__(self, tree: Tree) -> None:
        self.sent = Sent()
        self._requests: queue.Queue[Any] = queue.Queue()
        packets = Sender(tree, Selection(), self.sent).packets(iter(self._requests.get, None))
        self.packets = (pb.Packet.decode(packet) for packet in packets if packet is not None)

    def stats(self) -> list[Any]:
        found = []
        for packet in self.packets:
            assert packet.type == STAT
            if packet.stat is None:
                return found
            found.append(packet.stat)
        raise AssertionError("the list of files has no end")

    def fetch(self, number: int) -> Iterator[bytes]:
        self._requests.put(pb.Packet(type=REQUEST, ID=number))
        for packet in self.packets:
            assert (packet.type, packet.ID) == (DATA, number)
            if not packet.data:
                return
            yield packet.data

    def finish(self) -> list[int]:
        self._requests.put(pb.Packet(type=FINISH))
        return [packet.type for packet in self.packets]


def test_a_transfer_tells_sends_what_is_asked_for_and_ends() -> None:
    receiver = Receiver(MemoryTree({"a": b"", "b/c": b"content"}))
    assert [s.path for s in receiver.stats()] == [b"a", b"b", b"b/c"]
    assert b"".join(receiver.fetch(2)) == b"content"
    assert list(receiver.fetch(0)) == []
    assert receiver.finish() == [FINISH]
    assert (receiver.sent.files, receiver.sent.bytes) == (2, 7)


def test_everything_belongs_to_root(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (stat,) = Receiver(FolderTree(str(tmp_path))).stats()
    assert (stat.uid, stat.gid, stat.size, stat.modTime) == (0, 0, 1, (tmp_path / "a").stat().st_mtime_ns)


def test_a_large_file_travels_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    receiver = Receiver(FolderTree(str(tmp_path)))
    receiver.stats()
    pieces = list(receiver.fetch(0))
    assert sum(map(len, pieces)) == 1_000_000
    assert max(map(len, pieces)) <= 128 * 1024


def test_a_file_that_grows_while_it_is_sent_ends_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 200_000)
    receiver = Receiver(FolderTree(str(tmp_path)))
    receiver.stats()
    pieces = receiver.fetch(0)
    size = len(next(pieces))
    with path.open("ab") as file:
        file.write(b"y" * 200_000)
    assert size + sum(map(len, pieces)) == 200_000


def test_a_file_that_shrinks_while_it_is_sent_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 200_000)
    receiver = Receiver(FolderTree(str(tmp_path)))
    receiver.stats()
    path.write_bytes(b"short")
    assert b"".join(receiver.fetch(0)) == b"short"


def test_a_transfer_that_is_stopped_ends_at_once() -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    sender = Sender(MemoryTree({}), Selection(), Sent())
    packets = sender.packets(iter(waiting.get, None))
    assert next(packets) == b""  # a STAT of nothing
    sender.stop()
    assert list(packets) == []
    waiting.put(None)
