"""Stored tasks: made, changed with a look at their revision, listed, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.errors import Conflict, NotFound
from taskengine.service.store import secrets, tasks
from taskengine.service.store.database import Database
from tests.service.support import AT, BOX, later


def test_a_task_is_made_once(database: Database) -> None:
    with database.write() as conn:
        made = tasks.create(conn, "web", {"step": {"type": "Docker"}}, owner="ann", now=AT)
        assert tasks.get(conn, "web") == made
        assert made.revision == 1
        with pytest.raises(Conflict, match="already"):
            tasks.create(conn, "web", {}, owner="ann", now=AT)
        assert tasks.get(conn, "web") == made


def test_a_change_on_an_older_revision_is_refused(database: Database) -> None:
    with database.write() as conn:
        tasks.create(conn, "web", {"a": 1}, owner="ann", now=AT)
        changed = tasks.replace(conn, "web", {"a": 2}, now=later(1), revision=1)
        assert (changed.revision, changed.created, changed.updated) == (2, AT, later(1))
        with pytest.raises(Conflict, match="revision 2"):
            tasks.replace(conn, "web", {"a": 3}, now=later(2), revision=1)
        with pytest.raises(Conflict, match="revision 2"):
            tasks.delete(conn, "web", revision=1)
        assert tasks.get(conn, "web").document == {"a": 2}


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ({}, {"a": {"b": 1, "c": [1, 2]}, "d": "x"}),
        ({"d": None}, {"a": {"b": 1, "c": [1, 2]}}),
        ({"a": {"b": 2}}, {"a": {"b": 2, "c": [1, 2]}, "d": "x"}),
        ({"a": {"c": [3]}}, {"a": {"b": 1, "c": [3]}, "d": "x"}),
        ({"a": 7, "e": {"f": None, "g": 1}}, {"a": 7, "d": "x", "e": {"g": 1}}),
    ],
)
def test_a_patch_merges_as_rfc_7396_says(patch: dict[str, Any], after: dict[str, Any]) -> None:
    assert tasks.merged({"a": {"b": 1, "c": [1, 2]}, "d": "x"}, patch) == after


def test_a_task_is_enabled_and_disabled(database: Database) -> None:
    with database.write() as conn:
        tasks.create(conn, "web", {}, owner="ann", now=AT)
        off = tasks.replace(conn, "web", {}, now=AT, enabled=False)
        assert (off.enabled, off.revision) == (False, 2)
        assert not tasks.replace(conn, "web", {}, now=AT).enabled


def test_tasks_are_listed_by_name_in_pages_and_by_scope(database: Database) -> None:
    with database.write() as conn:
        for name in ("web-a", "web-b", "db", "Web-c", "web_d"):
            tasks.create(conn, name, {}, owner="ann" if name == "db" else "bob", now=AT)
        first = tasks.page(conn, top=2)
        assert first.cursor is not None
        second = tasks.page(conn, top=10, cursor=first.cursor)
        assert sorted(task.name for task in (*first.tasks, *second.tasks)) == ["Web-c", "db", "web-a", "web-b", "web_d"]
        assert second.cursor is None
        assert [task.name for task in tasks.page(conn, scopes=["web-*"]).tasks] == ["web-a", "web-b"]
        assert [task.name for task in tasks.page(conn, owner="ann").tasks] == ["db"]


def test_a_deleted_task_takes_its_secrets_along(database: Database) -> None:
    with database.write() as conn:
        tasks.create(conn, "web", {}, owner="ann", now=AT)
        secrets.put(conn, BOX, "task", "web", {"a": "1"}, now=AT)
        tasks.delete(conn, "web")
        assert secrets.names(conn, "task", "web") == []
        for call in (tasks.get, tasks.delete):
            with pytest.raises(NotFound):
                call(conn, "web")
