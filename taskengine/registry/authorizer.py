"""Answers a registry's challenges: Basic, and Bearer tokens fetched from the token server that the registry names.

Every secret of a registry passes here and only here. It goes to the registry's own server, or to the token server that
this server names over an encrypted channel, and nowhere else. Knows nothing of manifests and blobs.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Protocol
from urllib.parse import urlencode, urlsplit

from taskengine.errors import TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.registry.auth import Login
from taskengine.registry.challenge import Challenge, parse_challenges
from taskengine.registry.endpoint import Endpoint, Registries, is_loopback, origin
from taskengine.registry.failure import Denied, Refusal, error_of
from taskengine.registry.limits import Limits
from taskengine.registry.wire import Message, Reply

_CLIENT = "acr-task"
#: what the token specification says where the server does not
_LIFETIME = 60.0
_LONGEST_TOKEN = 64 * 1024
_SHORTEST_SECRET = 4


class LoginSource(Protocol):
    """`taskengine.registry.auth.Logins` is one."""

    def get(self, host: str, /) -> Login | None: ...


#: sends one message to an endpoint with the usual retries, and without any login
Fetch = Callable[[Message, Endpoint, Limits], Reply]


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    text: str = field(repr=False)
    expires: float

    @property
    def header(self) -> str:
        return f"Bearer {self.text}"


class Authorizer:
    """Thread-safe: ten requests that need one token ask for it once."""

    def __init__(self, logins: LoginSource, registries: Registries, notice: Callable[[str], None]) -> None:
        self._source = logins
        self._registries = registries
        self._notice = notice
        self._lock = threading.Lock()
        self._servers: dict[str, _Server] = {}

    def header(self, endpoint: Endpoint, scopes: tuple[str, ...], limits: Limits) -> str:
        """The Authorization header that is known to be wanted already; empty before the first challenge."""
        server = self._server(endpoint)
        with server.lock:
            challenge = server.challenge
            if challenge is None:
                return ""
            login = self._login(server, endpoint)
            if challenge.scheme == "basic":
                return _basic(login) if login else ""
            if login and login.registry_token:
                return f"Bearer {login.registry_token}"
            token = server.tokens.get(frozenset(scopes))
            fresh = token is not None and token.expires > limits.ambient.monotonic()
            return token.header if token and fresh else ""

    def respond(
        self, endpoint: Endpoint, reply: Reply, scopes: tuple[str, ...], used: str, fetch: Fetch, limits: Limits
    ) -> tuple[str, bool]:
        """The header to try again with after a 401, empty when there is nothing better than what was `used`; and
        whether it is the last word: if that is refused too, it was not for its age."""
        challenge = _choose(parse_challenges(reply.headers.get("WWW-Authenticate")))
        if challenge is None:
            return "", True
        server = self._server(endpoint)
        with server.lock:
            server.challenge = Challenge(
                scheme=challenge.scheme,
                parameters={key: value for key, value in challenge.parameters.items() if key in ("realm", "service")},
            )
            login = self._login(server, endpoint)
            if challenge.scheme == "basic":
                header = _basic(login) if login else ""
                return ("" if header == used else header), True
            if login and login.registry_token:
                header = f"Bearer {login.registry_token}"
                return ("" if header == used else header), True
            known = server.tokens.get(frozenset(scopes))
            if known and known.header != used and known.expires > limits.ambient.monotonic():
                return known.header, False
            wanted = tuple(dict.fromkeys((*scopes, *challenge.scopes)))
            token = self._fetch_token(endpoint, challenge, wanted, login, fetch, limits)
            server.tokens[frozenset(scopes)] = token
            return token.header, True

    def has_login(self, endpoint: Endpoint) -> bool:
        return bool(self._server(endpoint).login)

    def is_withheld(self, endpoint: Endpoint) -> bool:
        """Whether there is a login that we did not send, because the way is not encrypted."""
        return self._server(endpoint).withheld

    def redact(self, body: bytes) -> bytes:
        """A server's words without any secret that it may repeat."""
        with self._lock:
            servers = list(self._servers.values())
        for secret in {secret for server in servers for secret in server.secrets()}:
            body = body.replace(secret.encode(), b"***")
        return body

    def _server(self, endpoint: Endpoint) -> _Server:
        with self._lock:
            return self._servers.setdefault(endpoint.base, _Server())

    def _login(self, server: _Server, endpoint: Endpoint) -> Login | None:
        """Asked for when a registry first wants one, not before: a credential helper is a program that may be slow."""
        if not server.asked:
            found = self._source.get(endpoint.host)
            server.asked = True
            if found and not endpoint.may_login:
                server.withheld = True
                self._notice(f"the login for {endpoint.host} is not sent: plain http would show it to everybody")
            elif found:
                server.login = found
        return server.login

    def _fetch_token(
        self,
        endpoint: Endpoint,
        challenge: Challenge,
        scopes: tuple[str, ...],
        login: Login | None,
        fetch: Fetch,
        limits: Limits,
    ) -> Token:
        realm = challenge.get("realm")
        where = self._token_server(endpoint, realm)
        if not where.may_login:
            login = None
        message = _token_request(realm, challenge.get("service"), scopes, login)
        reply = fetch(message, where, limits)
        if reply.status != 200:
            raise _token_error(reply, endpoint, login, self.redact(reply.body))
        return _token_of(reply.body, endpoint, limits)

    def _token_server(self, endpoint: Endpoint, realm: str) -> Endpoint:
        """Where tokens come from. It may be another host, but never a less protected one than the registry."""
        scheme, host, _ = origin(realm)
        netloc = urlsplit(realm).netloc
        if scheme not in ("https", "http") or not host or "@" in netloc:
            raise Unreachable(
                f"{endpoint.host} names no token server that could be asked", hint="its token realm is no address"
            )
        base = f"{scheme}://{netloc}"
        if endpoint.owns(base):
            return replace(endpoint, base=base, may_switch=False)
        found = self._registries.endpoint(netloc)
        near = is_loopback(origin(endpoint.base)[1])
        if (is_loopback(host) and not near) or (scheme == "http" and not found.is_plain):
            raise Unreachable(
                f"{endpoint.host} names a token server that is not asked: {host} over {scheme}",
                hint="a token server needs https, or an entry of its own with plain_http in registries.yaml",
            )
        may_login = scheme == "https" or found.may_login
        return replace(found, base=base, may_login=may_login, may_switch=False)


