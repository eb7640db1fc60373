"""Registry logins in the forms that the engine, BuildKit and Docker's config.json want them in."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from taskengine.registry.auth import Login, Logins


def auth_config(login: Login | None) -> dict[str, str]:
    """For the X-Registry-Auth header of pull and push; empty for none (an anonymous request)."""
    if login is None:
        return {}
    fields = {
        "username": login.username,
        "password": login.secret,
        "identitytoken": login.identity_token,
        "registrytoken": login.registry_token,
    }
    return {key: value for key, value in fields.items() if value}


def build_credentials(logins: Logins, host: str) -> tuple[str, str] | None:
    """For BuildKit, which knows user and secret only: an identity token goes with an empty user."""
    login = logins.get(host)
    if login is None:
        return None
    return ("", login.identity_token) if login.identity_token else (login.username, login.secret)


def config_json(logins: Mapping[str, Login]) -> bytes:
    """A config.json for the Docker command line inside a container, with these logins and no helpers."""
    return json.dumps({"auths": {host: _entry(login) for host, login in logins.items()}}).encode()


def _entry(login: Login) -> dict[str, str]:
    if login.identity_token:
        return {"identitytoken": login.identity_token}
    if login.registry_token:
        return {"registrytoken": login.registry_token}
    return {"auth": base64.b64encode(f"{login.username}:{login.secret}".encode()).decode()}
