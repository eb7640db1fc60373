"""Requests to a registry as the distribution protocol wants them: logins, redirects, retries, rate limits, errors.

Sits between `wire` (one exchange) and the client's verbs; must not know what a manifest is.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from urllib.parse import urljoin, urlsplit

from taskengine.errors import TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.registry.authorizer import Authorizer
from taskengine.registry.endpoint import Endpoint, is_link_local, is_loopback, origin
from taskengine.registry.failure import Refusal, error_of
from taskengine.registry.limits import Limits
from taskengine.registry.ratelimit import RateLimit, parse_rate_limit, parse_retry_after
from taskengine.registry.wire import Body, Fault, Message, Reply, Wire

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
#: what a server says before it has done anything, so that even a request that must not be repeated may be
_NOT_BEGUN = frozenset({429, 503})


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One wish. `url` is whole, or begins with `/` below the endpoint's /v2. `body` is bytes, or makes a fresh reader
    for each try. `again` is false for what must not reach the server twice. `what` names the wish in errors."""

    method: str
    url: str
    what: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Body] | None = field(default=None, repr=False)
    again: bool = True
    stream: bool = False
    largest: int = 1024 * 1024


class Transport:
    """Thread-safe."""

    def __init__(self, authorizer: Authorizer, notice: Callable[[str], None]) -> None:
        self._authorizer = authorizer
        self._notice = notice
        self._wire = Wire()
        self._lock = threading.Lock()
        self._switched: dict[str, Endpoint] = {}
        self.rate_limits: dict[str, RateLimit] = {}

    def ask(self, endpoint: Endpoint, request: Request, limits: Limits) -> Reply:
        """The registry's answer, whatever its status. Raises Unreachable, Denied by a token server, Interrupted."""
        current = self.current(endpoint)
        reply = self._ask(current, request, limits)
        if current.may_switch and reply.status == 400 and b"HTTPS" in reply.body.upper():
            with self._lock:
                self._switched[endpoint.base] = replace(
                    current, base=current.base.replace("http://", "https://", 1), may_switch=False
                )
            reply = self._ask(self.current(endpoint), request, limits)
        return reply

    def expect(self, endpoint: Endpoint, request: Request, limits: Limits, *statuses: int) -> Reply:
        """The answer, if its status is one of these; else raises what the answer means."""
        reply = self.ask(endpoint, request, limits)
        if reply.status not in statuses:
            reply.close()
            raise self.error(endpoint, request, reply, limits)
        return reply

    def error(self, endpoint: Endpoint, request: Request, reply: Reply, limits: Limits) -> TaskEngineError:
        endpoint = self.current(endpoint)
        return error_of(
            Refusal(
                status=reply.status,
                body=self._authorizer.redact(reply.body),
                what=request.what,
                host=endpoint.host,
                had_login=self._authorizer.has_login(endpoint),
                withheld=self._authorizer.is_withheld(endpoint),
                retry_after=parse_retry_after(reply.headers.get("Retry-After"), limits.ambient.now()),
            )
        )

    def current(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint as it turned out to be: a local server may want TLS after all."""
        with self._lock:
            return self._switched.get(endpoint.base, endpoint)

    def locate(self, endpoint: Endpoint, base: str, location: str | None) -> str:
        """The address in a Location header, if it is one that may be followed."""
        endpoint = self.current(endpoint)
        url = _joined(base, location or "")
        scheme, host, port = origin(url)
        if not location or not host or scheme not in ("http", "https") or "@" in urlsplit(url).netloc:
            raise Unreachable(f"{endpoint.host} sends us to no address", hint="is it a registry?")
        if scheme == "http" and not endpoint.is_plain:
            own = origin(endpoint.base)
            if host != own[1] or port not in (80, own[2]):
                raise Unreachable(
                    f"{endpoint.host} sends us to {host} without encryption", hint="its storage needs https"
                )
            # behind a proxy that ends TLS, many registries believe to speak plain http
            url = endpoint.base + url[len(f"http://{urlsplit(url).netloc}") :]
        local = is_loopback(origin(endpoint.base)[1])
        if not local and not endpoint.owns(url) and (is_loopback(host) or is_link_local(host) or _is_unspecified(host)):
            raise Unreachable(f"{endpoint.host} sends us to {host}, which is on this machine", hint="do not trust it")
        return url

    def close(self) -> None:
        self._wire.close()

    def _ask(self, endpoint: Endpoint, request: Request, limits: Limits) -> Reply:
        url = request.url if not request.url.startswith("/") else f"{endpoint.base}/v2{request.url}"
        request = replace(request, url=url)
        # A content that travels may take long: silence ends it, not the clock.
        deadline = None if callable(request.body) else limits.deadline()
        used = self._authorization(endpoint, request, limits)
        reply = self._follow(endpoint, request, used, limits, deadline)
        for _ in range(2):
            # A challenge of another host is none of ours: only the registry may ask for its login.
            if reply.status != 401 or not endpoint.owns(reply.url):
                break
            used, is_last = self._authorizer.respond(endpoint, reply, request.scopes, used, self._fetch, limits)
            if not used:
                break
            reply = self._follow(endpoint, request, used, limits, deadline)
            if is_last:
                break
        return reply

    def _authorization(self, endpoint: Endpoint, request: Request, limits: Limits) -> str:
        if not endpoint.owns(request.url):
            return ""
        return self._authorizer.header(endpoint, request.scopes, limits)

    def _fetch(self, message: Message, endpoint: Endpoint, limits: Limits) -> Reply:
        request = Request(
            method=message.method, url=message.url, what=f"logging in at {endpoint.host}",
            headers=message.headers, body=message.body if isinstance(message.body, bytes) else None,
        )  # fmt: skip
        return self._retried(endpoint, request, dict(message.headers), limits, limits.deadline())

    def _follow(
        self, endpoint: Endpoint, request: Request, authorization: str, limits: Limits, deadline: float | None
    ) -> Reply:
        for _ in range(_MOST_REDIRECTS + 1):
            headers = dict(request.headers)
            if authorization and endpoint.owns(request.url):
                headers["Authorization"] = authorization
            reply = self._retried(endpoint, request, headers, limits, deadline)
            if reply.status not in _REDIRECTS or request.method not in ("GET", "HEAD"):
                return reply
            reply.close()
            request = replace(request, url=self.locate(endpoint, request.url, reply.headers.get("Location")))
        raise Unreachable(f"{request.what}: {endpoint.host} redirects without end", hint="check the address")

    def _retried(
        self,
        endpoint: Endpoint,
        request: Request,
        headers: Mapping[str, str],
        limits: Limits,
        deadline: float | None,
    ) -> Reply:
        pause = limits.first_pause
        for left in range(limits.tries - 1, -1, -1):
            limits.check(request.what)
            try:
                reply = self._send(endpoint, request, headers, limits, deadline)
            except Fault as fault:
                if not left or not fault.may_help or not request.again or self._is_late(deadline, pause, limits):
                    raise self._unreachable(endpoint, request, fault) from None
                why, wait = fault.text, pause
            else:
                asked = parse_retry_after(reply.headers.get("Retry-After"), limits.ambient.now())
                wait = pause if asked is None else asked
                retryable = _TRY_AGAIN if request.again else _NOT_BEGUN
                if (
                    not left
                    or reply.status not in retryable
                    or wait > limits.wait
                    or self._is_late(deadline, wait, limits)
                ):
                    return reply
                reply.close()
                why = f"answered {reply.status}"
            host = urlsplit(request.url).netloc
            self._notice(f"{host} {why}; trying again in {wait:g} s ({request.what})")
            limits.pause(wait, request.what)
            pause *= 2
        raise AssertionError("unreachable")

    def _send(
        self,
        endpoint: Endpoint,
        request: Request,
        headers: Mapping[str, str],
        limits: Limits,
        deadline: float | None,
    ) -> Reply:
        body = request.body
        message = Message(
            method=request.method, url=request.url, headers=headers, stream=request.stream, largest=request.largest,
            body=body() if callable(body) else body,
        )  # fmt: skip
        reply = self._wire.send(message, endpoint, limits, deadline)
        if endpoint.owns(request.url):
            limit = parse_rate_limit(reply.headers, limits.ambient.now())
            if limit:
                self.rate_limits[endpoint.host] = limit
        return reply

    def _unreachable(self, endpoint: Endpoint, request: Request, fault: Fault) -> Unreachable:
        # The host only: an address of object storage carries its own permission in the query.
        host = endpoint.host if endpoint.owns(request.url) else urlsplit(request.url).hostname
        return Unreachable(f"{request.what}: {host} {fault.text}", hint=fault.hint)

    @staticmethod
    def _is_late(deadline: float | None, wait: float, limits: Limits) -> bool:
        return deadline is not None and limits.ambient.monotonic() + wait >= deadline


def _joined(base: str, location: str) -> str:
    try:
        return urljoin(base, location)
    except ValueError:
        return ""


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