@dataclass(kw_only=True, slots=True)
class _Server:
    """What is known of one endpoint's logins."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    challenge: Challenge | None = None
    asked: bool = False
    withheld: bool = False
    login: Login | None = None
    tokens: dict[frozenset[str], Token] = field(default_factory=dict)

    def secrets(self) -> set[str]:
        found = {token.text for token in list(self.tokens.values())}
        if login := self.login:
            found |= {login.secret, login.identity_token, login.registry_token, _basic(login).removeprefix("Basic ")}
        return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def _choose(challenges: tuple[Challenge, ...]) -> Challenge | None:
    """A token before a password, where both would do."""
    known = {challenge.scheme: challenge for challenge in reversed(challenges)}
    return known.get("bearer") or known.get("basic")


def _basic(login: Login) -> str:
    if not (login.username or login.secret):
        return ""
    return f"Basic {base64.b64encode(f'{login.username}:{login.secret}'.encode()).decode()}"


def _token_request(realm: str, service: str, scopes: tuple[str, ...], login: Login | None) -> Message:
    """GET with Basic for a password, POST for an identity token, as Docker's token specifications have it."""
    accept = {"Accept": "application/json"}
    if login and login.identity_token:
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": _CLIENT,
            "scope": " ".join(scopes),
            "refresh_token": login.identity_token,
        }
        headers = accept | {"Content-Type": "application/x-www-form-urlencoded"}
        return Message(method="POST", url=realm, headers=headers, body=urlencode(form).encode())
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    if login and login.username:
        query.append(("account", login.username))
    basic = _basic(login) if login else ""
    url = realm + ("&" if "?" in realm else "?") + urlencode(query)
    return Message(method="GET", url=url, headers=accept | ({"Authorization": basic} if basic else {}))


def _token_error(reply: Reply, endpoint: Endpoint, login: Login | None, body: bytes) -> TaskEngineError:
    what = f"logging in to {endpoint.host}"
    if reply.status == 400 and login and login.identity_token:
        return Denied(
            f"{what}: its token server refused the identity token", hint=f"log in again: docker login {endpoint.host}"
        )
    return error_of(Refusal(status=reply.status, body=body, what=what, host=endpoint.host, had_login=login is not None))


def _token_of(body: bytes, endpoint: Endpoint, limits: Limits) -> Token:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    fields: Mapping[str, object] = document if isinstance(document, dict) else {}
    text = fields.get("token") or fields.get("access_token")
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        text = ""
    if not text or len(text) > _LONGEST_TOKEN:
        raise Unreachable(
            f"the token server of {endpoint.host} gave an answer that holds no token", hint="try again later"
        )
    lifetime = fields.get("expires_in")
    known = isinstance(lifetime, int | float) and not isinstance(lifetime, bool) and lifetime > 0
    seconds = float(lifetime) if known else _LIFETIME  # type: ignore[arg-type]
    # Early by a tenth: a token must outlive the request that carries it.
    return Token(text=text, expires=limits.ambient.monotonic() + seconds * 0.9)
