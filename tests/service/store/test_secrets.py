"""Secrets at rest: sealed, with a key that lies elsewhere."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from taskengine.errors import InvalidInput, Unreachable
from taskengine.service.store import secrets
from taskengine.service.store.database import Database
from taskengine.service.store.secrets import SecretBox
from tests.service.support import AT, BOX


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def test_a_secret_is_not_in_the_database_as_it_is(database: Database) -> None:
    with database.write() as conn:
        secrets.put(conn, BOX, "task", "web", {"set:token": "hunter2", "b": "é\0"}, now=AT)
        assert secrets.get(conn, BOX, "task", "web") == {"set:token": "hunter2", "b": "é\0"}
        assert secrets.names(conn, "task", "web") == ["b", "set:token"]
        assert b"hunter2" not in b"".join(bytes(row[0]) for row in conn.execute(text("SELECT sealed FROM secrets")))


def test_the_same_secret_of_many_owners_is_found_at_once(database: Database) -> None:
    with database.write() as conn:
        for task in ("api", "web"):
            secrets.put(conn, BOX, "task", task, {"webhook": f"of {task}", "other": "x"}, now=AT)
        secrets.put(conn, BOX, "hook", "odd", {"webhook": "of a hook"}, now=AT)
        assert secrets.named(conn, BOX, "task", {"web", "api", "odd", "none"}, "webhook") == {
            "api": "of api", "web": "of web",
        }  # fmt: skip


def test_secrets_are_merged_replaced_and_forgotten(database: Database) -> None:
    with database.write() as conn:
        secrets.put(conn, BOX, "task", "web", {"a": "1", "b": "2"}, now=AT)
        secrets.put(conn, BOX, "task", "web", {"b": "3"}, now=AT)
        secrets.put(conn, BOX, "run", "web", {"z": "9"}, now=AT)
        assert secrets.get(conn, BOX, "task", "web") == {"a": "1", "b": "3"}
        secrets.forget(conn, "task", "web", "a")
        assert secrets.names(conn, "task", "web") == ["b"]
        secrets.put(conn, BOX, "task", "web", {"c": "4"}, now=AT, replace=True)
        assert secrets.names(conn, "task", "web") == ["c"]
        secrets.put(conn, BOX, "task", "web", {}, now=AT, replace=True)
        assert secrets.names(conn, "task", "web") == []
        assert secrets.names(conn, "run", "web") == ["z"]


def test_a_key_is_rotated_by_putting_a_new_one_first(database: Database) -> None:
    old, new = key(), key()
    with database.write() as conn:
        secrets.put(conn, SecretBox((old,)), "task", "web", {"a": "1"}, now=AT)
        both = SecretBox((new, old))
        assert secrets.get(conn, both, "task", "web") == {"a": "1"}
        assert secrets.rotate(conn, both, now=AT) == 1
        assert secrets.get(conn, SecretBox((new,)), "task", "web") == {"a": "1"}
        with pytest.raises(InvalidInput, match="sealed with another key") as told:
            secrets.get(conn, SecretBox((old,)), "task", "web")
        assert "key file" in (told.value.hint or "")
        with pytest.raises(InvalidInput, match="another key"):
            secrets.rotate(conn, SecretBox((key(),)), now=AT)


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    sealed = SecretBox.open(path).seal("x")
    assert path.stat().st_mode & 0o777 == 0o600
    assert SecretBox.open(path).reveal(sealed) == "x"
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]


def test_services_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    sealed: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: sealed.append(SecretBox.open(tmp_path / "key").seal("x"))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    box = SecretBox.open(tmp_path / "key")
    assert [box.reveal(one) for one in sealed] == ["x"] * 5


def test_a_given_key_goes_before_the_file(tmp_path: Path) -> None:
    mine, old = key(), key()
    sealed = SecretBox.open(tmp_path / "key", given=f"{mine}\n{old}\n").seal("x")
    assert SecretBox((mine,)).reveal(sealed) == "x"
    assert not (tmp_path / "key").exists()


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    SecretBox.open(path)
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="others may read") as told:
        SecretBox.open(path)
    assert told.value.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("bad", ["short", "x" * 44, "schlüssel"])
def test_a_key_that_is_none_is_refused_and_not_shown(tmp_path: Path, bad: str) -> None:
    with pytest.raises(InvalidInput, match="32 bytes") as told:
        SecretBox.open(tmp_path / "key", given=bad)
    assert bad not in str(told.value)


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    with pytest.raises(InvalidInput, match="no key"):
        SecretBox.open(path)


def test_a_key_file_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match="cannot be used"):
        SecretBox.open(tmp_path / "file" / "key")
