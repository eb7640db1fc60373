"""Which server is meant, and the token for it: the environment's, else what `acr-task login` stored.

Knows files and addresses, and no resource of the API.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from taskengine.client.api import ServiceApi

SERVER, TOKEN, CA_FILE = "ACR_TASK_SERVER", "ACR_TASK_TOKEN", "ACR_TASK_CA_FILE"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server's root address and the token for it. `ca_file` names certificates to trust, "" the usual ones."""

    url: str
    token: str = field(default="", repr=False)
    ca_file: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the token would travel where others can read it."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and (parts.hostname or "") not in _LOOPBACK


def server_file(data_dir: Path) -> Path:
    """Where `acr-task login` keeps which server is meant, and the token for it; for its owner only."""
    return data_dir / "server.json"


def address(text: str) -> str:
    """A server's address as it is kept: with a scheme, without a slash at its end. Raises InvalidInput."""
    given = text.strip()
    if "://" not in given:
        host = given.partition("/")[0]
        name = host if host.count(":") > 1 and not host.startswith("[") else host.rpartition(":")[0] or host
        given = f"{'http' if name.strip('[]') in _LOOPBACK else 'https'}://{given}"
    try:
        parts = urlsplit(given)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise InvalidInput(f"'{text[:200]}' is no address of a server", hint="write https://HOST[:PORT]")
    if "@" in parts.netloc:
        # The text is not repeated: what stands before the @ may be a secret.
        raise InvalidInput("a server's address holds no login", hint="give the token on its own")
    return given.rstrip("/")


def configured(environ: Mapping[str, str], data_dir: Path) -> Target | None:
    """The server that is meant; None where there is none, and runs stay on this machine's engine."""
    stored = _stored(data_dir)
    ca_file = environ.get(CA_FILE, "")
    if given := environ.get(SERVER, ""):
        url = address(given)
        token = environ.get(TOKEN, "") or (stored.token if stored is not None and stored.url == url else "")
        return Target(url=url, token=token, ca_file=ca_file or (stored.ca_file if stored and stored.url == url else ""))
    if stored is None:
        return None
    return Target(url=stored.url, token=environ.get(TOKEN, "") or stored.token, ca_file=ca_file or stored.ca_file)


def needed(environ: Mapping[str, str], data_dir: Path) -> Target:
    """The server that is meant. Raises InvalidInput where there is none."""
    found = configured(environ, data_dir)
    if found is None:
        raise InvalidInput(
            "this needs a server, and none is configured",
            hint=f"acr-task login https://SERVER, or set {SERVER} and {TOKEN}; 'acr-task serve' starts one",
        )
    return found


def store(data_dir: Path, target: Target) -> Path:
    """Keep a login, for its owner only; never half of it."""
    path = server_file(data_dir)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({"server": target.url, "token": target.token, "caFile": target.ca_file}, indent=2)
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".server-")  # 0600 from its first byte on
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def forget(data_dir: Path) -> str:
    """Remove the login; returns the server's address, "" when there was none."""
    path = server_file(data_dir)
    try:
        url = json.loads(path.read_bytes()).get("server", "")
    except (OSError, ValueError, AttributeError):
        url = ""
    there = path.exists()
    path.unlink(missing_ok=True)
    return str(url) or ("a server" if there else "")


def connect(target: Target) -> ServiceApi:
    """The API of a server. Close it, or use it with `with`. Raises InvalidInput for certificates that are not there."""
    from taskengine.client.api import ServiceApi
    from taskengine.client.transport import Transport

    if target.ca_file and not Path(target.ca_file).is_file():
        raise InvalidInput(f"{CA_FILE} names {target.ca_file}, which is not there", hint="correct the path")
    return ServiceApi(Transport(target.url, target.token, verify=target.ca_file or True))


def service() -> ServiceApi:
    """The API of the server that this command is meant for. Raises InvalidInput where there is none."""
    from taskengine import wiring

    using = wiring.settings()
    return connect(needed(using.environ, using.data_dir))


def _stored(data_dir: Path) -> Target | None:
    path = server_file(data_dir)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        found = json.loads(data)
        return Target(
            url=address(found["server"]), token=str(found.get("token", "")), ca_file=str(found.get("caFile", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{path} is no stored login", hint="run 'acr-task logout', and 'acr-task login SERVER' again"
        ) from error
