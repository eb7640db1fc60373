"""Who may use which route: one table for all of it. A route that is not in it cannot be used, and a test fails for it.

Must not know what a route does.
"""

from __future__ import annotations

from taskengine.service.model import Role

_ADMIN = frozenset({Role.ADMIN})
_OPERATOR = _ADMIN | {Role.OPERATOR}
_DEVELOPER = _OPERATOR | {Role.DEVELOPER}
_READER = _DEVELOPER | {Role.READER}
_WORKER = frozenset({Role.WORKER})
_ANYBODY = _READER | _WORKER

#: what needs no token: it tells nothing of tasks, runs or people
PUBLIC = frozenset({("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/openapi.json")})

V1 = "/api/v1"
ACCESS: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", f"{V1}/version"): _ANYBODY,
    ("GET", f"{V1}/tasks"): _READER,
    ("POST", f"{V1}/tasks"): _DEVELOPER,
    ("GET", f"{V1}/tasks/{{name}}"): _READER,
    ("PUT", f"{V1}/tasks/{{name}}"): _DEVELOPER,
    ("PATCH", f"{V1}/tasks/{{name}}"): _DEVELOPER,
    ("DELETE", f"{V1}/tasks/{{name}}"): _DEVELOPER,
    ("GET", f"{V1}/tasks/{{name}}/runs"): _READER,
    ("POST", f"{V1}/tasks/{{name}}/runs"): _DEVELOPER,
    ("GET", f"{V1}/runs"): _READER,
    ("POST", f"{V1}/runs"): _DEVELOPER,
    ("POST", f"{V1}/validate"): _DEVELOPER,
    ("GET", f"{V1}/runs/{{run}}"): _READER,
    ("PATCH", f"{V1}/runs/{{run}}"): _DEVELOPER,
    ("POST", f"{V1}/runs/{{run}}/cancel"): _DEVELOPER,
    ("GET", f"{V1}/runs/{{run}}/logs"): _READER,
    ("GET", f"{V1}/runs/{{run}}/explanation"): _READER,
    ("POST", f"{V1}/uploads"): _DEVELOPER,
    ("GET", f"{V1}/uploads/{{upload}}"): _DEVELOPER,
    ("PUT", f"{V1}/uploads/{{upload}}"): _DEVELOPER,
    ("POST", f"{V1}/uploads/{{upload}}/commit"): _DEVELOPER,
    ("GET", f"{V1}/queue"): _READER,
    ("GET", f"{V1}/graph"): _READER,
    ("POST", f"{V1}/simulate"): _READER,
    ("GET", f"{V1}/tasks/{{name}}/sources"): _READER,
    ("POST", f"{V1}/tasks/{{name}}/sources/retry"): _DEVELOPER,
    ("GET", f"{V1}/tasks/{{name}}/statuses"): _READER,
    ("POST", f"{V1}/tasks/{{name}}/statuses/{{number}}/replay"): _DEVELOPER,
    ("GET", f"{V1}/events"): _READER,
    ("GET", f"{V1}/events/{{number}}"): _READER,
    ("GET", f"{V1}/watches"): _READER,
    ("POST", f"{V1}/watches/check"): _DEVELOPER,
    ("POST", f"{V1}/watches/token"): _ADMIN,
    ("GET", f"{V1}/tasks/{{name}}/images"): _READER,
    ("GET", f"{V1}/waves"): _READER,
    ("GET", f"{V1}/waves/{{number}}"): _READER,
    ("POST", f"{V1}/events/{{number}}/replay"): _DEVELOPER,
    ("POST", f"{V1}/events/{{number}}/approve"): _DEVELOPER,
    ("POST", f"{V1}/events/{{number}}/refuse"): _DEVELOPER,
    ("GET", f"{V1}/tokens"): _ADMIN,
    ("POST", f"{V1}/tokens"): _ADMIN,
    ("DELETE", f"{V1}/tokens/{{token}}"): _ADMIN,
    ("GET", f"{V1}/audit"): _OPERATOR,
    ("GET", f"{V1}/retention"): _OPERATOR,
    ("POST", f"{V1}/retention"): _OPERATOR,
    ("GET", f"{V1}/hooks"): _OPERATOR,
    ("POST", f"{V1}/hooks"): _OPERATOR,
    ("GET", f"{V1}/hooks/{{hook}}"): _OPERATOR,
    ("PATCH", f"{V1}/hooks/{{hook}}"): _OPERATOR,
    ("DELETE", f"{V1}/hooks/{{hook}}"): _OPERATOR,
    ("GET", f"{V1}/hooks/{{hook}}/deliveries"): _OPERATOR,
    ("POST", f"{V1}/hooks/{{hook}}/deliveries/{{number}}/replay"): _OPERATOR,
    ("GET", f"{V1}/workers"): _READER,
    ("PATCH", f"{V1}/workers/{{worker}}"): _OPERATOR,
    ("POST", f"{V1}/workers"): _WORKER,
    ("POST", f"{V1}/workers/{{worker}}/heartbeat"): _WORKER,
    ("POST", f"{V1}/workers/{{worker}}/lease"): _WORKER,
    ("GET", f"{V1}/workers/{{worker}}/runs/{{run}}"): _WORKER,
    ("POST", f"{V1}/workers/{{worker}}/runs/{{run}}/release"): _WORKER,
    ("PATCH", f"{V1}/workers/{{worker}}/runs/{{run}}/feed"): _WORKER,
    ("GET", f"{V1}/workers/{{worker}}/runs/{{run}}/context"): _WORKER,
}

#: what is about the whole server: a token that is bound to some tasks may not use it, whatever its role
UNSCOPED = frozenset(
    {route for route, roles in ACCESS.items() if roles <= _OPERATOR or route == ("GET", f"{V1}/workers")}
)
