"""`acr-task events` against a real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from taskengine.service.store import ledger, taskimages
from tests.cli.conftest import Outcome
from tests.cli.server.conftest import Server
from triggers.answers import Answers

Cli = Callable[..., Outcome]
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def came(server: Server, state: str, reason: str, *, run: str = "") -> int:
    with server.services.database.write() as conn:
        event, _ = ledger.record(conn, source="github", task="web", headers={}, body=b'{"a": 1}', now=AT)
        facts = {"kind": "push", "event": event.number, "commitId": "c0ffee", "branchName": "main"}
        outcome, _ = ledger.claim(conn, event.number, task="web", key=f"{event.number}", facts=facts, now=AT)
        ledger.conclude(conn, outcome, state, reason, run=run)
        ledger.settle(conn, event.number, state, reason, now=AT)
    return event.number


def test_events_are_listed_in_columns(cli: Cli, logged_in: Server) -> None:
    came(logged_in, "ignored", "the trigger is disabled")
    came(logged_in, "queued", "ca1: a push to main", run="ca1")
    head, first, second = cli("events", "list").out.splitlines()
    assert head.split() == ["EVENT", "SOURCE", "TASK", "STATE", "RECEIVED", "REASON"]
    assert first.split()[:5] == ["2", "github", "web", "queued", "2026-11-24T12:00:00Z"]
    assert second.endswith("the trigger is disabled")
    assert len(json.loads(cli("events", "list", "--state", "ignored", "-o", "json").out)) == 1
    assert cli("events", "list", "--top", "1", "-n", "web", "-o", "tsv").out.count("\n") == 1


def test_an_event_is_shown_in_words_and_whole_as_data(cli: Cli, logged_in: Server) -> None:
    number = came(logged_in, "queued", "ca1: a push to main", run="ca1")
    done = cli("events", "show", str(number))
    assert done == Outcome(
        0,
        "event 1 from github for web, received 2026-11-24T12:00:00Z\n"
        "  queued: ca1: a push to main\n"
        "  web: queued as ca1, ca1: a push to main\n"
        "    branchName: main\n"
        "    commitId: c0ffee\n",
        "",
    )
    assert json.loads(cli("events", "show", "1", "-o", "json").out)["body"] == '{"a": 1}'
    assert cli("events", "show", "99").code == 2
    assert "there is no event 99" in cli("events", "show", "99").err


def test_an_event_is_replayed_and_says_so_later(cli: Cli, logged_in: Server) -> None:
    number = came(logged_in, "failed", "away")
    done = cli("events", "replay", str(number))
    assert (done.code, done.err) == (0, f"event {number} is worked on again\n")
    assert cli("events", "replay", str(number)).code == 2
    assert "\n  replay by admin-" in cli("events", "show", str(number)).out


class Decisions:
    def __init__(self) -> None:
        self.refused: list[tuple[int, str]] = []

    def approve(self, services: Any, caller: Any, number: int) -> None:
        del caller
        with services.database.write() as conn:
            ledger.note(conn, number, task="web", state="waiting", reason="away", facts={}, now=AT)
            if number == 1:
                outcome, _ = ledger.claim(conn, number, task="web", key="now", facts={}, now=AT)
                ledger.conclude(conn, outcome, "queued", "approved", run="ca7")

    def refuse(self, services: Any, caller: Any, number: int, *, reason: str) -> None:
        del services, caller
        self.refused.append((number, reason))


@pytest.mark.usefixtures("logged_in")
def test_what_waits_is_approved_or_refused(cli: Cli, idle: Server) -> None:
    idle.services.triggers = decisions = Decisions()
    one, two = came(idle, "waiting", "a fork"), came(idle, "waiting", "a fork")
    assert cli("events", "approve", str(one)) == Outcome(0, "ca7\n", "")
    done = cli("events", "approve", str(two))
    assert done.code == 2
    assert "started nothing" in done.err
    assert cli("events", "refuse", str(two), "--reason", "not ours").err == f"event {two} is refused\n"
    assert decisions.refused == [(two, "not ours")]


@pytest.mark.usefixtures("logged_in")
def test_a_run_is_explained(cli: Cli, idle: Server) -> None:
    idle.services.triggers = Answers()
    cli("run", "--no-wait", "--cmd", "alpine:3 true", "/dev/null")
    head, cause = cli("explain", "ca1").out.splitlines()
    assert head.startswith("run ca1 of admin-")
    assert "asked for it, without a stored task" in cause
    assert json.loads(cli("explain", "ca1", "-o", "json").out)["causes"][0]["kind"] == "manual"
    assert cli("explain", "ca2").code == 2


@pytest.mark.usefixtures("logged_in")
def test_the_servers_tasks_are_drawn(cli: Cli, idle: Server) -> None:
    idle.services.triggers = Answers()
    assert cli("graph") == Outcome(0, "", "")
    cli("task", "create", "-n", "app", "-c", "https://github.com/team/app.git", "-f", "Dockerfile", "-t", "app:1")
    used = taskimages.TaskImage(task="app", relation=taskimages.Relation.USES, image="docker.io/library/alpine:3")
    made = taskimages.TaskImage(task="app", relation=taskimages.Relation.MAKES, image="r.example.com/app:1")
    with idle.services.database.write() as conn:
        scan = taskimages.scan_of(conn, "app")
        assert scan is not None
        taskimages.put(conn, scan, [used, made], revision=1, watching=True, now=AT)
    assert cli("graph").out == "app\n  on      alpine:3\n  makes   r.example.com/app:1\n"
    assert '(["alpine:3"])' in cli("graph", "-o", "mermaid").out
    assert cli("graph", "-o", "svg").out.startswith("<svg")
    assert json.loads(cli("graph", "-o", "json").out)["tasks"][0]["watching"]
    done = cli("graph", "--all")
    assert done.code == 2
    assert "no file was named" in done.err


@pytest.mark.usefixtures("logged_in")
def test_a_change_is_simulated_on_the_server(cli: Cli, idle: Server) -> None:
    idle.services.triggers = Answers()
    url = "https://github.com/team/app.git"
    cli("task", "create", "-n", "app", "-c", f"{url}#main", "-f", "acb.yaml", "--commit-trigger-enabled",
        "--schedule", "0 3 * * *")  # fmt: skip
    assert cli("simulate", "--push", url, "main").out.splitlines() == [
        f"if refs/heads/main of {url} has a new commit:",
        "",
        "LEVEL  TASK  WAITS FOR  WHY",
        "0      app              a push to main; the forge did not tell the changed files",
        "",
        "note: no changed files were named, so that filters for paths let it pass",
    ]
    assert cli("simulate", "--push", url, "dev", "-o", "tsv").out.startswith(
        "held: filter\tapp\t\tthe event is of the branch"
    )
    at = json.loads(cli("simulate", "--at", "2026-11-25T03:00:00Z", "-o", "json").out)
    assert [one["task"] for one in at["runs"]] == ["app"]
    assert "no task would run" in cli("simulate", "--image", "alpine:3").out
    for args in ([], ["--at", "x"], ["--image", "a", "--at", "2026-11-25T03:00:00Z"], ["--image", "a", "--path", "x"],
                 ["--at", "2026-11-25T03:00:00Z", "x.yaml"], ["--image", "a", "--all"]):  # fmt: skip
        assert cli("simulate", *args).code == 2
