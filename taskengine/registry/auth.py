"""Registry logins as Docker keeps them: `config.json`, its `auths`, and the credential helpers that it names.

Reads files and runs helper programs, and nothing else: it must not know registries' protocols, the engine or the task.
Hosts go to a helper on its standard input and secrets come back on its standard output, so neither is ever an argument.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern
from taskengine.registry.reference import auth_key

HELPER_TIMEOUT = 20.0
_LARGEST_CONFIG = 4 * 1024 * 1024
_HELPER_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: what a helper answers as user name when the secret is an identity token (Docker's convention)
_TOKEN_USER = "<token>"  # noqa: S105
_NOT_FOUND = "credentials not found"


@dataclass(frozen=True, kw_only=True)
class Login:
    """What a registry wants to see. Either a user name and a secret, or an identity token to be exchanged for one."""

    username: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.username or self.secret or self.identity_token or self.registry_token)


@dataclass(frozen=True, kw_only=True)
class Logins:
    """The logins of one Docker configuration. Nothing is asked of a helper before `get` or `all`."""

    auths: Mapping[str, Login] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    source: str = ""
    timeout: float = HELPER_TIMEOUT
    #: logins that go before all that the configuration says, by key
    given: Mapping[str, Login] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Logins:
        """The logins of `$DOCKER_CONFIG/config.json`, or of `~/.docker`; no file means no logins."""
        return read_config(config_path(environ), environ)

    def get(self, host: str) -> Login | None:
        """The login for a registry host (`docker.io` or Docker's own key for the Hub), or None."""
        key = auth_key(host)
        if key in self.given:
            return self.given[key]
        helper = self.helpers.get(key) or self.store
        found = self._ask(helper, key) if helper else None
        return found or self.auths.get(key)

    def all(self, on_error: Callable[[TaskEngineError], None] | None = None) -> dict[str, Login]:
        """Every login by its key. A helper that fails raises, or is told to `on_error` and skipped."""
        found = {key: login for key, login in self.auths.items() if login}
        for helper, keys in self._keys_by_helper(on_error):
            for key in keys:
                try:
                    login = self._ask(helper, key)
                except TaskEngineError as error:
                    _tell(error, on_error)
                    break
                if login:
                    found[auth_key(key)] = login
        return found | dict(self.given)

    def giving(self, logins: Mapping[str, Login]) -> Logins:
        """The same, with these logins by host in front of all others."""
        return replace(self, given={**self.given, **{auth_key(host): login for host, login in logins.items()}})

    def _keys_by_helper(self, on_error: Callable[[TaskEngineError], None] | None) -> list[tuple[str, list[str]]]:
        wanted = [(helper, [key]) for key, helper in self.helpers.items()]
        if self.store:
            try:
                listed = _json_object(_run_helper(self.store, "list", "", self), self.store)
                wanted.append((self.store, [key for key in listed if auth_key(key) not in self.helpers]))
            except TaskEngineError as error:
                _tell(error, on_error)
        return wanted

    def _ask(self, helper: str, key: str) -> Login | None:
        answer = _run_helper(helper, "get", key, self)
        if answer is None:
            return None
        fields = _json_object(answer, helper)
        username, secret = fields.get("Username", ""), fields.get("Secret", "")
        if not isinstance(username, str) or not isinstance(secret, str):
            raise _strange_answer(helper)
        if username == _TOKEN_USER:
            return Login(identity_token=secret)
        return Login(username=username, secret=secret) or None


def config_path(environ: Mapping[str, str]) -> Path:
    folder = environ.get("DOCKER_CONFIG") or ""
    return (
        Path(folder) / "config.json"
        if folder
        else Path(environ.get("HOME") or "~").expanduser() / ".docker/config.json"
    )


def read_config(path: Path, environ: Mapping[str, str]) -> Logins:
    """The logins of one `config.json`; a file that is not there has none."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_CONFIG + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Logins(environ=environ, source=str(path))
    except OSError as error:
        raise InvalidInput(
            f"cannot read Docker's configuration {path}: {error.strerror or error}",
            hint="make it readable, or point DOCKER_CONFIG at another folder",
        ) from None
    return parse_config(content, path=str(path), environ=environ)


def parse_config(content: bytes, *, path: str, environ: Mapping[str, str]) -> Logins:
    """Logins from the text of a `config.json`. Parts that have nothing to do with logins are not looked at."""
    config = _load(content, path)
    auths = {auth_key(host): _login(entry, host, path) for host, entry in _table(config, "auths", path).items()}
    helpers = {
        auth_key(host): _helper_name(name, path) for host, name in _table(config, "credHelpers", path).items() if name
    }
    store = config.get("credsStore") or ""
    return Logins(
        auths=auths,
        helpers=helpers,
        store=_helper_name(store, path) if store else "",
        environ=environ,
        source=path,
    )


def _load(content: bytes, path: str) -> dict[str, Any]:
    if len(content) > _LARGEST_CONFIG:
        raise InvalidInput(
            f"{path} is larger than {_LARGEST_CONFIG} bytes", hint="is it really Docker's configuration?"
        )
    try:
        config = json.loads(content or b"{}")
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise InvalidInput(f"{where}: {error.msg}", hint="the file must be JSON; `docker login` writes it") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path} is no JSON", hint="the file must be JSON; `docker login` writes it") from None
    if not isinstance(config, dict):
        raise InvalidInput(f"{path} holds no JSON object", hint="`docker login` writes it")
    return config


def _table(config: Mapping[str, Any], key: str, path: str) -> Mapping[str, Any]:
    table = config.get(key) or {}
    if not isinstance(table, dict):
        raise InvalidInput(f"{path}: {key} must be an object", hint="its keys are registry hosts")
    return table


def _login(entry: object, host: str, path: str) -> Login:
    if not isinstance(entry, dict):
        raise InvalidInput(f"{path}: the entry of {host} in auths must be an object", hint=f"run `docker login {host}`")
    username, secret = _text(entry, "username"), _text(entry, "password")
    packed = _text(entry, "auth")
    if packed:
        username, secret = _unpack(packed, host, path)
    return Login(
        username=username,
        secret=secret,
        identity_token=_text(entry, "identitytoken"),
        registry_token=_text(entry, "registrytoken"),
    )


def _text(entry: Mapping[str, object], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _unpack(packed: str, host: str, path: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(packed, validate=True).decode()
    except (binascii.Error, ValueError):
        decoded = ""
    username, colon, secret = decoded.partition(":")
    if not colon:
        raise InvalidInput(
            f"{path}: auth of {host} is not the base64 of user:password", hint=f"run `docker login {host}` again"
        )
    # Docker pads some entries with NULs that are not part of the password.
    return username, secret.rstrip("\0")


def _helper_name(name: object, path: str) -> str:
    if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
        raise InvalidInput(
            f"{path}: {name!r} is no name of a credential helper", hint="it is the X of a program docker-credential-X"
        )
    return name


def _run_helper(helper: str, verb: str, given: str, logins: Logins) -> str | None:
    """A helper's answer; None when it has no login for what it was given."""
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb],
            input=given.encode(),
            capture_output=True,
            timeout=logins.timeout,
            check=False,
            env=dict(logins.environ) or None,
        )
    except FileNotFoundError:
        raise InvalidInput(
            f"the credential helper {program} is not installed",
            hint=f"install it, or remove it from {logins.source or 'config.json'} and log in again",
        ) from None
    except OSError as error:
        raise InvalidInput(f"{program} cannot be started: {error.strerror or error}", hint="check its mode") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(
            f"{program} {verb} gave no answer within {logins.timeout:g} s",
            hint="it may be waiting for a key ring to be unlocked; try it by hand",
        ) from None
    if done.returncode == 0:
        return done.stdout.decode(errors="replace")
    # Helpers say "not found" on stdout with status 1. What else stands on stdout may hold a secret and is not shown.
    if _NOT_FOUND in done.stdout.decode(errors="replace").lower():
        return None
    raise Unreachable(
        f"{program} {verb} failed with status {done.returncode}{_first_line(done.stderr)}",
        hint=f"try it by hand: echo {given or 'HOST'} | {program} {verb}",
    )


def _first_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f": {lines[0][:200]}" if lines else ""


def _json_object(answer: str | None, helper: str) -> dict[str, Any]:
    if answer is None:
        return {}
    try:
        value = json.loads(answer or "{}")
    except (ValueError, RecursionError):
        raise _strange_answer(helper) from None
    if not isinstance(value, dict):
        raise _strange_answer(helper)
    return value


def _strange_answer(helper: str) -> TaskEngineError:
    return Unreachable(f"docker-credential-{helper} gave an answer that is no login", hint="update the helper")


def _tell(error: TaskEngineError, on_error: Callable[[TaskEngineError], None] | None) -> None:
    if on_error is None:
        raise error
    on_error(error)
