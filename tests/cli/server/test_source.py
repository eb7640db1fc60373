"""`acr-task task sources` and `task statuses` against a real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from taskengine.service.store import forgehooks, heads
from taskengine.service.store.heads import Repository
from taskengine.service.store.tables import commit_statuses
from tests.cli.conftest import Outcome
from tests.cli.server.conftest import Server
from triggers.answers import Answers

Cli = Callable[..., Outcome]
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://gitlab.example.com/team/app.git"


def test_sources_and_statuses_are_shown_and_tried_again(cli: Cli, logged_in: Server) -> None:
    logged_in.services.triggers = Answers()
    made = cli("task", "create", "-n", "app", "-c", f"{URL}#main", "-f", "acb.yaml", "--commit-trigger-enabled", "true")
    assert made.code == 0, made.err
    later = AT + timedelta(minutes=5)
    with logged_in.services.database.write() as conn:
        row = Repository(repository="gitlab.example.com/team/app", scope={"app": "x"}, checked=AT, next_at=later)
        heads.put(conn, row)
        forgehooks.want(
            conn, logged_in.services.box, task="app", name="x@1", forge="gitlab", repository=URL, wanted="d",
            secret={}, now=AT,
        )  # fmt: skip
        (hook,) = forgehooks.every(conn)
        forgehooks.failed(conn, hook, "the forge answered 403", now=AT)
        values = {
            "run": "ca1",
            "task": "app",
            "source": "x",
            "repository": URL,
            "commit_id": "c0ffee" * 5,
            "attempts": 9,
        }
        values |= {"told": "failed", "description": "", "state": "dead", "status": 404, "error": "gone", "created": AT}
        conn.execute(commit_statuses.insert().values(**values, next_at=None, done=AT))
    head, line = cli("task", "sources", "-n", "app").out.splitlines()
    assert head.split()[:3] == ["TRIGGER", "STATUS", "LAST"]
    for word in ("2026-11-24T12:00:00Z", "2026-11-24T12:05:00Z", "waiting", "the forge answered 403"):
        assert word in line
    shown = json.loads(cli("task", "sources", "-n", "app", "--retry", "-o", "json").out)
    assert shown[0]["polling"]["nextCheck"] > "2026-11-24T12:05:00Z"[:4]
    head, line = cli("task", "statuses", "-n", "app", "--state", "dead").out.splitlines()
    assert line.split() == ["1", "ca1", "c0ffeec0ffee", "failed", "dead", "9", "gone"]
    assert cli("task", "statuses", "-n", "app", "--replay", "1", "-o", "tsv").out.split()[:6][-2:] == ["waiting", "0"]
    assert cli("task", "sources", "-n", "nothing").code == 2
