"""What the tests of triggers share: a service that takes deliveries, a task, and what forges send."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from taskengine.service.model import Run
from taskengine.service.services import Services
from taskengine.service.store import ledger, runs
from tests.service.api.support import Api, inline

PAYLOADS = Path(__file__).parent / "sourcecontrol" / "payloads"
SECRET = "s3cret"


def source(*events: str, **more: Any) -> dict[str, Any]:
    repository = {"repositoryUrl": "https://github.com/octo/web"}
    return {"name": "commits", "sourceTriggerEvents": list(events), "sourceRepository": repository, **more}


def make(api: Api, *events: str, document: dict[str, Any] | None = None, **more: Any) -> None:
    """The task `web`, which wants these events."""
    made = inline("web", trigger={"sourceTriggers": [source(*events, **more)]}, webhookSecret=SECRET)
    made["step"]["contextPath"] = "https://github.com/octo/web#main:web"
    answer = api.admin.call("POST", "/tasks", json=made | (document or {}))
    assert answer.status_code in (200, 201), answer.text


def deliver(
    api: Api, name: str, *, secret: str = SECRET, task: str = "web", more: dict[str, Any] | None = None, **headers: str
) -> Any:
    """What GitHub sends; `more` is in the body too."""
    sample = json.loads((PAYLOADS / f"{name}.json").read_text())
    body = json.dumps(sample["body"] | (more or {})).encode()
    return post(api, "github", task, body, secret, {**sample["headers"], **headers})


def post(api: Api, forge: str, task: str, body: bytes, secret: str, headers: dict[str, str]) -> Any:
    """A delivery that is signed as GitHub does it."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    signed = {"x-hub-signature-256": f"sha256={digest}", **headers}
    return api.client.post(f"/hooks/{forge}/{task}", content=body, headers=signed)


def all_runs(services: Services) -> list[Run]:
    with services.database.read() as conn:
        return [runs.get(conn, f"ca{n}") for n in range(1, 1 + len(runs.page(conn, runs.Filter(), top=100).runs))]


def events(services: Services) -> list[ledger.Event]:
    with services.database.read() as conn:
        return ledger.page(conn, top=100)[0]
