"""Our messages against Google's library, which reads what we write and writes what we read (bk.proto)."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from runners.docker.buildkit import messages
from runners.docker.buildkit.codec import Field, Malformed, Message, varint
from runners.docker.buildkit.filesync import data_packet, stat_packet
from runners.docker.buildkit.tree import Entry, FolderTree, Selection
from tests.runners.docker.buildkit import bk_pb2

KINDS = {name: kind for name, kind in vars(messages).items() if isinstance(kind, type) and issubclass(kind, Message)}
#: 32 bits in the library
SMALL = {"mode", "uid", "gid", "nanos", "type", "status", "code", "ID"}


def made(field: Field, chance: random.Random) -> Any:
    if field.is_map:
        return {f"k{i}": value(field, chance) for i in range(chance.randrange(3))}
    if field.is_list:
        return [value(field, chance) for _ in range(chance.randrange(4))]
    return value(field, chance)


def value(field: Field, chance: random.Random) -> Any:
    if field.kind == "number":
        return chance.choice([0, 1, 127, 128, 2**31 - 1] if field.name in SMALL else [0, -1, 127, 128, 2**40])
    if field.kind == "truth":
        return chance.choice([True, False])
    if field.kind == "text":
        return chance.choice(["", "x", "é" * 50, "y" * 300])
    if field.kind == "bytes":
        return chance.choice([b"", b"\xff\x00", b"z" * 20_000])
    assert isinstance(field.kind, type)
    return of_kind(field.kind, chance)


def of_kind(kind: type[Message], chance: random.Random) -> Message:
    return kind(**{field.name: made(field, chance) for field in kind.FIELDS.values()})


@pytest.mark.parametrize("name", [name for name in KINDS if name not in {"Message", "Timestamp"}])
def test_a_message_says_the_same_to_the_library(name: str) -> None:
    chance = random.Random(name)
    for _ in range(50):
        ours = of_kind(KINDS[name], chance)
        theirs = getattr(bk_pb2, name).FromString(ours.encode())

        assert KINDS[name].decode(theirs.SerializeToString()) == ours
        assert KINDS[name].decode(ours.encode()) == ours


def test_unknown_fields_are_passed_over() -> None:
    newer = varint(77 << 3 | 2) + varint(3) + b"abc" + varint(78 << 3) + varint(5) + varint(79 << 3 | 5) + b"1234"

    assert messages.StatusRequest.decode(newer + messages.StatusRequest(Ref="r").encode()).Ref == "r"


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\xff" * 12, b"\x0b", b"\x08\x01"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        messages.StatusRequest.decode(data)


def test_a_field_that_a_message_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError):
        messages.StatusRequest(Reff="r")
    with pytest.raises(AttributeError):
        messages.StatusRequest(Ref="r").reff  # noqa: B018


@pytest.mark.parametrize(
    "entry",
    [
        Entry("a", 0o644),
        Entry("ö/" + "b" * 300, 1 << 31 | 0o755, 0, 1_700_000_000_123_456_789),
        Entry(os.fsdecode(b"\xff"), 0o644, 1 << 40, -5),
        Entry("l", 1 << 27 | 0o777, 0, 1, "../else"),
        Entry("c", 0o755, 10, 1, "", b"\x01\x00\x00\x02" + bytes(16)),
    ],
)
def test_the_packets_of_files_are_those_of_the_messages(entry: Entry) -> None:
    found = bk_pb2.Packet.FromString(stat_packet(entry))

    assert found.type == 0
    assert found.stat.path == os.fsencode(entry.path)
    assert (found.stat.mode, found.stat.size, found.stat.modTime) == (entry.mode, entry.size, entry.mtime_ns)
    assert found.stat.linkname == os.fsencode(entry.link)
    assert dict(found.stat.xattrs) == ({"security.capability": entry.capability} if entry.capability else {})


@pytest.mark.parametrize("data", [b"", b"x" * 128 * 1024])
@pytest.mark.parametrize("number", [0, 1, 300])
def test_the_packets_of_content_are_those_of_the_messages(number: int, data: bytes) -> None:
    assert messages.Packet.decode(data_packet(number, data)) == messages.Packet(type=2, ID=number, data=data)


def test_a_walk_looks_at_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls of the system for a file (its state, its attributes), none for what is ignored, one sorting a folder."""
    from runners.docker.buildkit import tree
    from runners.docker.buildkit.ignore import IgnoreMatcher

    for number in range(30):
        (tmp_path / "src" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "node_modules" / "x").mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / "deep" / f"{number}").write_text("x")
        (tmp_path / "node_modules" / "x" / f"{number}").write_text("x")
    calls: dict[str, int] = {}

    def counted(name: str) -> None:
        real = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return real(*args, **kwargs)

        monkeypatch.setattr(tree.os, name, call)

    for name in ("listxattr", "open", "scandir", "stat", "lstat", "readlink"):
        counted(name)
    judged: list[str] = []
    real = Selection.judge
    monkeypatch.setattr(Selection, "judge", lambda self, path, marks: judged.append(path) or real(self, path, marks))
    rules = Selection(exclude=IgnoreMatcher([".git", "node_modules"]))

    found = [entry.path for entry in FolderTree(str(tmp_path)).walk(rules)]

    assert len(found) == 32
    assert calls == {"listxattr": 30, "open": 4, "scandir": 3}
    assert judged == ["node_modules", "src"]
