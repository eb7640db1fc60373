"""Azure Key Vault over its HTTP API, with the identity of a service principal, a workload or a managed identity."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from taskengine.errors import InvalidInput, Unreachable
from taskengine.secrets.address import KeyvaultRef
from taskengine.secrets.local import from_environment, from_file
from taskengine.secrets.web import METADATA_HOST, Answer, Deadline, Web

_API_VERSION = "7.4"
_AUTHORITY = "https://login.microsoftonline.com"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: the clouds whose vaults may see a token: a task file must not be able to send it elsewhere
_CLOUDS = ("vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net", "vault.microsoftazure.de")
_CODE = re.compile(r"[A-Za-z]{1,40}")


def has_identity(environ: Mapping[str, str]) -> bool:
    """Whether the environment says who we are to Azure, so that a Key Vault can be asked without any table."""
    principal = environ.get("AZURE_CLIENT_ID") and environ.get("AZURE_TENANT_ID")
    proof = environ.get("AZURE_CLIENT_SECRET") or environ.get("AZURE_FEDERATED_TOKEN_FILE")
    return bool((principal and proof) or environ.get("IDENTITY_ENDPOINT"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyvault:
    """Key Vaults as one identity sees them. A secret's client id chooses among the managed identities of a machine."""

    options: Mapping[str, str]
    environ: Mapping[str, str]
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def fetch(self, ref: KeyvaultRef, client_id: str, deadline: Deadline) -> str:
        resource = self._resource(ref)
        token = self._token(resource, client_id, deadline)
        base = self.options.get("endpoint") or f"https://{ref.vault_host}"
        url = f"{base.rstrip('/')}/secrets/{quote(ref.name, safe='')}" + (
            f"/{quote(ref.version, safe='')}" if ref.version else ""
        )
        headers = {"Authorization": f"Bearer {token}"}
        answer = self._web("Key Vault").get(url, deadline, headers=headers, query={"api-version": _API_VERSION})
        _refuse(answer, ref)
        value = answer.data.get("value") if isinstance(answer.data, dict) else None
        if not isinstance(value, str):
            raise Unreachable(f"{ref.vault_host} gave an answer that holds no secret", hint="is it a Key Vault?")
        return value

    def _resource(self, ref: KeyvaultRef) -> str:
        if resource := self.options.get("resource"):
            return resource.rstrip("/")
        for cloud in _CLOUDS:
            if ref.vault_host.endswith("." + cloud):
                return f"https://{cloud}"
        raise InvalidInput(
            f"{ref.vault_host} is no host of a known Azure cloud, and is not given a token",
            hint="for another cloud set 'resource:' in a rule of the provider table that matches this host only",
        )

    def _web(self, what: str) -> Web:
        return Web(
            what=what,
            ca_file=self.options.get("ca_file", ""),
            plain_http=self.options.get("plain_http") == "true",
        )

    def _token(self, resource: str, client_id: str, deadline: Deadline) -> str:
        # One at a time: ten secrets of one vault want one token, not ten.
        with self._lock:
            key = (resource, client_id)
            if key not in self._tokens:
                self._tokens[key] = self._new_token(resource, client_id, deadline)
            return self._tokens[key]

    def _new_token(self, resource: str, client_id: str, deadline: Deadline) -> str:
        identity = self.options.get("identity") or ("principal" if self._principal() else "managed")
        if identity == "principal":
            return self._principal_token(resource, deadline)
        if identity == "managed":
            return self._managed_token(resource, client_id or self.options.get("client_id", ""), deadline)
        raise InvalidInput(f"there is no identity {identity!r}", hint="'identity:' is principal or managed")

    def _principal(self) -> bool:
        options = self.options
        return bool(
            options.get("client_secret_env")
            or options.get("client_secret_file")
            or self.environ.get("AZURE_CLIENT_SECRET")
            or self.environ.get("AZURE_FEDERATED_TOKEN_FILE")
        )

    def _principal_token(self, resource: str, deadline: Deadline) -> str:
        tenant = self.options.get("tenant_id") or self.environ.get("AZURE_TENANT_ID") or ""
        client = self.options.get("client_id") or self.environ.get("AZURE_CLIENT_ID") or ""
        if not tenant or not client:
            raise InvalidInput(
                "the tenant or the client id of the service principal is not known",
                hint="set AZURE_TENANT_ID and AZURE_CLIENT_ID, or tenant_id and client_id in the provider table",
            )
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "scope": f"{resource}/.default",
            **self._proof(),
        }
        authority = self.options.get("authority") or self.environ.get("AZURE_AUTHORITY_HOST") or _AUTHORITY
        url = f"{authority.rstrip('/')}/{quote(tenant, safe='')}/oauth2/v2.0/token"
        return _access_token(self._web("Azure's token service").post(url, deadline, form=form), "the service principal")

    def _proof(self) -> dict[str, str]:
        options, environ = self.options, self.environ
        if path := options.get("client_secret_file"):
            return {"client_secret": from_file(path).strip()}
        if name := options.get("client_secret_env"):
            return {"client_secret": from_environment(name, environ)}
        if secret := environ.get("AZURE_CLIENT_SECRET"):
            return {"client_secret": secret}
        path = environ.get("AZURE_FEDERATED_TOKEN_FILE") or ""
        if not path:
            raise InvalidInput(
                "no secret of the service principal is known",
                hint="set AZURE_CLIENT_SECRET, or client_secret_file in the provider table",
            )
        return {"client_assertion_type": _ASSERTION, "client_assertion": from_file(path).strip()}

    def _managed_token(self, resource: str, client_id: str, deadline: Deadline) -> str:
        query = {"resource": resource}
        if client_id:
            query["client_id"] = client_id
        endpoint = self.environ.get("IDENTITY_ENDPOINT", "")
        if endpoint:
            headers = {"X-IDENTITY-HEADER": self.environ.get("IDENTITY_HEADER", "")}
            query["api-version"] = "2019-08-01"
        else:
            endpoint = f"http://{METADATA_HOST}/metadata/identity/oauth2/token"
            headers = {"Metadata": "true"}
            query["api-version"] = "2018-02-01"
        web = self._web("the managed identity's endpoint")
        return _access_token(web.get(endpoint, deadline, headers=headers, query=query), "the managed identity")


