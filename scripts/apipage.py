"""What docs/api.md says: every route with its roles, from the application's own tables. Pure: text out.

The words that explain stand here; routes, roles, summaries and shapes come from the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel

from taskengine.service.api.access import ACCESS, PUBLIC, UNSCOPED
from taskengine.service.api.app import ROUTERS
from taskengine.service.api.schema.run import QuickRunBody, TaskRunBody
from taskengine.service.api.schema.task import TaskBody
from taskengine.service.model import Role

_HEAD = """\
# The API

<!-- Made by `make docs`; do not edit by hand. -->

Everything that the service does goes over HTTP and JSON. `/openapi.json` of a service describes every request and
answer (OpenAPI 3.1); this page lists the routes and says what they have in common.

```sh
curl -H "Authorization: Bearer $ACR_TASK_TOKEN" http://127.0.0.1:8080/api/v1/runs?top=3
```

## In common

**Tokens.** `Authorization: Bearer TOKEN`. The tables below say which roles a route opens for. A token may be bound to
tasks by patterns of names: what is outside is not there for it (404), and routes marked with * are closed to it (403).
Twenty wrong tokens a minute from one address close the door to it for the rest of that minute (429, `Retry-After`).

**Errors** are `application/problem+json` (RFC 9457): `title`, `status`, `detail`, and of ours `code`, `hint`, and
`problems`, a list. A problem of a task's text has the `code`, `location` (file, line, column), `hint` and `sourceLine`
that `acr-task validate` prints ([problems.md](problems.md)); one of the request has the `path` of the field.

| status | code | what it means |
| --- | --- | --- |
| 400 | `invalid-json` | the body is not JSON |
| 401 | `unauthorized` | there is no token, or it is not known, revoked, or has expired |
| 403 | `forbidden` | the token's role or scopes do not allow it |
| 404 | `not-found` | there is nothing of that name, or not for this token |
| 405 | `method-not-allowed` | `Allow` says what is possible |
| 409 | `conflict` | it has changed meanwhile, is there already, or an upload goes on elsewhere (`Upload-Offset`) |
| 410 | `stale-lease` | a worker speaks of a run that it does not hold any more |
| 413 | `too-large` | more bytes than are taken |
| 422 | `invalid-input`, `invalid-task` | the request has the wrong shape, or cannot work |
| 429 | `too-often` | `Retry-After` says how long to wait |
| 500 | `internal` | a bug; the number in `detail` is in the service's log |
| 503, 507 | `unavailable`, `out-of-space` | the database or the disk; nothing was kept, try again |

**Lists** are `{"value": [...], "nextCursor": "..." or null}`, the newest first (tasks by name). `?top=` is how many
(15, at most 100), `?cursor=` goes on.

**Asking again.** Everything that queues takes an `Idempotency-Key`: the same key with the same body gives the same
run (200 in place of 201), with another body it is a conflict. Runs are durable when the answer comes.

**Secrets** go in and never come out. In a task, values with `isSecret`, passwords, `contextAccessToken`,
`sourceControlAuthProperties` and `webhookSecret` are kept sealed; a change that leaves them out keeps them. A run's
`secrets` have names that say what for: `set:NAME` (`--set-secret`), `arg:NAME` (`--secret-build-arg`), `secret:ID` (an
entry of `secrets:`), `login:HOST` (JSON with `username` and `password`), `context:token`.

## Following a run

`GET /api/v1/runs/{run}/logs?follow=true` is a stream of server-sent events until the run is over:

| event | data |
| --- | --- |
| `log` | `step`, `stream` (`stdout` or `stderr`), `at`, and `text`; `base64` in its place for bytes that are no UTF-8 |
| `run` | an event of the run, as `acr-task run -o events` prints it |
| `end` | the run, as `GET /api/v1/runs/{run}` shows it |

Each event has an `id`; a connection that broke resumes behind the last one that arrived with `Last-Event-ID`. A comment
every 15 seconds says that the line is alive. When an attempt breaks off, the stream goes on with the next one.

## Uploads

`POST /api/v1/uploads` with the size and the SHA-256 of a tar archive; `PUT` its bytes, in one or more pieces with
`Upload-Offset` (or `Content-Range`); `POST .../commit` compares. Only then can a run name `upload:ID` as its context.
After a broken connection, `GET` says in `received` where to go on.

