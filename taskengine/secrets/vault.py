"""HashiCorp Vault's KV store, versions 1 and 2, over its HTTP API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from taskengine.errors import InvalidInput, Unreachable
from taskengine.secrets.address import VaultRef
from taskengine.secrets.local import from_file
from taskengine.secrets.web import Answer, Deadline, Web


@dataclass(frozen=True, kw_only=True, slots=True)
class Vault:
    """One Vault server and the token for it. What the options lack, Vault's own variables give."""

    options: Mapping[str, str]
    environ: Mapping[str, str]

    def fetch(self, ref: VaultRef, deadline: Deadline) -> str:
        address = self._option("address", "VAULT_ADDR")
        if not address:
            raise InvalidInput(
                "no address of a Vault server is known", hint="set VAULT_ADDR, or 'address:' in the provider table"
            )
        web = Web(
            what="Vault",
            ca_file=self._option("ca_file", "VAULT_CACERT"),
            plain_http=self.options.get("plain_http") == "true",
        )
        version = ref.kv or self.options.get("kv") or "2"
        data = "data/" if version == "2" else ""
        url = f"{address.rstrip('/')}/v1/{quote(ref.mount)}/{data}{quote(ref.path)}"
        query = {"version": ref.version} if ref.version and version == "2" else {}
        answer = web.get(url, deadline, headers=self._headers(), query=query)
        where = f"{ref.mount}/{ref.path}"
        _refuse(answer, ref, version)
        return _field(_fields(answer, version, where), ref.field or self.options.get("field", ""), where)

    def _headers(self) -> dict[str, str]:
        namespace = self._option("namespace", "VAULT_NAMESPACE")
        # X-Vault-Request keeps an agent in between from answering to requests that a web page could have made.
        headers = {"X-Vault-Token": self._token(), "X-Vault-Request": "true"}
        return {**headers, "X-Vault-Namespace": namespace} if namespace else headers

    def _token(self) -> str:
        token_file = self.options.get("token_file", "")
        variable = self.options.get("token_env") or "VAULT_TOKEN"
        token = from_file(token_file) if token_file else self.environ.get(variable) or self._own_token()
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise InvalidInput(
                "no token for Vault is known",
                hint=f"set {variable}, or 'token_file:' in the provider table; `vault login` makes one",
            )
        return token

    def _own_token(self) -> str:
        """The token that `vault login` leaves in the home folder."""
        path = Path(self.environ.get("HOME") or "/nonexistent") / ".vault-token"
        return from_file(str(path)) if path.is_file() else ""

    def _option(self, name: str, variable: str) -> str:
        return self.options.get(name) or self.environ.get(variable) or ""


def _refuse(answer: Answer, ref: VaultRef, version: str) -> None:
    where = f"{ref.mount}/{ref.path}"
    if answer.status == 200:
        return
    if answer.status in {401, 403}:
        path = f"{ref.mount}/data/{ref.path}" if version == "2" else where
        hint = f"its policy must allow read on {path}; or it has expired"
        raise InvalidInput(f"Vault does not let this token read {where}", hint=hint)
    if answer.status == 404:
        hint = f"check mount and path, that the secret was not deleted, and that the mount is KV version {version}"
        raise InvalidInput(f"Vault has no secret {where}", hint=hint)
    if answer.status == 400:
        raise InvalidInput(f"Vault does not understand the request for {where}", hint="check path, version, namespace")
    if answer.status == 503:
        raise Unreachable("Vault is sealed or in maintenance", hint="unseal it")
    raise Unreachable(f"Vault answered with status {answer.status}", hint="see Vault's own log")


def _fields(answer: Answer, version: str, where: str) -> Mapping[str, Any]:
    data = answer.data.get("data") if isinstance(answer.data, dict) else None
    if version == "2":
        data = data.get("data") if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise InvalidInput(
            f"Vault's answer for {where} holds no secret",
            hint=f"is the mount KV version {version}, and Vault its server?",
        )
    return data


def _field(fields: Mapping[str, Any], wanted: str, where: str) -> str:
    names = ", ".join(sorted(fields)[:10])
    if not wanted and len(fields) != 1:
        raise InvalidInput(
            f"the secret {where} has {len(fields)} fields", hint=f"name one of them: #FIELD; there are {names}"
        )
    name = wanted or next(iter(fields))
    if name not in fields:
        raise InvalidInput(f"the secret {where} has no field {name!r}", hint=f"there are {names}")
    value = fields[name]
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise InvalidInput(f"the field {name!r} of {where} is no text", hint="store it as text")
