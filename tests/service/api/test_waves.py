"""Waves over HTTP: who sees which, pages, and what one shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from taskengine.service.model import Role
from taskengine.service.store import waves
from taskengine.service.store.waves import StoredMember
from tests.service.api.support import Api

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ALPINE = "docker.io/library/alpine:3"


def opened(api: Api, *members: StoredMember, **plan: Any) -> int:
    entry = {"image": ALPINE, "digest": "sha256:1", "event": 7, "at": AT.isoformat()}
    with api.services.database.write() as conn:
        return waves.begin(
            conn,
            event=7,
            images=[entry],
            plan={"cycles": [], "leftOut": 0, "levels": 2} | plan,
            members=members,
            now=AT,
        )


DIAMOND = (
    StoredMember(task="top", level=0, images=(ALPINE,), state="changed", run="ca1", reason="ca1 pushed top:1"),
    StoredMember(task="web-left", level=1, parents=("top",), state="started"),
    StoredMember(task="web-right", level=1, parents=("top",), state="started", run="ca2"),
    StoredMember(task="end", level=2, parents=("web-left", "web-right"), state="waiting"),
)


def test_a_wave_is_shown_with_its_tasks_in_their_order(api: Api) -> None:
    number = opened(api, *DIAMOND)
    found = api.reader.get(f"/waves/{number}").json()
    members = found.pop("members")
    assert found == {
        "number": number, "state": "open", "event": 7, "opened": "2026-11-24T12:00:00Z", "ended": None,
        "images": [{"image": ALPINE, "digest": "sha256:1", "event": 7, "at": "2026-11-24T12:00:00Z"}], "levels": 2,
        "tasks": {"changed": 1, "ready": 1, "started": 1, "waiting": 1}, "cycles": [], "leftOut": 0,
    }  # fmt: skip
    assert [(one["task"], one["state"], one["run"]) for one in members] == [
        ("top", "changed", "ca1"),
        ("web-left", "ready", None),
        ("web-right", "started", "ca2"),
        ("end", "waiting", None),
    ]
    assert members[0]["reason"] == "ca1 pushed top:1"
    assert members[3]["parents"] == ["web-left", "web-right"]
    assert api.reader.get("/waves/999").status_code == 404


def test_waves_are_listed_the_newest_first_in_pages_and_by_state(api: Api) -> None:
    made = [opened(api, *DIAMOND) for _ in range(3)]
    with api.services.database.write() as conn:
        waves.close(conn, made[0], now=AT)
    first = api.reader.get("/waves?top=2").json()
    assert [one["number"] for one in first["value"]] == [made[2], made[1]]
    assert "members" not in first["value"][0]
    rest = api.reader.get(f"/waves?cursor={first['nextCursor']}").json()
    assert ([one["number"] for one in rest["value"]], rest["nextCursor"]) == ([made[0]], None)
    over = api.reader.get("/waves?state=over").json()["value"]
    assert [(one["number"], one["ended"]) for one in over] == [(made[0], "2026-11-24T12:00:00Z")]
    assert api.reader.get("/waves?state=lost").status_code == 422


def test_a_token_of_some_tasks_sees_their_part_of_the_waves(api: Api) -> None:
    mine = opened(api, *DIAMOND, cycles=[["top", "web-left"], ["top", "end"]])
    other = opened(api, DIAMOND[0])
    bound = api.caller(Role.READER, scopes=("web-*",))
    assert [one["number"] for one in bound.get("/waves").json()["value"]] == [mine]
    found = bound.get(f"/waves/{mine}").json()
    assert [(one["task"], one["parents"]) for one in found["members"]] == [("web-left", []), ("web-right", [])]
    assert (found["tasks"], found["cycles"]) == ({"ready": 1, "started": 1}, [["web-left"]])
    assert bound.get(f"/waves/{other}").status_code == 404


def test_old_waves_go_with_the_events(api: Api) -> None:
    opened(api, *DIAMOND)
    over = opened(api, *DIAMOND)
    with api.services.database.write() as conn:
        waves.close(conn, over, now=AT)
        assert waves.prune(conn, before=datetime(2026, 11, 25, tzinfo=UTC)) == 1
        assert [one.number for one in waves.open_ones(conn)] == [1]
        assert waves.members(conn, over) == []
