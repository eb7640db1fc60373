"""Every route, tried as every role: the table says who may, and nothing else decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from taskengine.service.api.access import ACCESS, PUBLIC, UNSCOPED, V1
from taskengine.service.api.app import ROUTERS
from taskengine.service.model import Role
from taskengine.service.settings import ServerSettings
from taskengine.service.store.tables import tokens
from tests.service.api.support import TEXT, Api, Caller, Hand, begun

ROUTES = sorted(
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
)
PROTECTED = [route for route in ROUTES if route not in PUBLIC]
OF_ADMINS = {route for route, roles in ACCESS.items() if Role.ADMIN in roles}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One service for all of these tests: none of them leaves anything behind."""
    made = Api(tmp_path_factory.mktemp("service"), ServerSettings(failed_logins=100_000))
    try:
        yield made
    finally:
        made.close()


def test_a_workers_token_opens_nothing_that_is_another_workers(tmp_path: Path) -> None:
    """Every route of the protocol, with the token of a stranger, while the owner's goes on to open it."""
    api = Api(tmp_path, ServerSettings(failed_logins=100_000))
    try:
        hand = Hand(api, "builder-1")
        stranger = Hand(api, "builder-2").caller
        run = api.developer.post("/runs", {"text": TEXT}).json()["runId"]
        held = hand.lease()
        assert held is not None
        routes = [route for route in PROTECTED if ACCESS[route] == {Role.WORKER}]
        assert len(routes) == 7
        before = api.reader.get(f"/runs/{run}").json(), api.reader.get("/workers").json()
        for method, path in routes:
            place = path.replace("{worker}", hand.id).replace("{run}", run)
            body = {
                "/workers": {"name": "builder-1"},
                "/heartbeat": {"state": "draining"},
                "/lease": {"wait": 0},
                "/release": {"epoch": held["epoch"]},
            }.get(path.removeprefix(V1).replace("/workers/{worker}", "").replace("/runs/{run}", "") or "/workers")
            answer = api.client.request(
                method, place, headers={**stranger.headers, "Upload-Offset": "0", "X-Epoch": str(held["epoch"])},
                json=body, params={"epoch": held["epoch"]} if method == "GET" else None,
            )  # fmt: skip
            assert answer.status_code == 403, f"{method} {path}: {answer.text}"
            problem = answer.json()
            assert problem["detail"] == "this token speaks for the worker builder-2, and not for builder-1"
            assert "--role worker --worker builder-1" in problem["hint"]
        after = api.reader.get(f"/runs/{run}").json(), api.reader.get("/workers").json()
        assert after == before, "nothing was changed by any of it"
        assert hand.append(run, held["epoch"], 0, begun(api, run, "hello")).status_code == 204
    finally:
        api.close()


def test_a_new_token_cannot_take_the_name_of_a_worker_that_has_one(api: Api) -> None:
    Hand(api, "builder-7")
    fresh = api.caller(Role.WORKER, name="fresh")
    answer = fresh.post("/workers", {"name": "builder-7"})
    assert answer.status_code == 403
    assert answer.json()["detail"] == "the worker builder-7 has a token of its own, and this is another"
    assert fresh.post("/workers", {"name": "builder-8"}).status_code == 200, "and it is still free for another"


def test_a_token_may_be_made_for_a_worker_and_replaces_an_old_one_when_it_is(api: Api) -> None:
    hand = Hand(api, "builder-9")
    made = api.admin.post("/tokens", {"name": "b9", "role": "worker", "worker": "builder-9"}).json()
    assert made["worker"] == "builder-9"
    again = Caller(api.client, made["token"])
    assert again.post("/workers", {"name": "builder-9"}).json()["id"] == hand.id
    assert again.post("/workers", {"name": "builder-10"}).status_code == 403


def test_a_token_from_before_is_bound_by_its_next_use_whatever_that_is(api: Api) -> None:
    hand = Hand(api, "builder-11")
    with api.services.database.write() as conn:
        conn.execute(tokens.update().values(worker=""))  # as a database of an earlier version has it
    assert hand.beat()["drain"] is False
    assert hand.caller.post("/workers", {"name": "builder-12"}).status_code == 403
    audited = api.operator.get("/audit").json()["value"]
    assert ("token.bind", "builder-11") in [(one["action"], one["detail"].get("worker")) for one in audited]


def test_only_a_workers_token_is_for_a_worker(api: Api) -> None:
    answer = api.admin.post("/tokens", {"name": "x", "role": "reader", "worker": "builder-1"})
    assert answer.status_code == 422
    assert "speaks for no worker" in answer.json()["detail"]


def concrete(path: str) -> str:
    """A path of something that is not there."""
    return re.sub(r"\{number\}", "1", re.sub(r"\{(name|run|upload|token|hook|worker)\}", "nobody", path))


def test_every_route_stands_in_the_table_and_nothing_else_does() -> None:
    assert {*ACCESS, *PUBLIC} - {("GET", "/openapi.json")} == set(ROUTES)


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
@pytest.mark.parametrize("route", PROTECTED, ids=" ".join)
def test_a_route_opens_for_the_roles_of_the_table_only(api: Api, route: tuple[str, str], role: Role) -> None:
    method, path = route
    caller = getattr(api, role.value)
    body = {} if method in ("POST", "PUT", "PATCH") else None
    if path.endswith("/lease"):
        body = {"wait": 0.0}
    answer = api.client.request(method, concrete(path), headers=caller.headers, json=body)
    if role in ACCESS[route]:
        assert answer.status_code not in (401, 403, 405), answer.text
    else:
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "forbidden"


@pytest.mark.parametrize("route", PROTECTED, ids=" ".join)
@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer acrt_x_y"])
def test_without_a_good_token_nothing_opens(api: Api, route: tuple[str, str], token: str | None) -> None:
    headers = {} if token is None else {"Authorization": token}
    answer = api.client.request(route[0], concrete(route[1]), headers=headers, json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "unauthorized"


@pytest.mark.parametrize("route", sorted(PUBLIC), ids=" ".join)
def test_public_routes_need_no_token(api: Api, route: tuple[str, str]) -> None:
    assert api.client.request(*route).status_code == 200


@pytest.mark.parametrize("route", sorted(UNSCOPED & OF_ADMINS), ids=" ".join)
def test_a_token_that_is_bound_to_some_tasks_does_nothing_to_the_server(api: Api, route: tuple[str, str]) -> None:
    caller = api.caller(Role.ADMIN, name="bound", scopes=("team-*",))
    answer = api.client.request(route[0], concrete(route[1]), headers=caller.headers, json={})
    assert answer.status_code == 403
    assert "bound to some tasks" in answer.json()["detail"]


def test_public_routes_tell_no_names(api: Api) -> None:
    api.admin.post("/runs", {"text": "steps:\n  - cmd: bash\n", "registry": "hidden.example.com", "taskName": "hidden"})
    assert "hidden" not in api.client.get("/metrics").text
    assert not any(path.startswith(V1) for _, path in PUBLIC)
