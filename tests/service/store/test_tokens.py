"""Tokens: shown once, kept as a hash, good until they expire or are revoked."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from taskengine.errors import NotFound
from taskengine.service.model import Role
from taskengine.service.store import tokens
from taskengine.service.store.database import Database
from tests.service.support import AT, later


def test_a_token_opens_and_only_its_hash_is_kept(database: Database) -> None:
    with database.write() as conn:
        token, shown = tokens.create(conn, name="ci", role=Role.DEVELOPER, now=AT, scopes=["web-*"])
        assert tokens.check(conn, shown, now=AT) == token
        assert (token.role, token.scopes) == (Role.DEVELOPER, ("web-*",))
        rows = str(conn.execute(text("SELECT * FROM tokens")).all())
    assert shown not in rows
    assert shown.rpartition("_")[2] not in rows


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-1],
        lambda t: t + "x",
        lambda t: t[:-1] + ("a" if t[-1] != "a" else "b"),
        lambda t: "",
        lambda t: "acrt__",
        lambda t: t.swapcase(),
        lambda t: "\ud800",
    ],
)
def test_what_is_not_quite_the_token_opens_nothing(sqlite: Database, change: object) -> None:
    with sqlite.write() as conn:
        _, shown = tokens.create(conn, name="ci", role=Role.READER, now=AT)
        assert tokens.check(conn, change(shown), now=AT) is None  # type: ignore[operator]


def test_a_token_expires_and_can_be_revoked(database: Database) -> None:
    with database.write() as conn:
        _, short = tokens.create(conn, name="short", role=Role.READER, now=AT, expires=later(10))
        long, shown = tokens.create(conn, name="long", role=Role.READER, now=later(1))
        assert tokens.check(conn, short, now=later(9)) is not None
        assert tokens.check(conn, short, now=later(10)) is None
        for _ in range(2):
            tokens.revoke(conn, long.id, now=later(2))
        assert tokens.check(conn, shown, now=later(3)) is None
        assert [token.name for token in tokens.list_all(conn)] == ["short"]
        with pytest.raises(NotFound):
            tokens.revoke(conn, "nobody", now=AT)


def test_the_first_admins_token_is_made_once(database: Database) -> None:
    with database.write() as conn:
        shown = tokens.first_admin(conn, now=AT)
        assert shown is not None
        found = tokens.check(conn, shown, now=AT)
        assert found is not None
        assert found.role is Role.ADMIN
        assert tokens.first_admin(conn, now=AT) is None


def test_the_first_admins_token_may_be_given(database: Database) -> None:
    with database.write() as conn:
        assert tokens.first_admin(conn, now=AT, given="chosen by a person") == "chosen by a person"
        assert tokens.check(conn, "chosen by a person", now=AT) is not None
        assert tokens.check(conn, "chosen by another", now=AT) is None


def test_a_workers_token_is_bound_to_the_first_worker_and_to_no_other(database: Database) -> None:
    with database.write() as conn:
        one, two = (tokens.create(conn, name="w", role=Role.WORKER, now=AT)[0].id for _ in range(2))
        assert tokens.bind(conn, one, "builder-1", now=AT) == "builder-1"
        assert tokens.bind(conn, one, "builder-2", now=AT) == "builder-1", "it speaks for one worker for good"
        assert tokens.bind(conn, two, "builder-1", now=AT) == "", "the name is taken"
        assert tokens.bind(conn, two, "builder-2", now=AT) == "builder-2"
        assert sorted(token.worker for token in tokens.list_all(conn)) == ["builder-1", "builder-2"]


def test_a_name_is_free_again_when_its_token_is_revoked_or_has_expired(database: Database) -> None:
    with database.write() as conn:
        old = tokens.create(conn, name="w", role=Role.WORKER, now=AT, worker="b1")[0].id
        tokens.create(conn, name="w", role=Role.WORKER, now=AT, worker="b2", expires=later(60))
        new, other = (tokens.create(conn, name="w", role=Role.WORKER, now=AT)[0].id for _ in range(2))
        assert tokens.bind(conn, new, "b1", now=AT) == tokens.bind(conn, new, "b2", now=AT) == ""
        tokens.revoke(conn, old, now=AT)
        assert tokens.bind(conn, new, "b1", now=AT) == "b1"
        assert tokens.bind(conn, other, "b2", now=later(61)) == "b2"


def test_when_it_was_used_is_noted_to_some_minutes(sqlite: Database) -> None:
    with sqlite.write() as conn:
        token, _ = tokens.create(conn, name="ci", role=Role.READER, now=AT)
        assert tokens.needs_touch(conn, token.id, now=AT)
        tokens.touch(conn, token.id, now=AT)
        assert not tokens.needs_touch(conn, token.id, now=later(299))
        assert tokens.needs_touch(conn, token.id, now=later(301))
