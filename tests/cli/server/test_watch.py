"""`acr-task watches` against a real service."""

from __future__ import annotations

import json
from collections.abc import Callable

from taskengine.service.store import taskimages, tasks, watches
from taskengine.service.store.taskimages import Relation, TaskImage
from tests.cli.conftest import Outcome
from tests.cli.server.conftest import Server

Cli = Callable[..., Outcome]
ALPINE = "docker.io/library/alpine:3"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def stored(server: Server, *, watching: bool = True) -> None:
    with server.services.database.write() as conn:
        now = server.services.now()
        tasks.create(conn, "app", {"step": {}}, owner="ann", now=now)
        scan = taskimages.scan_of(conn, "app")
        assert scan is not None
        use = TaskImage(
            task="app", relation=Relation.USES, image=ALPINE, platform="linux/amd64", kind="runtime", digest=A
        )
        error = "" if watching else "its repository is away"
        taskimages.put(conn, scan, [use], revision=1, watching=watching, now=now, error=error)
        if watching:
            watches.settle(
                conn, watches.get(conn, ALPINE), seen={"digest": B, "platforms": {}}, checked=now, changed=now,
                next_at=now, failures=1, error="no answer",
            )  # fmt: skip


def test_watched_images_are_listed_with_their_checks(cli: Cli, logged_in: Server) -> None:
    stored(logged_in)
    head, row = cli("watches", "list").out.splitlines()
    assert head.replace("NEXT CHECK", "NEXT-CHECK").split() == [
        "IMAGE", "DIGEST", "CHECKED", "NEXT-CHECK", "TASKS", "ERROR",
    ]  # fmt: skip
    assert row.split()[:2] == [ALPINE, B[:19]]
    assert row.split()[-3:] == ["1", "no", "answer"]
    assert json.loads(cli("watches", "list", "--failing", "-o", "json").out)[0]["failures"] == 1
    assert cli("watches", "list", "-n", "other", "-o", "json").out == "[]\n"


def test_a_task_shows_the_digest_it_used_beside_the_one_of_now(cli: Cli, logged_in: Server) -> None:
    stored(logged_in)
    _, row = cli("watches", "task", "app").out.splitlines()
    assert row.split()[:6] == ["uses", ALPINE, "runtime", "linux/amd64", A[:19], B[:19]]


def test_what_keeps_a_task_from_being_started_is_said(cli: Cli, logged_in: Server) -> None:
    stored(logged_in, watching=False)
    done = cli("watches", "task", "app")
    assert "warning: its repository is away" in done.err
    assert "does not start this task" in done.err
    assert cli("watches", "task", "nobody").code == 2


def test_the_hooks_token_is_printed_alone(cli: Cli, logged_in: Server) -> None:
    done = cli("watches", "token")
    assert len(done.out.strip()) >= 40
    assert done.out.count("\n") == 1
    assert "shown this once" in done.err


def test_an_image_is_asked_about_on_request(cli: Cli, logged_in: Server) -> None:
    stored(logged_in)
    assert cli("watches", "check", "alpine:3").out == f"{ALPINE} is asked about; see acr-task watches list\n"
    assert "no task watches" in cli("watches", "check", "debian:12").err
