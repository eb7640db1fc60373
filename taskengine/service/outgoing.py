"""Requests that the service makes to addresses which others chose: webhooks, forges.

Such an address may not lead where it should not (`Reach`): names are looked up once, and the connection goes to the
very address that was judged. Redirects are not followed, so no token goes where one leads. Proxies are not used.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import SplitResult, urlsplit

from taskengine.errors import InvalidInput

_SECONDS = 10.0
_MOST_ADDRESSES = 3
_MOST_ANSWER = 4 << 20
#: where clouds tell a machine its secrets, beyond the usual 169.254.169.254
_METADATA = frozenset(ipaddress.ip_address(one) for one in ("fd00:ec2::254", "168.63.129.16", "100.100.100.200"))


class Reach(Enum):
    """How far an address may lead: into the internet; into the service's network too, but not to its own machine and
    to what only answers neighbours (a cloud's metadata); anywhere."""

    PUBLIC = "public"
    NETWORK = "network"
    ANYWHERE = "anywhere"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer; `body` is cut where it is very long. Names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


def send(
    method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, reach: Reach,
    seconds: float = _SECONDS,
) -> Reply:  # fmt: skip
    """One request. Raises InvalidInput for an address that may not be asked, OSError and HTTPException."""
    parts = parse(url)
    addresses = look_up(parts)
    judge(parts, addresses, reach)
    connection = _Pinned(parts, addresses, seconds)
    try:
        target = parts.path or "/"
        given = {"User-Agent": "acr-task", **headers, "Host": parts.netloc.rpartition("@")[2]}
        connection.request(method, f"{target}?{parts.query}" if parts.query else target, body=body, headers=given)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(status=response.status, headers=found, body=response.read(_MOST_ANSWER))
    finally:
        connection.close()


def parse(url: str) -> SplitResult:
    """Raises InvalidInput for what is no http(s) address, or has a login in it."""
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


def look_up(parts: SplitResult) -> list[str]:
    """The host's addresses. Raises OSError."""
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("it is no name of a host") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def judge(parts: SplitResult, addresses: list[str], reach: Reach) -> None:
    """Raises InvalidInput when one of the addresses is out of reach."""
    for text in addresses:
        if not _within(ipaddress.ip_address(text.partition("%")[0]), reach):
            where = (
                "this machine or its network" if reach is Reach.PUBLIC else "this machine, or for its neighbours only"
            )
            raise InvalidInput(
                f"{parts.hostname} is an address of {where}",
                hint="an operator may allow those: hooksToPrivateAddresses in settings.yaml",
            )


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, reach: Reach) -> bool:
    address = getattr(address, "ipv4_mapped", None) or address
    if reach is Reach.ANYWHERE:
        return True
    if reach is Reach.PUBLIC:
        return address.is_global and not address.is_multicast
    return address not in _METADATA and not (
        address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
        or address.is_reserved
    )  # fmt: skip


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
