"""The provider table: which addresses of secrets lead where. A small YAML or TOML file, read into frozen rules.

Knows the names of providers and of their options, nothing of what they do. A table looks like this:

    providers:
      - match: "prod-*.vault.azure.net"          # a host, or host/secrets/name; the first rule that fits counts
        provider: vault
        address: https://vault.example.com:8200
        mount: secret
        path: "acr/{vault}/{name}"
        field: value
      - match: "*"
        provider: env
        variable: "SECRET_{NAME}"
    vault:                                       # defaults of the provider vault and of vault:// addresses
      token_file: /run/secrets/vault-token
    direct:                                      # what env://, file:// and vault:// addresses may reach
      env: ["CI_*"]
      files: ["/run/secrets"]
      vault: false
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.secrets.address import KeyvaultRef

_LARGEST = 1024 * 1024
_TLS = ("ca_file", "plain_http")
_VAULT = ("address", "mount", "path", "field", "kv", "token_env", "token_file", "namespace", *_TLS)
#: the providers, and the options of each
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "env": ("variable",),
    "file": ("base", "path"),
    "vault": _VAULT,
    "keyvault": (
        "identity",
        "tenant_id",
        "client_id",
        "client_secret_env",
        "client_secret_file",
        "authority",
        "endpoint",
        "resource",
        *_TLS,
    ),
    "value": ("values",),
}
_PLACEHOLDERS = ("host", "vault", "name", "version", "NAME", "VAULT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Addresses that `match` go to `provider`, which finds its `options` here."""

    match: str
    provider: str
    options: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def fits(self, ref: KeyvaultRef) -> bool:
        whole = f"{ref.vault_host}/secrets/{ref.name.lower()}"
        return fnmatchcase(whole if "/" in self.match else ref.vault_host, self.match)


@dataclass(frozen=True, kw_only=True, slots=True)
class Direct:
    """What `env://`, `file://` and `vault://` may reach. A service that runs other people's tasks wants `nothing()`.

    A task file may come from a stranger, so without a table only variables that were named for this purpose are open.
    """

    env: tuple[str, ...] = ("ACR_TASK_SECRET_*",)
    files: tuple[str, ...] = ()
    vault: bool = False

    @classmethod
    def nothing(cls) -> Direct:
        return cls(env=(), files=(), vault=False)

    def allows_env(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.env)

    def allows_file(self, path: str) -> bool:
        return any(PurePosixPath(path).is_relative_to(folder) for folder in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderTable:
    rules: tuple[Rule, ...] = ()
    vault: Mapping[str, str] = field(default_factory=dict)
    direct: Direct = Direct()

    def rule_for(self, ref: KeyvaultRef) -> Rule | None:
        return next((rule for rule in self.rules if rule.fits(ref)), None)


def fill(pattern: str, ref: KeyvaultRef) -> str:
    """A pattern with the parts of an address put in; `{NAME}` and `{VAULT}` are fit for a variable's name."""
    parts = {
        "host": ref.vault_host,
        "vault": ref.vault,
        "name": ref.name,
        "version": ref.version,
        "NAME": _shout(ref.name),
        "VAULT": _shout(ref.vault),
    }
    for key, value in parts.items():
        pattern = pattern.replace("{" + key + "}", value)
    return pattern


def _shout(text: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in text).upper()


def load_table(path: Path) -> ProviderTable:
    """Read a provider table; `.toml` files are TOML, all others YAML. No file is a table without rules.

    Who was given the path by a user should look first whether it is there.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return ProviderTable()
    except OSError as error:
        raise InvalidInput(
            f"cannot read the provider table {path}: {error.strerror or error}", hint="check its path and mode"
        ) from None
    if len(content) > _LARGEST:
        raise InvalidInput(f"{path} is larger than {_LARGEST} bytes", hint="is it a provider table?")
    return table_from(_load(content, path), str(path))


def _load(content: bytes, path: Path) -> Any:
    import tomllib

    import yaml

    try:
        text = content.decode()
        return tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise InvalidInput(f"{where}: {error.problem or 'no YAML'}", hint="the table must be YAML") from None
    except (ValueError, yaml.YAMLError, RecursionError):
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        raise InvalidInput(f"{path} is no {kind}", hint=f"the table must be {kind}") from None


def table_from(data: object, file: str) -> ProviderTable:
    """A table from plain data, checked."""
    top = _mapping(data if data is not None else {}, file, "the table")
    _known(top, ("providers", "vault", "direct"), file, "the table")
    rules = top.get("providers") or []
    if not isinstance(rules, list):
        raise InvalidInput(f"{file}: providers must be a list", hint="begin each rule with '- match:'")
    vault = _mapping(top.get("vault") or {}, file, "vault")
    _known(vault, _VAULT, file, "vault")
    return ProviderTable(
        rules=tuple(_rule(rule, file, number) for number, rule in enumerate(rules, 1)),
        vault=_options(vault, file, "vault"),
        direct=_direct(_mapping(top.get("direct") or {}, file, "direct"), file) if "direct" in top else Direct(),
    )


def _rule(data: object, file: str, number: int) -> Rule:
    where = f"rule {number}"
    rule = dict(_mapping(data, file, where))
    provider = rule.pop("provider", None)
    if not isinstance(provider, str) or provider not in OPTIONS:
        known = ", ".join(OPTIONS)
        raise InvalidInput(f"{file}: {where} has no known provider", hint=f"'provider:' is one of {known}")
    match = rule.pop("match", "*")
    if not isinstance(match, str) or not match:
        raise InvalidInput(f"{file}: the match of {where} must be text", hint="such as '*.vault.azure.net', or '*'")
    _known(rule, OPTIONS[provider], file, f"{where} ({provider})")
    values = _mapping(rule.pop("values", {}), file, f"values of {where}")
    return Rule(
        match=match.lower().removeprefix("https://"),
        provider=provider,
        options=_options(rule, file, where),
        values=_options(values, file, f"values of {where}"),
    )


def _options(data: Mapping[str, Any], file: str, where: str) -> dict[str, str]:
    found = {}
    for key, value in data.items():
        if isinstance(value, bool):
            found[key] = "true" if value else "false"
        elif isinstance(value, str | int):
            found[key] = str(value)
        else:
            raise InvalidInput(f"{file}: {key} of {where} must be text", hint="put it in quotes")
    return found


def _direct(data: Mapping[str, Any], file: str) -> Direct:
    _known(data, ("env", "files", "vault"), file, "direct")
    vault = data.get("vault", False)
    if not isinstance(vault, bool):
        raise InvalidInput(f"{file}: vault of direct is true or false", hint="leave it out for false")
    return Direct(env=_texts(data, "env", file), files=_texts(data, "files", file), vault=vault)


def _texts(data: Mapping[str, Any], key: str, file: str) -> tuple[str, ...]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(f"{file}: {key} of direct must be a list of texts", hint="such as ['CI_*']")
    return tuple(value)


def _mapping(data: object, file: str, where: str) -> Mapping[str, Any]:
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise InvalidInput(f"{file}: {where} must be a mapping", hint="write 'key: value'")
    return data


def _known(data: Mapping[str, Any], keys: tuple[str, ...], file: str, where: str) -> None:
    for key in data:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its keys are {', '.join(keys)}"
            raise InvalidInput(f"{file}: {where} has no key {key[:60]!r}", hint=hint)
