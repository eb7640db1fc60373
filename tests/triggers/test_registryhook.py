"""Notifications of registries: who is believed, what is kept, and what is asked about because of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskengine.service.settings import ServerSettings
from taskengine.service.store import ledger, taskimages, tasks, watches
from taskengine.service.store.taskimages import Relation, TaskImage
from taskengine.serving import take_deliveries
from taskengine.watching import HOOK_TOKEN, Watching, rules_of
from taskengine.wiring import read_settings
from tests.registry.fake import Asked, Fake, Say
from tests.service.api.support import Api
from triggers.processor import process_due
from triggers.refusals import Refusals

TOKEN = "t0ken-of-the-hook"
BASE = "registry.example.com/base:1"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Door(Api):
    """A service with the door for registries, and with a task that stands on BASE."""

    def __init__(self, folder: Path, **environ: str) -> None:
        super().__init__(folder, ServerSettings(failed_logins=1000))
        self.refusals = Refusals(self.services)
        self.watching = Watching(self.services, read_settings({"HOME": str(folder), **environ}))
        take_deliveries(self.app, self.services, self.refusals)
        self.watching.take_notifications(self.app, self.refusals)
        with self.services.database.write() as conn:
            now = self.services.now()
            tasks.create(conn, "web", {"step": {}}, owner="ann", now=now)
            scan = taskimages.scan_of(conn, "web")
            assert scan is not None
            use = TaskImage(task="web", relation=Relation.USES, image=BASE, platform="linux/amd64", kind="runtime")
            taskimages.put(conn, scan, [use], revision=1, watching=True, now=now)
            watch = watches.get(conn, BASE)
            seen = {"digest": A, "platforms": {}}
            watches.settle(
                conn, watch, seen=seen, checked=now, changed=now, next_at=now.replace(year=now.year + 1), failures=0,
                error="",
            )  # fmt: skip

    def send(self, *events: dict[str, Any], product: str = "distribution", token: str = TOKEN, query: str = "") -> Any:
        body = json.dumps({"events": list(events)}).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.post(f"/hooks/registry/{product}{query}", content=body, headers=headers)

    def events(self) -> list[ledger.Event]:
        with self.services.database.read() as conn:
            return ledger.page(conn, ledger.Wanted(), top=100)[0]

    def due(self) -> list[watches.Watch]:
        with self.services.database.read() as conn:
            return watches.due(conn, now=self.services.now())

    def close(self) -> None:
        self.watching.stop()
        self.watching.close()
        super().close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path, **{HOOK_TOKEN: TOKEN})
    yield made
    made.close()


def push(digest: str = B, *, repository: str = "base", number: str = "e1", action: str = "push") -> dict[str, Any]:
    target = {"repository": repository, "tag": "1", "digest": digest}
    return {"id": number, "action": action, "target": target, "request": {"host": "registry.example.com"}}


def test_a_push_is_kept_and_its_image_is_due_before_it_is_acknowledged(door: Door) -> None:
    answer = door.send(push())
    assert (answer.status_code, answer.json()) == (202, {"event": 1, "new": True})
    (event,) = door.events()
    assert (event.source, event.state) == ("distribution", "noted")
    assert event.reason == f"{BASE}: its registry is asked at once"
    (watch,) = door.due()
    assert watch.told_by == {"kind": "registry", "event": 1}
    with door.services.database.read() as conn:
        (outcome,) = ledger.outcomes(conn, 1)
    assert outcome.facts == {"kind": "imagePush", "image": BASE, "digest": B}


def test_the_same_notification_is_kept_once(door: Door) -> None:
    assert door.send(push()).status_code == 202
    again = door.send(push())
    assert (again.status_code, again.json()) == (200, {"event": 1, "new": False})
    assert door.send(push(number="e2")).status_code == 202
    assert len(door.events()) == 2


def test_what_is_known_or_watched_by_nobody_is_kept_and_says_so(door: Door) -> None:
    door.send(push(A))
    door.send(push(repository="other", number="e2"))
    assert [(one.state, one.reason) for one in door.events()] == [
        ("ignored", "registry.example.com/other:1: no task watches it"), ("ignored", f"{BASE}: it is known already"),
    ]  # fmt: skip
    assert door.due() == []


def test_pulls_and_contents_without_a_tag_leave_nothing_in_the_ledger(door: Door) -> None:
    blob = push() | {"target": {"repository": "base", "digest": B}}
    answer = door.send(push(action="pull"), blob)
    assert (answer.status_code, answer.json()) == (200, {"event": None, "new": False})
    assert door.events() == []


def test_an_entry_that_is_no_image_holds_up_none_beside_it(door: Door) -> None:
    assert door.send(push(repository="..//x"), push(number="e2")).status_code == 202
    (event,) = door.events()
    assert event.state == "noted"
    assert event.reason.endswith("(and 1 more)")


@pytest.mark.parametrize("token", ["", "wrong"])
def test_who_does_not_know_the_token_leaves_a_count_and_nothing_else(door: Door, token: str) -> None:
    answers = [door.send(push(), token=token) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {401}
    assert door.due() == []
    assert door.events() == []
    door.refusals.flush()
    (event,) = door.events()
    assert (event.source, event.state, event.attempts) == ("distribution", "refused", 3)


def test_without_any_token_nobody_is_believed_and_a_new_one_goes_in_place_of_the_old(tmp_path: Path) -> None:
    door = Door(tmp_path)
    try:
        assert door.send(push(), token="").status_code == 401
        first = door.admin.post("/watches/token").json()["token"]
        assert door.send(push(), token=first).status_code == 202
        second = door.admin.post("/watches/token").json()["token"]
        assert door.send(push(number="e2"), token=first).status_code == 401
        assert door.send(push(number="e2"), token=second).status_code == 202
        with door.services.database.read() as conn:
            assert second.encode() not in b"".join(row[0] for row in conn.exec_driver_sql("SELECT sealed FROM secrets"))
    finally:
        door.close()


def test_products_that_send_no_header_prove_themselves_by_the_address(door: Door) -> None:
    body = {"repository": {"repo_name": "library/base"}, "push_data": {"tag": "1"}}
    wrong = door.client.post("/hooks/registry/dockerhub?token=x", json=body)
    right = door.client.post(f"/hooks/registry/dockerhub?token={TOKEN}", json=body)
    assert (wrong.status_code, right.status_code) == (401, 202)
    assert door.events()[0].reason == "docker.io/library/base:1: no task watches it"


def test_an_address_may_say_which_registry_it_is_for(door: Door) -> None:
    event = push() | {"request": {"host": "10.0.0.7:5000"}}
    assert door.send(event, query="?registry=registry.example.com").status_code == 202
    assert [one.image for one in door.due()] == [BASE]
    assert door.send(push(number="e2"), query="?registry=a b/c").status_code == 422


@pytest.mark.parametrize(("product", "body", "status"), [
    ("sourceforge", b"{}", 422), ("distribution", b"[", 422), ("distribution", b'{"a": 1}', 422), ("harbor", b"[]", 422),
    ("distribution", b" " * (2 << 20), 422),
])  # fmt: skip
def test_what_is_no_notification_is_refused_with_the_reason(door: Door, product: str, body: bytes, status: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = door.client.post(f"/hooks/registry/{product}", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert door.events() == []


def test_a_replayed_notification_lets_the_registry_be_asked_again(door: Door) -> None:
    event = push() | {"request": {"host": "10.0.0.7:5000"}}
    door.send(event, query="?registry=registry.example.com")
    with door.services.database.write() as conn:
        now = door.services.now()
        watches.settle(
            conn, watches.get(conn, BASE), seen=None, checked=now, changed=now,
            next_at=now.replace(year=now.year + 1), failures=0, error="",
        )  # fmt: skip
    assert door.due() == []
    assert door.admin.post("/events/1/replay").status_code == 200
    assert process_due(door.services) == 1
    assert [one.image for one in door.due()] == [BASE]
    assert door.events()[0].state == "noted"


def test_the_token_is_in_no_event(door: Door) -> None:
    door.send(push())
    shown = door.admin.get("/events/1").text
    assert TOKEN not in shown
    assert "authorization" not in shown.lower()


def test_the_servers_own_registry_is_asked_more_often_than_others() -> None:
    rules = rules_of(ServerSettings(registry="registry.example.com/team", image_poll_reserve_percent=25))
    assert rules.pace("registry.example.com").shortest.total_seconds() == 60
    assert rules.pace("docker.io").shortest.total_seconds() == 600
    assert rules.reserve == 0.25


def test_a_registry_that_hangs_does_not_hold_up_the_service_s_end(tmp_path: Path) -> None:
    hang, asked = threading.Event(), threading.Event()

    def answer(_: Asked) -> Say:
        asked.set()
        return Say(hang=hang)

    server, door = Fake(answer), Door(tmp_path)
    try:
        with door.services.database.write() as conn:
            now = door.services.now()
            scan = taskimages.scan_of(conn, "web")
            assert scan is not None
            use = TaskImage(task="web", relation=Relation.USES, image=f"{server.name}/base:1", platform="linux/amd64")
            taskimages.put(conn, scan, [use], revision=1, watching=True, now=now)
        images = next(duty for duty in door.watching.duties if duty.name == "images")
        assert images.work() == 1
        assert asked.wait(30)
        began = time.monotonic()
    finally:
        door.close()
        took = time.monotonic() - began
        hang.set()
        server.close()
    assert took < 10  # a check may take 30 s