def _access_token(answer: Answer, who: str) -> str:
    token = answer.data.get("access_token") if answer.status == 200 and isinstance(answer.data, dict) else None
    if isinstance(token, str) and token.isascii() and token.isprintable():
        return token
    if answer.status in {400, 401, 403, 404}:
        raise InvalidInput(
            f"Azure gives {who} no token (status {answer.status})",
            hint="check the client id, that the identity belongs to this machine, and that its secret has not expired",
        )
    raise Unreachable(f"Azure's token service answered with status {answer.status}", hint="try again later")


def _refuse(answer: Answer, ref: KeyvaultRef) -> None:
    if answer.status == 200:
        return
    code = _code(answer)
    if answer.status == 403:
        raise InvalidInput(
            f"{ref.vault_host} does not let this identity read the secret {ref.name}{code}",
            hint="give it the role Key Vault Secrets User, or an access policy with get; check the vault's firewall",
        )
    if answer.status == 404:
        version = f" in version {ref.version}" if ref.version else ""
        raise InvalidInput(
            f"{ref.vault_host} has no secret {ref.name}{version}{code}", hint="check its name and version"
        )
    if answer.status == 401:
        raise InvalidInput(f"{ref.vault_host} does not accept the token{code}", hint="check the tenant of the identity")
    if answer.status == 400:
        raise InvalidInput(f"{ref.vault_host} does not understand the request{code}", hint="check the secret's name")
    raise Unreachable(f"{ref.vault_host} answered with status {answer.status}{code}", hint="try again later")


def _code(answer: Answer) -> str:
    """The error code of an answer, which is a fixed word; its text is not shown."""
    error = answer.data.get("error") if isinstance(answer.data, dict) else None
    inner = error.get("innererror") if isinstance(error, dict) else None
    for found in (inner, error):
        code = found.get("code") if isinstance(found, dict) else None
        if isinstance(code, str) and _CODE.fullmatch(code):
            return f" ({code})"
    return ""
