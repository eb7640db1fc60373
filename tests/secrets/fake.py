"""A Vault and an Azure on loopback, as far as the documented APIs say what reading a secret looks like."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Reply = tuple[int, Any, dict[str, str]]


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class Store:
    """Base of the fakes: answers in `handle`, remembers what it was asked."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)

    def handle(self, seen: Seen) -> Reply:
        raise NotImplementedError


@dataclass
class FakeVault(Store):
    """KV version 2 at secret/, version 1 at old/."""

    token: str = "hvs.token"
    namespace: str = ""

    def handle(self, seen: Seen) -> Reply:
        if seen.headers.get("x-vault-token") != self.token:
            return 403, {"errors": ["permission denied"]}, {}
        if seen.headers.get("x-vault-namespace", "") != self.namespace:
            return 404, {"errors": []}, {}
        newest = {"password": "new", "user": "ann"}
        if seen.path == "/v1/secret/data/team/app":
            found = {"password": "old"} if seen.query.get("version") == "1" else newest
            return 200, {"data": {"data": found, "metadata": {"version": 2, "destroyed": False}}}, {}
        if seen.path == "/v1/secret/data/acr/prod/db-pass":
            return 200, {"data": {"data": {"value": "mapped"}, "metadata": {"version": 1}}}, {}
        if seen.path == "/v1/secret/data/odd":
            return 200, {"data": {"data": {"number": 7, "list": ["a"]}, "metadata": {"version": 1}}}, {}
        if seen.path == "/v1/old/app":
            return 200, {"data": {"value": "one"}}, {}
        if seen.path == "/v1/secret/data/deleted":
            return 404, {"data": {"data": None, "metadata": {"deletion_time": "2024-01-01T00:00:00Z"}}}, {}
        if seen.path == "/v1/secret/data/sealed":
            return 503, {"errors": ["Vault is sealed"]}, {}
        if seen.path == "/v1/secret/data/standby":
            return 307, None, {"Location": "https://elsewhere.example.com/v1/secret/data/standby"}
        if seen.path == "/v1/secret/data/moved":
            return 307, None, {"Location": "/v1/secret/data/acr/prod/db-pass"}
        if seen.path == "/v1/secret/data/circle":
            return 307, None, {"Location": "/v1/secret/data/circle"}
        if seen.path == "/v1/secret/data/slow":
            self.silent.wait(20)
        if seen.path == "/v1/secret/data/page":
            return 200, "<html>", {}
        return 404, {"errors": []}, {}


@dataclass
class FakeAzure(Store):
    """A token service, a managed identity's endpoint and a Key Vault under one roof."""

    def handle(self, seen: Seen) -> Reply:
        if seen.path == "/tenant/oauth2/v2.0/token":
            good = seen.form.get("client_secret") == "s" or seen.form.get("client_assertion") == "jwt"
            scope = seen.form.get("scope") == "https://vault.azure.net/.default"
            if seen.form.get("client_id") == "app" and good and scope:
                return 200, {"token_type": "Bearer", "expires_in": 3599, "access_token": "principal"}, {}
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: s3cr3t shown here"}, {}
        if seen.path == "/identity":
            if seen.headers.get("x-identity-header") != "header":
                return 401, {}, {}
            return 200, {"access_token": "managed-" + seen.query.get("client_id", "own")}, {}
        return self._secret(seen)

    def _secret(self, seen: Seen) -> Reply:
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if seen.query.get("api-version") != "7.4":
            return 400, {"error": {"code": "BadParameter", "message": "api-version"}}, {}
        if not token.startswith(("principal", "managed")):
            return 401, {"error": {"code": "Unauthorized", "message": "..."}}, {}
        if seen.path == "/secrets/db-pass":
            return 200, {"value": f"for {token}", "id": "https://v.vault.azure.net/secrets/db-pass/1"}, {}
        if seen.path == "/secrets/db-pass/0123":
            return 200, {"value": "version 0123"}, {}
        if seen.path == "/secrets/hidden":
            inner = {"code": "ForbiddenByRbac"}
            return 403, {"error": {"code": "Forbidden", "message": "caller s3cr3t", "innererror": inner}}, {}
        return 404, {"error": {"code": "SecretNotFound", "message": "A secret was not found"}}, {}


@contextmanager
def serving(store: Store) -> Iterator[None]:
    """Answer for `store` on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            seen = Seen(
                method=self.command,
                path=parts.path,
                query={key: values[0] for key, values in parse_qs(parts.query).items()},
                headers={key.lower(): value for key, value in self.headers.items()},
                form={key: values[0] for key, values in parse_qs(body).items()},
            )
            store.seen.append(seen)
            status, data, headers = store.handle(seen)
            content = data.encode() if isinstance(data, str) else json.dumps(data).encode()
            try:
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                return  # the asker has given up

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        store.silent.set()
        server.shutdown()
        server.server_close()
