"""`acr-task waves` against a real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from taskengine.service.store import waves
from taskengine.service.store.waves import StoredMember
from tests.cli.conftest import Outcome
from tests.cli.server.conftest import Server

Cli = Callable[..., Outcome]
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALPINE = "docker.io/library/alpine:3"


def opened(server: Server) -> int:
    entry = {"image": ALPINE, "digest": "sha256:1", "event": 7, "at": AT.isoformat()}
    members = (
        StoredMember(task="top", level=0, images=(ALPINE,), state="changed", run="ca1", reason="ca1 pushed top:1"),
        StoredMember(task="end", level=1, parents=("top",), state="started"),
    )
    plan = {"cycles": [["top", "end"]], "leftOut": 3, "levels": 2}
    with server.services.database.write() as conn:
        return waves.begin(conn, event=7, images=[entry], plan=plan, members=members, now=AT)


def test_waves_are_listed_with_how_far_they_are(cli: Cli, logged_in: Server) -> None:
    opened(logged_in)
    head, row = cli("waves", "list").out.splitlines()
    assert head.split() == ["WAVE", "STATE", "OPENED", "IMAGES", "TASKS"]
    assert row.split() == ["1", "open", "2026-11-24T12:00:00Z", ALPINE, "1", "ready,", "1", "changed"]
    assert cli("waves", "list", "--state", "over", "-o", "json").out == "[]\n"


def test_a_wave_is_shown_task_by_task_with_what_is_to_be_known_of_it(cli: Cli, logged_in: Server) -> None:
    done = cli("waves", "show", str(opened(logged_in)))
    head, top, end = done.out.splitlines()
    assert head.replace("WAITS FOR", "WAITS-FOR").split() == ["LEVEL", "TASK", "STATE", "RUN", "WAITS-FOR", "REASON"]
    assert top.split() == ["0", "top", "changed", "ca1", "ca1", "pushed", "top:1"]
    assert end.split() == ["1", "end", "ready", "top"]
    assert f"wave 1 is open, began with {ALPINE} at sha256:1 (event 7)" in done.err
    assert "each is rebuilt once: top, end" in done.err
    assert "3 more tasks are left out" in done.err
    assert json.loads(cli("waves", "show", "1", "-o", "json").out)["members"][0]["run"] == "ca1"


def test_a_wave_that_is_not_there_is_said(cli: Cli, logged_in: Server) -> None:
    done = cli("waves", "show", "9")
    assert (done.code, "there is no wave 9" in done.err) == (2, True)
