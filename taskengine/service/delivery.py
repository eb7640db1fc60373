"""Sends what outgoing webhooks are to be told: CloudEvents 1.0, signed, again and again until it is taken.

The address comes from an operator and is asked by the service, so it may not lead into the service's own machine or
network unless the server's settings say so: names are looked up once, and the connection goes to the very address that
was judged. Redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from taskengine.errors import NotFound, TaskEngineError
from taskengine.service import outgoing
from taskengine.service.outgoing import Reach
from taskengine.service.services import Services
from taskengine.service.store import Connection, hooks, secrets
from taskengine.service.store.hooks import Delivery

CONTENT_TYPE = "application/cloudevents+json"
SIGNATURE = "X-Acr-Task-Signature-256"
_SECONDS = 10.0
_log = logging.getLogger("taskengine.service.delivery")


def deliver_due(services: Services, *, most: int = 20) -> int:
    """Make one attempt at each delivery whose time has come; how many there were."""
    found = services.database.transact(lambda conn: hooks.due(conn, now=services.now(), most=most))
    for one in found:
        _deliver(services, one)
    return len(found)


def sign(secret: str, body: bytes) -> str:
    """`sha256=` and the HMAC of the body, as GitHub's webhooks carry it."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def check_address(url: str, *, private: bool) -> None:
    """Raises InvalidInput for an address that cannot be sent to, or may not. A name that has no address yet passes:
    it is judged again with every attempt."""
    parts = outgoing.parse(url)
    try:
        addresses = outgoing.look_up(parts)
    except OSError:
        return
    outgoing.judge(parts, addresses, Reach.ANYWHERE if private else Reach.PUBLIC)


def _deliver(services: Services, one: Delivery) -> None:
    try:
        with services.database.read() as conn:
            hook = hooks.get(conn, one.hook)
            secret = secrets.get(conn, services.box, "hook", one.hook).get("secret", "")
        status = send(hook.url, secret, one.body, private=services.settings.hooks_to_private_addresses)
        ok, error = 200 <= status < 300, "" if 200 <= status < 300 else f"the answer was {status}"
    except NotFound:
        return
    except (TaskEngineError, OSError, http.client.HTTPException, ValueError) as failure:
        status, ok, error = 0, False, str(failure) or type(failure).__name__
    if not ok:
        _log.info("delivery %s to hook %s failed: %s", one.number, one.hook, error)

    def work(conn: Connection) -> None:
        hooks.told(conn, one.number, now=services.now(), ok=ok, status=status, error=error)

    services.database.transact(work)


def send(url: str, secret: str, event: Mapping[str, Any], *, private: bool, seconds: float = _SECONDS) -> int:
    """Post one event; the status of the answer. Raises OSError, HTTPException and InvalidInput."""
    body = json.dumps(event, separators=(",", ":")).encode()
    headers = {"Content-Type": CONTENT_TYPE, SIGNATURE: sign(secret, body)}
    reach = Reach.ANYWHERE if private else Reach.PUBLIC
    return outgoing.send("POST", url, headers=headers, body=body, reach=reach, seconds=seconds).status
