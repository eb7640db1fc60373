"""Every route, tried as every role: the table says who may, and nothing else decides."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from taskengine.service.api.access import ACCESS, PUBLIC, UNSCOPED, V1
from taskengine.service.api.app import ROUTERS
from taskengine.service.model import Role
from taskengine.service.settings import ServerSettings
from tests.service.api.support import Api

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