## Outgoing webhooks

A hook is sent each change of a run as a CloudEvent 1.0 (`application/cloudevents+json`): `acr-task.run.queued`,
`run.leased`, `run.started`, `run.finished`. `X-Acr-Task-Signature-256` is `sha256=` and the HMAC-SHA-256 of the body by
the hook's secret. Anything but 2xx within 10 seconds is tried again, nine times over a day; then the delivery is
`dead`, until it is replayed. Addresses of the service's own machine and network are refused, unless
`hooksToPrivateAddresses` is set ([service.md](service.md)); redirects are not followed.
"""

_TITLES = {
    "tasks": "Tasks",
    "runs": "Runs",
    "events": "Events",
    "waves": "Waves of rebuilds",
    "watches": "Watched images",
    "uploads": "Routes of uploads",
    "tokens": "Tokens",
    "workers": "Workers",
    "hooks": "Routes of webhooks",
    "service": "The service itself",
}
_MODELS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Task", "What `POST /tasks` and `PUT /tasks/{name}` take, and `GET` shows. The names are ACR's.", TaskBody),
    ("A run of a task", "What `POST /tasks/{name}/runs` takes; all of it may be left out.", TaskRunBody),
    ("A quick run", "What `POST /runs` takes.", QuickRunBody),
)


def api_page() -> str:
    """docs/api.md."""
    return "\n".join([_HEAD, *_routes(), *_bodies()])


def _routes() -> Iterator[str]:
    found: dict[str, list[str]] = {tag: [] for tag in _TITLES}
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                tag = str((route.tags or router.tags)[0])
                found[tag] += [_row(route, method) for method in sorted(route.methods or ())]
    for tag, rows in found.items():
        yield f"## {_TITLES[tag]}\n"
        yield "| route | what it does | roles |\n| --- | --- | --- |"
        yield "\n".join(rows) + "\n"


def _row(route: APIRoute, method: str) -> str:
    key = (method, route.path)
    text = f"{route.summary}. {_one_line(route.endpoint.__doc__)}".strip()
    return f"| `{method} {route.path}` | {text} | {_roles(key)} |"


def _roles(key: tuple[str, str]) -> str:
    if key in PUBLIC:
        return "no token"
    roles = ACCESS[key]
    people = [role for role in Role if role is not Role.WORKER]
    if roles == frozenset(Role):
        return "all"
    listed = ", ".join(role.value for role in Role if role in roles)
    named = "all but worker" if roles == frozenset(people) else listed
    return named + ("*" if key in UNSCOPED and Role.WORKER not in roles else "")


def _bodies() -> Iterator[str]:
    for title, text, model in _MODELS:
        schema = model.model_json_schema(by_alias=True)
        required = schema.get("required", ())
        yield f"## {title}\n\n{text}\n"
        yield "| property | kind |\n| --- | --- |"
        rows = []
        for name, kind in schema["properties"].items():
            needed = ", needed" if name in required else ""
            rows.append(f"| `{name}` | {_kind(kind, schema.get('$defs', {}))}{needed} |")
        yield "\n".join(rows) + "\n"


def _kind(kind: dict[str, Any], known: dict[str, Any]) -> str:
    if "anyOf" in kind or "oneOf" in kind:
        options = [one for one in kind.get("anyOf", kind.get("oneOf", ())) if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(_kind(one, known) for one in options)) or "anything"
    if "$ref" in kind:
        return _kind(known[kind["$ref"].rpartition("/")[2]], known)
    if "const" in kind:
        return f"`{kind['const']}`"
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    match kind.get("type"):
        case "object":
            inner = kind.get("properties")
            return "{" + ", ".join(f"`{name}`" for name in inner) + "}" if inner else "names and values"
        case "array":
            return f"list of {_kind(kind['items'], known)}"
        case "integer" | "number":
            bounds = (kind.get("minimum"), kind.get("maximum"))
            return "number" + (f", {bounds[0]} to {bounds[1]}" if None not in bounds else "")
        case "boolean":
            return "true or false"
        case "string":
            return "time" if kind.get("format") == "date-time" else "text"
    return "anything"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
