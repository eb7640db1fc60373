"""Registries that do what they are told: a small HTTP server whose answers a test writes, and that keeps what it was
asked; and a token server by Docker's token specification."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, kw_only=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Say:
    """An answer. `cut` closes the connection after so many bytes of the body; `hang` waits for the event first."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    hang: threading.Event | None = None

    @classmethod
    def json(cls, document: Any, status: int = 200, **headers: str) -> Say:
        return cls(status=status, body=json.dumps(document).encode(), headers=headers)

    @classmethod
    def error(cls, status: int, code: str, message: str = "", **headers: str) -> Say:
        return cls.json({"errors": [{"code": code, "message": message}]}, status, **headers)


class Fake:
    """Answers with `answer(asked)`. Every request is kept in `asked`."""

    def __init__(self, answer: Callable[[Asked], Say], host: str = "127.0.0.1") -> None:
        self.asked: list[Asked] = []
        self.answer = answer
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    super().handle_one_request()

            def _do(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(
                    method=self.command, path=parts.path, query=parse_qs(parts.query), headers=self.headers, body=body
                )
                fake.asked.append(asked)
                self._say(fake.answer(asked))

            def _say(self, say: Say) -> None:
                if say.hang:
                    say.hang.wait(30)
                self.send_response(say.status)
                for name, value in say.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if not any(name.lower().replace("_", "-") == "content-length" for name in say.headers):
                    self.send_header("Content-Length", str(len(say.body)))
                self.end_headers()
                if self.command != "HEAD" and say.status != 304:
                    self.wfile.write(say.body if say.cut is None else say.body[: say.cut])
                if say.cut is not None:
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815 - the names that the base class looks for

            def log_message(self, *args: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.name = f"{host}:{self._server.server_address[1]}"
        self.url = f"http://{self.name}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def count(self, method: str, path: str = "") -> int:
        return sum(one.method == method and path in one.path for one in self.asked)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def in_turn(*says: Say) -> Callable[[Asked], Say]:
    """One answer after the other; the last one for ever."""
    left = list(says)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


class TokenServer:
    """Gives tokens to everybody for pulling, and to its user for anything. `certificate` is what registries trust."""

    service, issuer = "tests", "token-server"

    def __init__(self, user: str, password: str, identity: str) -> None:
        self.user, self.password, self.identity = user, password, identity
        self._key, self.certificate = _self_signed()
        self.lifetime: int | None = 300
        self.fake = Fake(self._answer)
        self.realm = f"{self.fake.url}/token"

    def _answer(self, asked: Asked) -> Say:
        if asked.method == "POST":
            form = {key: values[0] for key, values in parse_qs(asked.body.decode()).items()}
            if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self.identity:
                return Say.json({"error": "invalid_grant"}, 400)
            return Say.json({"access_token": self.token(form.get("scope", "").split(), True), **self._rest()})
        basic = asked.headers.get("Authorization", "")
        known = basic == "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if basic and not known:
            return Say.json({"details": "incorrect username or password"}, 401)
        return Say.json({"token": self.token(asked.query.get("scope", []), known), **self._rest()})

    def _rest(self) -> dict[str, Any]:
        return {} if self.lifetime is None else {"expires_in": self.lifetime}

    def token(self, scopes: list[str], known: bool) -> str:
        access = []
        for one in scopes:
            kind, _, rest = one.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = [a for a in actions.split(",") if known or (a == "pull" and not name.startswith("secret/"))]
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(datetime.now(UTC).timestamp())  # noqa: TID251
        claims = {
            "iss": self.issuer, "sub": self.user, "aud": self.service, "jti": str(len(self.fake.asked)),
            "nbf": now - 60, "iat": now, "exp": now + 600, "access": access,
        }  # fmt: skip
        return self._sign(claims)

    def _sign(self, claims: Mapping[str, Any]) -> str:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.x509 import load_pem_x509_certificate

        der = load_pem_x509_certificate(self.certificate).public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = f"{_part(header)}.{_part(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    def close(self) -> None:
        self.fake.close()


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _self_signed() -> tuple[Any, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)  # noqa: TID251
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(serialization.Encoding.PEM)
