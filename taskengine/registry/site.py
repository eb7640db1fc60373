"""One repository on one server, as a client's verbs use it: the addresses of the protocol, and the rights they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any
from urllib.parse import quote

from taskengine.errors import TaskEngineError
from taskengine.lightclass import dataclass
from taskengine.registry.content import BrokenContent
from taskengine.registry.endpoint import Endpoint
from taskengine.registry.limits import Limits
from taskengine.registry.transport import Request, Transport
from taskengine.registry.wire import Reply

PULL, PUSH, DELETE = "pull", "pull,push", "pull,delete"


def scope(repository: str, actions: str) -> str:
    """What a token is asked to allow."""
    return f"repository:{repository}:{actions}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """`name` is the repository as people know it, for messages."""

    transport: Transport
    endpoint: Endpoint
    limits: Limits
    repository: str
    name: str
    notice: Callable[[str], None] = field(repr=False)

    def request(
        self,
        method: str,
        below: str,
        what: str,
        *,
        right: str = PULL,
        query: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> Request:
        """A wish for what lies `below` the repository, such as `/tags/list`."""
        extra = "".join(
            f"{'&' if index else '?'}{key}={quote(value, safe='')}"
            for index, (key, value) in enumerate((query or {}).items())
        )
        return Request(
            method=method,
            url=f"/{self.repository}{below}{extra}",
            what=what,
            scopes=(scope(self.repository, right),),
            **rest,
        )

    def at(self, request: Request, reply: Reply, address: str) -> Request:
        """The same wish at the address that a `Link` header names, which must not lead elsewhere or round and round."""
        url = self.transport.locate(self.endpoint, reply.url, address)
        if not self.transport.current(self.endpoint).owns(url) or url == reply.url:
            raise BrokenContent(f"{request.what}: the next page is no page of this registry", hint="is it a registry?")
        return replace(request, url=url)

    def ask(self, request: Request) -> Reply:
        return self.transport.ask(self.endpoint, request, self.limits)

    def expect(self, request: Request, *statuses: int) -> Reply:
        return self.transport.expect(self.endpoint, request, self.limits, *statuses)

    def error(self, request: Request, reply: Reply) -> TaskEngineError:
        return self.transport.error(self.endpoint, request, reply, self.limits)

    def locate(self, reply: Reply, header: str = "Location") -> str:
        return self.transport.locate(self.endpoint, reply.url, reply.headers.get(header))
