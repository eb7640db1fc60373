"""Where a registry is reached and how far it is trusted: hosts, mirrors, plain http and certificates. Pure.

The default is encryption with a verified certificate for every host but loopback; whatever weakens it is written down
by the user for one host. Knows addresses, not requests.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import field
from urllib.parse import urlsplit

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.registry.reference import HUB_DOMAIN

_HUB_API = "registry-1.docker.io"


@dataclass(frozen=True, kw_only=True, slots=True)
class HostConfig:
    """What a user says of one host. `login_in_clear` is asked for apart from `plain_http`: it gives the password away
    to everybody on the way. `mirrors` are base addresses that are asked first when something is read."""

    mirrors: tuple[str, ...] = ()
    plain_http: bool = False
    login_in_clear: bool = False
    skip_verify: bool = False
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One server that speaks the registry protocol under `base`. `host` is its name in config.json.

    `may_login` is false where a login would travel unencrypted. `may_switch`: plain http, and if the server turns out
    to want TLS, that; only so on loopback.
    """

    base: str
    host: str
    may_login: bool = True
    may_switch: bool = False
    skip_verify: bool = False
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    is_mirror: bool = False

    @property
    def is_plain(self) -> bool:
        return self.base.startswith("http://")

    def owns(self, url: str) -> bool:
        """Whether `url` is on this very server: nothing else is given our login."""
        return origin(url) == origin(self.base)


@dataclass(frozen=True, kw_only=True, slots=True)
class Registries:
    """The configuration of all hosts; a host without an entry has the safe defaults."""

    hosts: Mapping[str, HostConfig] = field(default_factory=dict)

    def endpoint(self, domain: str) -> Endpoint:
        """The registry itself, which is written to."""
        api = _HUB_API if domain == HUB_DOMAIN else domain
        return self._endpoint(api, domain, self.hosts.get(domain, HostConfig()))

    def readable(self, domain: str) -> tuple[Endpoint, ...]:
        """Whom to ask for an image, in this order: the mirrors, then the registry."""
        mirrors = self.hosts.get(domain, HostConfig()).mirrors
        return (*(self._mirror(address) for address in mirrors), self.endpoint(domain))

    def _mirror(self, address: str) -> Endpoint:
        parts = urlsplit(address)
        config = self.hosts.get(parts.netloc, HostConfig())
        plain = parts.scheme == "http"
        if plain and not config.plain_http and not is_loopback(parts.hostname or ""):
            raise InvalidInput(
                f"the mirror {address} is asked over plain http, which nothing allows",
                hint=f"use https://, or set plain_http: true for {parts.netloc}",
            )
        endpoint = self._endpoint(parts.netloc, parts.netloc, config)
        return Endpoint(
            base=address.rstrip("/"),
            host=parts.netloc,
            may_login=not plain or endpoint.may_login,
            skip_verify=endpoint.skip_verify,
            ca_file=config.ca_file,
            client_cert=config.client_cert,
            client_key=config.client_key,
            is_mirror=True,
        )

    def _endpoint(self, netloc: str, name: str, config: HostConfig) -> Endpoint:
        local = is_loopback(urlsplit(f"//{netloc}").hostname or "")
        sure = bool(config.ca_file or config.client_cert)  # whoever names a certificate wants TLS, on loopback too
        plain = config.plain_http or (local and not sure)
        return Endpoint(
            base=f"{'http' if plain else 'https'}://{netloc}",
            host=name,
            may_login=not plain or local or config.login_in_clear,
            may_switch=local and plain,
            skip_verify=config.skip_verify or (local and not sure),
            ca_file=config.ca_file,
            client_cert=config.client_cert,
            client_key=config.client_key,
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_link_local(host: str) -> bool:
    """Addresses of this link only: where clouds keep the identities of their machines."""
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: the place that an address belongs to. An address without a sane port belongs nowhere."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", 0
    return parts.scheme, parts.hostname or "", port or {"http": 80, "https": 443}.get(parts.scheme, 0)
