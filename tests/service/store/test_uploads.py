"""Uploads in two phases: sent in pieces, resumed, checked, kept as long as somebody needs them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import Conflict, InvalidInput, NotFound, OutOfSpace
from taskengine.service.store import queue, uploads
from taskengine.service.store.database import Database
from taskengine.service.store.uploads import UploadFolder, WrongOffset
from tests.service.support import AT, enqueue, later

DATA = bytes(range(256)) * 40
DAY = 86400.0


@pytest.fixture
def folder(sqlite: Database, tmp_path: Path) -> UploadFolder:
    return UploadFolder(sqlite, tmp_path / "uploads")


@pytest.fixture
def announced(sqlite: Database) -> uploads.Upload:
    return announce(sqlite)


def announce(database: Database, name: str = "u1", data: bytes = DATA) -> uploads.Upload:
    with database.write() as conn:
        return uploads.create(conn, new_id=name, owner="ann", size=len(data), sha256=sha256(data).hexdigest(), now=AT)


def test_what_was_sent_in_pieces_and_checked_can_be_read(folder: UploadFolder, announced: uploads.Upload) -> None:
    assert folder.write("u1", 0, [DATA[:100], DATA[100:300]], now=AT) == 300
    assert folder.write("u1", 300, iter([DATA[300:]]), now=AT) == len(DATA)
    for _ in range(2):
        assert folder.commit("u1").state == "ready"
    with folder.open("u1") as file:
        assert file.read() == DATA
    with pytest.raises(Conflict, match="complete already"):
        folder.write("u1", len(DATA), [b"x"], now=AT)


def test_a_broken_connection_keeps_what_came(folder: UploadFolder, announced: uploads.Upload, sqlite: Database) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA[:500]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        folder.write("u1", 0, broken(), now=AT)
    with pytest.raises(WrongOffset) as wrong:
        folder.write("u1", 0, [DATA], now=AT)
    assert wrong.value.offset == 500
    folder.write("u1", wrong.value.offset, [DATA[wrong.value.offset :]], now=AT)
    assert folder.commit("u1").state == "ready"


def test_other_bytes_than_announced_are_thrown_away(folder: UploadFolder, announced: uploads.Upload) -> None:
    folder.write("u1", 0, [DATA[:-1] + b"!"], now=AT)
    with pytest.raises(InvalidInput, match="sha256 differs"):
        folder.commit("u1")
    folder.write("u1", 0, [DATA], now=AT)
    assert folder.commit("u1").state == "ready"


def test_too_few_and_too_many_bytes_are_told(folder: UploadFolder, announced: uploads.Upload) -> None:
    folder.write("u1", 0, [DATA[:10]], now=AT)
    with pytest.raises(Conflict, match="10 of 10240 bytes"):
        folder.commit("u1")
    with pytest.raises(Conflict, match="not complete"):
        folder.open("u1")
    with pytest.raises(InvalidInput, match="more came"):
        folder.write("u1", 10, [DATA], now=AT)


def test_an_empty_context_can_be_uploaded(folder: UploadFolder, sqlite: Database) -> None:
    announce(sqlite, "u2", b"")
    assert folder.commit("u2").state == "ready"


@pytest.mark.parametrize(("size", "digest"), [(-1, "0" * 64), (1, "0" * 63), (1, "G" * 64), (1, "A" * 64), (1, "")])
def test_an_announcement_that_makes_no_sense_is_refused(sqlite: Database, size: int, digest: str) -> None:
    with sqlite.write() as conn, pytest.raises(InvalidInput):
        uploads.create(conn, new_id="u9", owner="ann", size=size, sha256=digest, now=AT)


@pytest.mark.parametrize("name", ["u9", "../u1", "", "U1", "a/b"])
def test_an_upload_that_is_not_there_is_told(folder: UploadFolder, name: str) -> None:
    for call in (lambda: folder.write(name, 0, [], now=AT), lambda: folder.commit(name), lambda: folder.open(name)):
        with pytest.raises(NotFound):
            call()


def test_a_full_disk_is_told_and_the_upload_can_go_on_where_it_was(
    folder: UploadFolder, announced: uploads.Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("u1", 0, [DATA[:100]], now=AT)

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OutOfSpace):
        folder.write("u1", 100, [DATA[100:]], now=AT)
    monkeypatch.undo()
    folder.write("u1", 100, [DATA[100:]], now=AT)
    assert folder.commit("u1").state == "ready"


def test_one_sender_at_a_time(folder: UploadFolder, announced: uploads.Upload) -> None:
    def slow() -> Iterator[bytes]:
        yield DATA[:100]
        with pytest.raises(Conflict, match="being sent already"):
            folder.write("u1", 0, [DATA], now=AT)

    assert folder.write("u1", 0, slow(), now=AT) == 100


def test_uploads_go_when_their_time_is_up_but_not_while_a_run_needs_them(
    folder: UploadFolder, sqlite: Database
) -> None:
    for name in ("u1", "u2", "u3"):
        announce(sqlite, name)
        folder.write(name, 0, [DATA], now=AT)
        folder.commit(name)
    with sqlite.write() as conn:
        enqueue(conn, spec={"context": "upload:u1"})
        done = enqueue(conn, spec={"context": "upload:u2"})
        queue.cancel(conn, done.id, "", now=AT)
        assert folder.sweep(conn, now=later(DAY - 1)) == []
        assert [one.id for one in folder.sweep(conn, now=later(DAY), dry=True)] == ["u2", "u3"]
        gone = folder.sweep(conn, now=later(DAY))
    folder.discard([one.id for one in gone])
    assert folder.strays(later(DAY * 365 * 10)) == []
    with folder.open("u1") as file:
        assert file.read() == DATA


def test_files_that_belong_to_nothing_are_found(
    folder: UploadFolder, announced: uploads.Upload, tmp_path: Path
) -> None:
    (tmp_path / "uploads" / "u7").write_bytes(b"x")
    folder.write("u1", 0, [b""], now=AT)
    far = AT + timedelta(days=36500)
    assert folder.strays(far) == ["u7"]
    assert folder.strays(AT - timedelta(days=36500)) == []
