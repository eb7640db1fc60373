"""Who calls: the token of each request, checked against the table of routes before anything else happens.

Wrong tokens are counted by the address that they come from; too many close the door for a minute.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from taskengine.service.api.access import ACCESS, UNSCOPED
from taskengine.service.caller import Caller
from taskengine.service.model import Role, Token
from taskengine.service.refusal import Forbidden, TooOften, Unauthorized
from taskengine.service.services import Services
from taskengine.service.store import Connection, tokens, workers

_WINDOW = 60.0
_MOST_ADDRESSES = 10_000
_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token: `Authorization: Bearer acrt_...`")
_LOG_IN = "acr-task login, or send Authorization: Bearer TOKEN"


class FailedLogins:
    """Counts wrong tokens by address, within a minute. Thread-safe; remembers the newest addresses only."""

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        self._most = most
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises TooOften."""
        with self._lock:
            times = self._recent(address)
            if len(times) >= self._most:
                seconds = max(1, round(times[0] + _WINDOW - self._monotonic()))
                raise TooOften(
                    "too many wrong tokens came from this address", seconds=seconds, hint=f"wait {seconds} seconds"
                )

    def note(self, address: str) -> None:
        with self._lock:
            times = [*self._recent(address), self._monotonic()]
            self._seen[address] = times[-self._most :]
            self._seen.move_to_end(address)
            while len(self._seen) > _MOST_ADDRESSES:
                self._seen.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self._monotonic() - _WINDOW
        return [at for at in self._seen.get(address, ()) if at > since]


def services_of(request: Request) -> Services:
    found = request.app.state.services
    assert isinstance(found, Services)  # noqa: S101 - put there by make_app
    return found


def route_key(request: Request) -> tuple[str, str]:
    """The route that was taken, as the table names it."""
    return request.method, str(request.scope["route"].path)


def authorize(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """The caller, if it may use this route. Raises Unauthorized, Forbidden, TooOften."""
    services = services_of(request)
    failed: FailedLogins = request.app.state.failed_logins
    address = request.client.host if request.client else ""
    if credentials is None or not credentials.credentials:
        raise Unauthorized("this needs a token", hint=_LOG_IN)
    failed.check(address)
    now = services.now()
    with services.database.read() as conn:
        token = tokens.check(conn, credentials.credentials, now=now)
        stale = token is not None and tokens.needs_touch(conn, token.id, now=now)
        spoken_for = workers.name_of(conn, request.path_params.get("worker", "")) if _is_worker(token) else ""
    if token is None:
        failed.note(address)
        raise Unauthorized("this token is not known, has expired or was revoked", hint=_LOG_IN)
    if stale:
        services.database.transact(lambda conn: tokens.touch(conn, token.id, now=now))
    caller = Caller.of(token)
    key = route_key(request)
    if caller.role not in ACCESS.get(key, ()):
        raise Forbidden(
            f"a token of role {caller.role.value} may not do this",
            hint=f"it takes one of role {' or '.join(sorted(role.value for role in ACCESS.get(key, ())))}",
        )
    if caller.scopes and key in UNSCOPED:
        raise Forbidden(
            "this is about the whole server, and the token is bound to some tasks", hint="take another token"
        )
    if spoken_for:
        speak_for(services, caller, spoken_for)
    request.state.caller = caller
    return caller


def _is_worker(token: Token | None) -> bool:
    return token is not None and token.role is Role.WORKER


def speak_for(services: Services, caller: Caller, worker: str) -> None:
    """A worker's token speaks for one worker only: the first that it was used for, or that it was made for. Raises
    Forbidden."""
    if caller.worker == worker:
        return

    def work(conn: Connection) -> str:
        bound = tokens.bind(conn, caller.id, worker, now=services.now())
        if bound == worker:
            services.note(conn, caller, "token.bind", caller.id, worker=worker)
        return bound

    mine = caller.worker or services.database.transact(work)
    if mine == worker:
        return
    hint = f"make another: acr-task token create --name {worker} --role worker --worker {worker}"
    if mine:
        raise Forbidden(f"this token speaks for the worker {mine}, and not for {worker}", hint=hint)
    raise Forbidden(
        f"the worker {worker} has a token of its own, and this is another", hint=f"{hint}; or take another name"
    )


CallerOf = Annotated[Caller, Depends(authorize)]
ServicesOf = Annotated[Services, Depends(services_of)]


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route can answer beside its success: each status as a problem."""
    from http import HTTPStatus

    from taskengine.service.api.schema.common import ProblemDetails

    always = (400, 401, 403, 413, 422, 429, 500, 503, 507)
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    found: dict[int | str, dict[str, Any]] = {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in sorted({*always, *statuses})
    }
    return found
