"""Repositories that are asked, webhooks at forges and statuses of commits, on both databases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.errors import NotFound
from taskengine.runs.model import RunStatus
from taskengine.service.store import Connection, forgehooks, heads, ledger, queue, secrets, statuses, tasks
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.heads import Repository
from taskengine.service.store.signals import Signals
from tests.service.support import AT, BOX, enqueue, finished, later, lease, request, started, worker

REPOSITORY = "github.com/octo/web"


# repositories


def test_what_is_known_of_a_repository_is_replaced_whole(database: Database) -> None:
    row = Repository(repository=REPOSITORY, scope={"web": "d"}, checked=AT, next_at=later(60), failures=2, error="no\0")
    with database.write() as conn:
        heads.put(conn, Repository(repository=REPOSITORY, next_at=AT))
        heads.put(conn, row)
        found = heads.get(conn, REPOSITORY)
        assert heads.get(conn, "other") is None
    assert found is not None
    assert (found.scope, found.checked, found.failures, found.error) == ({"web": "d"}, AT, 2, "no\ufffd")


def test_a_repository_is_found_with_every_token_it_is_asked_with(database: Database) -> None:
    names = [REPOSITORY, f"{REPOSITORY} abc", f"{REPOSITORY}site", "github.com/octo/w_b", "github.com/octo/w%b"]
    with database.write() as conn:
        for name in names:
            heads.put(conn, Repository(repository=name, next_at=AT))
        assert [one.repository for one in heads.named(conn, REPOSITORY)] == names[:2]
        heads.hurry(conn, REPOSITORY, now=later(9))
        assert [one.next_at for one in heads.named(conn, REPOSITORY)] == [later(9), AT]
        assert heads.forget(conn, {REPOSITORY}) == 4
        assert list(heads.every(conn)) == [REPOSITORY]


def test_refs_are_seen_as_they_are_now(database: Database) -> None:
    many = {f"refs/heads/{number}": "a" * 40 for number in range(1200)}
    with database.write() as conn:
        heads.put(conn, Repository(repository=REPOSITORY, next_at=AT))
        heads.see(conn, REPOSITORY, many, now=AT)
        assert heads.refs(conn, REPOSITORY) == many
        after = {"refs/heads/1": "a" * 40, "refs/heads/2": "b" * 40, "refs/heads/new": "c" * 40}
        heads.see(conn, REPOSITORY, after, now=later(1))
        assert heads.refs(conn, REPOSITORY) == after
        heads.forget(conn, set())
        assert heads.refs(conn, REPOSITORY) == {}


def test_every_change_of_a_task_is_marked(database: Database) -> None:
    marks = []
    with database.write() as conn:
        marks.append(tasks.mark(conn))
        tasks.create(conn, "a", {}, owner="ann", now=AT)
        marks.append(tasks.mark(conn))
        tasks.replace(conn, "a", {"b": 1}, now=AT)
        marks.append(tasks.mark(conn))
        tasks.delete(conn, "a")
        tasks.create(conn, "b", {}, owner="ann", now=later(1))
        marks.append(tasks.mark(conn))
    assert len(set(marks)) == 4
    assert [one.name for one in tasks.each(database)] == ["b"]


# the ledger's memory of contents


def test_content_is_known_from_any_event_that_told_of_it(database: Database) -> None:
    with database.write() as conn:
        event, _ = ledger.record(conn, source="github", task="web", headers={}, body=b"", now=AT)
        ledger.note(conn, event.number, task="web", state="ignored", reason="no", facts={}, now=AT, key="push:a")
        ledger.note(conn, event.number, task="web", state="ignored", reason="no", facts={}, now=AT)
        assert ledger.claim(conn, event.number, task="web", key="push:b", facts={}, now=AT)[0]
        assert ledger.claim(conn, event.number, task="web", key="push:a", facts={}, now=AT)[0]  # it was only noted
        assert [ledger.is_known(conn, key) for key in ("push:a", "push:b", "push:c", "")] == [True, True, False, False]
        assert ledger.last_told(conn, ["web", "api"], ["github"]) == AT
        assert ledger.last_told(conn, ["web"], ["gitlab"]) is None


def test_refused_deliveries_are_one_row_each_and_bounded(database: Database) -> None:
    with database.write() as conn:
        for number in range(130):
            ledger.refused(conn, source="github", task=f"t{number}", why="no", times=2, headers={}, now=later(number))
        ledger.refused(conn, source="github", task="t129", why="still no", times=3, headers={"a": "b"}, now=later(200))
        found, _ = ledger.page(conn, ledger.Wanted(state="refused"), top=200)
        assert len(found) == 100
        newest = next(one for one in found if one.task == "t129")
        assert (newest.attempts, newest.reason, newest.received) == (5, "still no", later(200))
        assert ledger.due(conn, now=later(9999)) == []
        assert ledger.last_told(conn, ["t129"], ["github"]) is None


@pytest.mark.parametrize("body", [b"", b"x" * 100_000, b"\0zlib\0whatever", b"\0" * 5])
def test_a_body_is_given_back_as_it_came(database: Database, body: bytes) -> None:
    with database.write() as conn:
        event, _ = ledger.record(conn, source="github", task="web", headers={}, body=body, now=AT)
        assert ledger.get(conn, event.number).body == body
        assert ledger.due(conn, now=AT)[0].body == body


# webhooks at forges


def want(conn: Connection, wanted: str = "d1", token: str = "t1", now: Any = AT) -> None:
    forgehooks.want(
        conn, BOX, task="web", name="x@1", forge="github", repository="https://github.com/octo/web", wanted=wanted,
        secret={"token": token}, now=now,
    )  # fmt: skip


def test_a_webhook_is_wanted_made_changed_and_forgotten_with_its_token(database: Database) -> None:
    with database.write() as conn:
        want(conn)
        (hook,) = forgehooks.due(conn, now=AT)
        assert forgehooks.due(conn, now=later(1)) == []  # somebody is at it
        assert forgehooks.secret(conn, BOX, hook) == {"token": "t1"}
        forgehooks.made(conn, hook, "17", now=later(2))
        (made,) = forgehooks.every(conn, "web")
        assert (made.state, made.remote, made.next_at) == ("made", "17", None)
        want(conn, "d2", now=later(3))
        (changed,) = forgehooks.due(conn, now=later(3))
        assert (changed.state, changed.remote, changed.made) == ("waiting", "17", "d1")
        forgehooks.unwant(conn, changed, now=later(4))
        (removing,) = forgehooks.due(conn, now=later(4))
        assert (removing.state, removing.wanted) == ("removing", "")
        forgehooks.forget(conn, removing)
        assert forgehooks.every(conn) == []
        assert secrets.names(conn, "forge", "web/x@1") == []


def test_what_became_wanted_while_a_webhook_was_made_is_still_to_be_made(database: Database) -> None:
    with database.write() as conn:
        want(conn)
        (hook,) = forgehooks.due(conn, now=AT)
        want(conn, "d2", now=later(1))
        forgehooks.made(conn, hook, "17", now=later(2))
        forgehooks.failed(conn, hook, "too late", now=later(2))
        (after,) = forgehooks.due(conn, now=later(2))
        assert (after.state, after.remote, after.made, after.wanted, after.error) == ("waiting", "17", "d1", "d2", "")


def test_a_webhook_that_never_was_is_forgotten_at_once(database: Database) -> None:
    with database.write() as conn:
        want(conn)
        forgehooks.unwant(conn, forgehooks.every(conn)[0], now=AT)
        assert forgehooks.every(conn) == []


# statuses

CAUSE = {
    "kind": "push",
    "statusTo": "commits",
    "commitId": "c0ffee" * 6,
    "repositoryUrl": "https://github.com/octo/web",
}


def told(conn: Connection) -> list[tuple[str, str]]:
    return [(one.told, one.state) for one in statuses.page(conn, "web", top=50)[0][::-1]]


def of_push(conn: Connection, *more: dict[str, Any]) -> str:
    return queue.enqueue(conn, request(task="web", cause=(*more, CAUSE)), now=AT, box=BOX)[0].id


def test_each_change_of_a_run_is_told_once_in_the_transaction_that_makes_it(database: Database, tmp_path: Path) -> None:
    feeds = Feeds(database, tmp_path / "runs", Signals())
    with database.write() as conn:
        run = of_push(conn, {"kind": "timer"})
        worker(conn)
        held = lease(conn)
        assert told(conn) == [("queued", "waiting")]
    size = feeds.append("w1", run, held.epoch, 0, started(run), now=later(1))
    with database.write() as conn:
        assert told(conn) == [("queued", "superseded"), ("running", "waiting")]
        (one,) = statuses.due(conn, now=later(1))
        assert statuses.due(conn, now=later(2)) == []  # somebody is at it
        statuses.told(conn, one.number, now=later(1), ok=True, status=201)
    feeds.append("w1", run, held.epoch, size, finished(run, "Failed", message="step 'x' failed"), now=later(3))
    with database.write() as conn:
        assert told(conn)[1:] == [("running", "delivered"), ("failed", "waiting")]
        assert statuses.page(conn, "web")[0][0].description == "step 'x' failed"
        assert statuses.due(conn, now=later(4))[0].source == "commits"


def test_runs_that_no_forge_asked_for_are_not_told(database: Database) -> None:
    with database.write() as conn:
        enqueue(conn, task="web")
        queue.enqueue(conn, request(task="web", cause=({"kind": "push", "commitId": "a"},)), now=AT, box=BOX)
        assert told(conn) == []


def test_a_status_waits_ever_longer_is_dead_at_last_and_told_again(database: Database) -> None:
    with database.write() as conn:
        of_push(conn)
        now = AT
        for pause in statuses.PAUSES:
            (one,) = statuses.due(conn, now=now)
            statuses.told(conn, one.number, now=now, ok=False, status=500, error="no")
            assert statuses.due(conn, now=now + pause - timedelta(seconds=1)) == []
            now += pause
        (one,) = statuses.due(conn, now=now)
        statuses.told(conn, one.number, now=now, ok=False, status=500, error="no")
        assert told(conn) == [("queued", "dead")]
        statuses.replay(conn, "web", one.number, now=now)
        (one,) = statuses.due(conn, now=now)
        assert one.attempts == 0
        statuses.told(conn, one.number, now=now, ok=False, error="no token", final=True)
        assert told(conn) == [("queued", "dead")]
        with pytest.raises(NotFound):
            statuses.replay(conn, "other", one.number, now=now)
        assert statuses.prune(conn, before=now + timedelta(days=1)) == 1


def test_a_canceled_run_is_told_so_and_statuses_come_in_pages(database: Database) -> None:
    with database.write() as conn:
        run = of_push(conn)
        queue.cancel(conn, run, "not now", now=later(1))
        assert told(conn) == [("queued", "superseded"), ("canceled", "waiting")]
        first, cursor = statuses.page(conn, "web", top=1)
        rest, end = statuses.page(conn, "web", top=1, cursor=cursor)
        assert [one.told for one in (*first, *rest)] == ["canceled", "queued"]
        assert end is None
        assert [one.told for one in statuses.page(conn, "web", state="waiting")[0]] == ["canceled"]
    assert RunStatus.CANCELED.is_final
