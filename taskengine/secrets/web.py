"""One HTTP exchange with a secret store: JSON back, within a deadline, encrypted, and never led to another host.

Knows nothing of any store's API. Answers' bodies may hold secrets, so that no error shows them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from taskengine.errors import InvalidInput, Unreachable

_LARGEST = 4 * 1024 * 1024
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: the address of the metadata service inside Azure's machines: plain HTTP, link-local by design
METADATA_HOST = "169.254.169.254"


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadline:
    """A point in time after which nobody waits any more."""

    monotonic: Callable[[], float]
    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float, monotonic: Callable[[], float]) -> Deadline:
        return cls(monotonic=monotonic, at=monotonic() + seconds, seconds=seconds)

    def left(self, what: str) -> float:
        left = self.at - self.monotonic()
        if left <= 0:
            raise Unreachable(
                f"{what} gave no answer within {self.seconds:g} s", hint="check the address and the network"
            )
        return left


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    data: Any = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Web:
    """How to talk to one store. `ca_file` replaces the machine's own authorities; verification is never off."""

    what: str
    ca_file: str = ""
    plain_http: bool = False

    def get(
        self, url: str, deadline: Deadline, *, headers: Mapping[str, str], query: Mapping[str, str] | None = None
    ) -> Answer:
        return self._exchange("GET", url, deadline, headers=headers, params=dict(query or {}))

    def post(self, url: str, deadline: Deadline, *, form: Mapping[str, str]) -> Answer:
        return self._exchange("POST", url, deadline, headers={}, data=dict(form))

    def _exchange(
        self, method: str, url: str, deadline: Deadline, *, headers: Mapping[str, str], **extra: dict[str, str]
    ) -> Answer:
        import requests

        self._refuse_plain(url)
        with requests.Session() as session:
            session.trust_env = False  # a ~/.netrc would put its password in place of our token
            session.proxies.update(_proxies(url))
            session.headers.update({"Accept": "application/json", **headers})
            try:
                return self._follow(session, method, url, deadline, extra)
            except requests.exceptions.SSLError:
                raise Unreachable(
                    f"the certificate of {self._host(url)} is not trusted", hint="name its authority's file as ca_file"
                ) from None
            except requests.exceptions.Timeout:
                raise Unreachable(
                    f"{self.what} gave no answer within {deadline.seconds:g} s",
                    hint="check the address and the network",
                ) from None
            except requests.exceptions.RequestException:
                raise Unreachable(
                    f"{self.what} cannot be reached at {self._host(url)}", hint="check the address and the network"
                ) from None

    def _follow(
        self, session: Any, method: str, url: str, deadline: Deadline, extra: Mapping[str, dict[str, str]]
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            left = deadline.left(self.what)
            ca_file = self.ca_file or True
            with session.request(
                method, url, timeout=left, verify=ca_file, allow_redirects=False, stream=True, **extra
            ) as response:
                if response.status_code not in _REDIRECTS:
                    return Answer(status=response.status_code, data=self._data(response, deadline))
                target = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                raise Unreachable(
                    f"{self.what} points to another host, {self._host(target)}, which is not given our token",
                    hint="use that host's address if you trust it",
                )
            url, extra = target, {key: value for key, value in extra.items() if key != "params"}
        raise Unreachable(f"{self.what} redirects without end", hint="check the address")

    def _data(self, response: Any, deadline: Deadline) -> Any:
        content = bytearray()
        for chunk in response.iter_content(65536):
            deadline.left(self.what)
            content += chunk
            if len(content) > _LARGEST:
                raise Unreachable(f"{self.what} sent more than {_LARGEST} bytes", hint="is it a secret store?")
        try:
            return json.loads(content.decode()) if content else None
        except (ValueError, RecursionError):
            return None

    def _refuse_plain(self, url: str) -> None:
        parts = urlsplit(url)
        trusted = parts.hostname in _LOOPBACK or parts.hostname == METADATA_HOST or self.plain_http
        if parts.scheme == "https" or (parts.scheme == "http" and trusted):
            return
        raise InvalidInput(
            f"{self.what} would be asked without encryption, at {self._host(url)}",
            hint="use an https:// address, or say plain_http: true in the provider table",
        )

    def _host(self, url: str) -> str:
        return urlsplit(url).netloc.rpartition("@")[2] or "no host"


def _proxies(url: str) -> dict[str, str]:
    from requests.utils import get_environ_proxies

    if urlsplit(url).hostname in {*_LOOPBACK, METADATA_HOST}:
        return {}
    return dict(get_environ_proxies(url))
