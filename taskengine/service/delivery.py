"""Sends what outgoing webhooks are to be told: CloudEvents 1.0, signed, again and again until it is taken.

The address comes from an operator and is asked by the service, so it may not lead into the service's own machine or
network unless the server's settings say so: names are looked up once, and the connection goes to the very address that
was judged. Redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from taskengine.errors import InvalidInput, NotFound, TaskEngineError
from taskengine.service.services import Services
from taskengine.service.store import Connection, hooks, secrets
from taskengine.service.store.hooks import Delivery

CONTENT_TYPE = "application/cloudevents+json"
SIGNATURE = "X-Acr-Task-Signature-256"
_SECONDS = 10.0
_MOST_ADDRESSES = 3
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
    parts = _parts(url)
    try:
        addresses = _lookup(parts)
    except OSError:
        return
    _judge(parts, addresses, private=private)


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
    parts = _parts(url)
    addresses = _lookup(parts)
    _judge(parts, addresses, private=private)
    body = json.dumps(event, separators=(",", ":")).encode()
    headers = {
        "Content-Type": CONTENT_TYPE,
        "User-Agent": "acr-task",
        SIGNATURE: sign(secret, body),
        "Host": parts.netloc.rpartition("@")[2],
    }
    connection = _Pinned(parts, addresses, seconds)
    try:
        target = parts.path or "/"
        connection.request("POST", f"{target}?{parts.query}" if parts.query else target, body=body, headers=headers)
        response = connection.getresponse()
        response.read(1 << 16)
        return response.status
    finally:
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to the first of the addresses that answers. They were judged, whatever the name leads to by now;
    TLS checks the name."""

    def __init__(self, parts: SplitResult, addresses: list[str], seconds: float) -> None:
        self._secure = parts.scheme == "https"
        self._name = parts.hostname or ""
        self._addresses = addresses[:_MOST_ADDRESSES]
        super().__init__(addresses[0], parts.port or (443 if self._secure else 80), timeout=seconds)

    def connect(self) -> None:
        for address in self._addresses:
            self.host = address
            try:
                super().connect()
                break
            except OSError:
                if address == self._addresses[-1]:
                    raise
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self._name)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("this address is no URL", hint="write https://HOST/PATH") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidInput("this address is no http(s) URL", hint="write https://HOST/PATH")
    if parts.username or parts.password:
        raise InvalidInput("a webhook's address holds no login", hint="check the signature there instead")
    if not url.isascii() or any(c.isspace() for c in url):
        raise InvalidInput("this address is no URL", hint="write other characters as %XX")
    return parts


def _lookup(parts: SplitResult) -> list[str]:
    """The host's addresses. Raises OSError."""
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("it is no name of a host") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _judge(parts: SplitResult, addresses: list[str], *, private: bool) -> None:
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if not private and (not address.is_global or address.is_multicast):
            raise InvalidInput(
                f"{parts.hostname} is an address of this machine or its network",
                hint="an operator may allow those: hooksToPrivateAddresses in settings.yaml",
            )
