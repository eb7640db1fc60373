"""A task's document and its secrets: taken apart when it is stored, never put together again for anybody but a worker.

Pure. In a document that is kept or shown, the value of a secret is absent. Secrets have names with a prefix that says
what for: `set:NAME` and `arg:NAME` (secret values and arguments), `context:token`, `password:HOST` (of a registry),
`source:TRIGGER` (access to a repository, as JSON), `webhook`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from taskengine.errors import InvalidInput

#: what the service itself knows of a task; not part of what is kept as its document
OWN = frozenset({"name", "status", "owner", "revision", "creationDate", "lastModified", "webhookSecret", "warnings"})

#: the identity of the machine itself: a worker's own, without a name
_SYSTEM = ("system", "[system]")


class InvalidDocument(InvalidInput):
    """A document says something that cannot be. `faults` are pairs of a path into it and what is wrong there."""

    def __init__(self, faults: tuple[tuple[str, str], ...], *, hint: str | None = None) -> None:
        path, message = faults[0]
        super().__init__(f"{path}: {message}" if path else message, hint=hint)
        self.faults = faults


@dataclass(frozen=True, kw_only=True)
class Parted:
    """A document without secrets; the secrets that came with it; and the names of all that it refers to."""

    document: dict[str, Any]
    given: Mapping[str, str] = field(repr=False)
    wanted: frozenset[str]

    def secrets(self, kept: Mapping[str, str]) -> dict[str, str]:
        """What is to be kept: the given ones, and those from before that the document still refers to. Raises
        InvalidDocument for one that nobody ever gave."""
        found = {name: value for name, value in kept.items() if name in self.wanted} | dict(self.given)
        lacking = sorted(name for name in self.wanted - found.keys() if name.startswith(("set:", "arg:", "password:")))
        if lacking:
            faults = tuple(("", f"the secret {name.partition(':')[2]} has no value") for name in lacking)
            raise InvalidDocument(faults, hint="send its value; later changes of the task may leave it out")
        return found


def part(sent: Mapping[str, Any]) -> Parted:
    """Take the secrets out of a document."""
    document = {name: deepcopy(value) for name, value in sent.items() if name not in OWN}
    given: dict[str, str] = {}
    wanted: set[str] = set()
    for name, holder, key in _places(document):
        wanted.add(name)
        value = holder.pop(key, None)
        if value is not None:
            given[name] = value if isinstance(value, str) else json.dumps(value)
    if isinstance(secret := sent.get("webhookSecret"), str):
        given["webhook"] = secret
    return Parted(document=document, given=given, wanted=frozenset(wanted | {"webhook"}))


def _places(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Where secrets are, each with its name; those that may be left out are named too."""
    step = document.get("step") or {}
    yield "context:token", step, "contextAccessToken"
    for key, prefix in (("values", "set"), ("arguments", "arg")):
        for item in step.get(key) or ():
            if item.get("isSecret"):
                yield f"{prefix}:{item['name']}", item, "value"
    registries = (document.get("credentials") or {}).get("customRegistries") or {}
    for host, entry in registries.items():
        password = entry.get("password")
        if password is not None and password.get("type", "Opaque") == "Opaque":
            yield f"password:{host}", password, "value"
    for trigger in (document.get("trigger") or {}).get("sourceTriggers") or ():
        if isinstance(repository := trigger.get("sourceRepository"), dict):
            yield f"source:{trigger.get('name', '')}", repository, "sourceControlAuthProperties"


def logins(document: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """A task's registry credentials as a run's secrets: `login:HOST`, JSON with `username` and `password`; in place of
    one that lies in a secret store, `usernameVault` and `passwordVault` hold its address, and `identity` says as who to
    ask for it."""
    found: dict[str, str] = {}
    for host, entry in ((document.get("credentials") or {}).get("customRegistries") or {}).items():
        login: dict[str, str] = {}
        for key, name in (("userName", "username"), ("password", "password")):
            given = entry.get(key)
            if given is None:
                continue
            if given.get("type") == "Vaultsecret":
                login[f"{name}Vault"] = given.get("value") or ""
            else:
                login[name] = (secrets.get(f"password:{host}") if key == "password" else given.get("value")) or ""
        if entry.get("identity") not in (None, "", *_SYSTEM):
            login["identity"] = entry["identity"]
        if login:
            found[f"login:{host}"] = json.dumps(login)
    return found
