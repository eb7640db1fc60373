"""Watched images over HTTP: who sees which, what is known of each, and the token of the registries' hook."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from taskengine.service.model import Role
from taskengine.service.settings import ServerSettings
from taskengine.service.store import audit, taskimages, tasks, watches
from taskengine.service.store.taskimages import Relation, TaskImage
from taskengine.service.watches import hook_token
from tests.service.api.support import Api, inline

ALPINE, PRIVATE = "docker.io/library/alpine:3", "registry.example.com/private:1"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
AMD64 = "linux/amd64"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path, ServerSettings(failed_logins=1000))
    stands(made, "app", ALPINE, digest=A)
    stands(made, "other", ALPINE, PRIVATE)
    with made.services.database.write() as conn:
        now = made.services.now()
        seen = {"digest": B, "platforms": {AMD64: A}}
        when: dict[str, Any] = {"checked": now, "changed": now, "next_at": now + timedelta(hours=1)}
        watches.settle(conn, watches.get(conn, ALPINE), seen=seen, failures=0, error="", **when)
        failed: dict[str, Any] = {"checked": now, "changed": None, "next_at": now + timedelta(minutes=2)}
        watches.settle(conn, watches.get(conn, PRIVATE), seen=None, failures=1, error="it wants a login", **failed)
    try:
        yield made
    finally:
        made.close()


def stands(api: Api, name: str, *images: str, digest: str = "") -> None:
    with api.services.database.write() as conn:
        now = api.services.now()
        tasks.create(conn, name, {"step": {}}, owner="ann", now=now)
        scan = taskimages.scan_of(conn, name)
        assert scan is not None
        found = [
            TaskImage(task=name, relation=Relation.USES, image=image, platform=AMD64, kind="runtime", digest=digest)
            for image in images
        ]
        found.append(TaskImage(task=name, relation=Relation.UNWATCHED, image="x@sha256:1", reason="it cannot change"))
        taskimages.put(conn, scan, found, revision=1, watching=True, now=now, error="step b: not here")


def test_each_image_is_listed_once_with_what_is_known_of_it(api: Api) -> None:
    answer = api.reader.get("/watches").json()
    alpine, private = answer["value"]
    assert (alpine["image"], alpine["tasks"], alpine["changes"]) == (ALPINE, 2, 1)
    assert alpine["seen"] == {"digest": B, "platforms": {AMD64: A}}
    assert alpine["checked"] < alpine["nextCheck"]
    assert (private["seen"], private["failures"], private["error"]) == (None, 1, "it wants a login")
    assert answer["nextCursor"] is None


def test_pages_tasks_and_failures_narrow_the_list(api: Api) -> None:
    first = api.reader.get("/watches?top=1").json()
    rest = api.reader.get(f"/watches?top=1&cursor={first['nextCursor']}").json()
    assert [one["image"] for one in (*first["value"], *rest["value"])] == [ALPINE, PRIVATE]
    assert [one["image"] for one in api.reader.get("/watches?failing=true").json()["value"]] == [PRIVATE]
    (found,) = api.reader.get("/watches?task=app").json()["value"]
    assert (found["image"], found["tasks"]) == (ALPINE, 1)


def test_a_token_that_is_bound_to_some_tasks_sees_their_images_only(api: Api) -> None:
    bound = api.caller(Role.READER, name="bound", scopes=("app",))
    (found,) = bound.get("/watches").json()["value"]
    assert (found["image"], found["tasks"]) == (ALPINE, 1)
    assert bound.get("/watches?task=other").status_code == 404
    assert bound.get("/tasks/other/images").status_code == 404
    assert bound.get("/tasks/app/images").status_code == 200


def test_a_task_shows_what_it_stands_on_and_what_could_not_be_read(api: Api) -> None:
    found = api.reader.get("/tasks/app/images").json()
    assert (found["watching"], found["revision"], found["error"]) == (True, 1, "step b: not here")
    unwatched, used = found["images"]
    assert (used["relation"], used["type"], used["digest"], used["watch"]["seen"]["digest"]) == (
        "uses",
        "runtime",
        A,
        B,
    )
    assert (unwatched["reason"], unwatched["watch"]) == ("it cannot change", None)


def test_a_task_that_nobody_looked_at_yet_shows_so(api: Api) -> None:
    assert api.admin.post("/tasks", inline("new")).status_code == 201
    found = api.reader.get("/tasks/new/images").json()
    assert (found["watching"], found["revision"], found["scanned"], found["images"]) == (False, 0, None, [])
    assert api.reader.get("/tasks/nobody/images").status_code == 404


def test_the_hooks_token_is_made_by_admins_and_stands_in_the_audit_log_without_its_text(api: Api) -> None:
    assert api.operator.post("/watches/token").status_code == 403
    token = api.admin.post("/watches/token").json()["token"]
    assert hook_token(api.services) == token
    assert api.admin.post("/watches/token").json()["token"] != token
    with api.services.database.read() as conn:
        entries, _ = audit.page(conn)
    made = [one for one in entries if one.action == "registryhook.token"]
    assert len(made) == 2
    assert token not in str(made)
    assert 'acr_task_watches{state="failing"} 1.0' in api.client.get("/metrics").text


def test_an_image_can_be_asked_about_now_by_those_whose_tasks_stand_on_it(api: Api) -> None:
    def due() -> list[str]:
        with api.services.database.read() as conn:
            return [one.image for one in watches.due(conn, now=api.services.now())]

    assert due() == []
    bound = api.caller(Role.DEVELOPER, name="bound", scopes=("app",))
    assert bound.post("/watches/check", {"image": PRIVATE}).status_code == 404
    assert api.reader.post("/watches/check", {"image": PRIVATE}).status_code == 403
    answer = bound.post("/watches/check", {"image": "alpine:3"})
    assert (answer.status_code, answer.json()) == (202, {"image": ALPINE})
    assert due() == [ALPINE]
    assert api.developer.post("/watches/check", {"image": "debian:12"}).status_code == 404
    assert api.developer.post("/watches/check", {"image": "no name"}).status_code == 422
