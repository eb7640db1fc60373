"""Finds and opens the engine: DOCKER_HOST, Docker's contexts, or the default socket, in that order, as the CLI does.

https://docs.docker.com/engine/manage-resources/contexts/
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from runners.docker.engine import Engine
from runners.docker.failure import plain
from runners.docker.localengine import LocalEngine
from runners.docker.refused import failed
from taskengine.errors import Unreachable
from taskengine.lightclass import dataclass

#: seconds an ordinary API call may take; long ones (attach, wait, pull, push) set their own
CALL_TIMEOUT = 120
#: seconds until an engine has to have answered at all
FIRST_ANSWER = 10.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where an engine is: its address, and the TLS files and the context it comes from, if any."""

    host: str
    context: str = ""
    tls_dir: str = ""
    tls_verify: bool = True

    @property
    def socket_path(self) -> str:
        """The path of the engine's socket as seen by the engine itself, to hand to a container."""
        return self.host.removeprefix("unix://") if self.host.startswith("unix://") else "/var/run/docker.sock"


def find_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """The endpoint that the Docker CLI would use with this environment. Touches no network."""
    if host := environ.get("DOCKER_HOST"):
        tls = environ.get("DOCKER_TLS_VERIFY", "")
        certs = environ.get("DOCKER_CERT_PATH", "") or (str(Path.home() / ".docker") if tls else "")
        return Endpoint(host=host, tls_dir=certs if host.startswith("tcp://") else "", tls_verify=bool(tls))
    if context := _context(environ):
        return context
    return Endpoint(host="unix:///var/run/docker.sock")


def _context(environ: Mapping[str, str]) -> Endpoint | None:
    import json

    config_dir = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = environ.get("DOCKER_CONTEXT", "")
    if not name:
        try:
            name = json.loads((config_dir / "config.json").read_bytes()).get("currentContext", "")
        except (OSError, ValueError):
            return None
    if not name or name == "default":
        return None
    import hashlib

    digest = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = json.loads((config_dir / "contexts" / "meta" / digest / "meta.json").read_bytes())
        endpoint = meta["Endpoints"]["docker"]
    except (OSError, ValueError, KeyError) as error:
        raise Unreachable(
            f"the Docker context {name!r} cannot be read",
            hint="docker context ls shows the contexts; unset DOCKER_CONTEXT",
        ) from error
    tls = config_dir / "contexts" / "tls" / digest / "docker"
    return Endpoint(
        host=endpoint.get("Host", ""),
        context=name,
        tls_dir=str(tls) if tls.is_dir() else "",
        tls_verify=not endpoint.get("SkipTLSVerify", False),
    )


def connect(endpoint: Endpoint, *, patience: float = FIRST_ANSWER) -> Engine:
    """An API client for the engine, its version negotiated. Raises Unreachable with what to do about it.

    `patience` is how many seconds its first answer may take."""
    is_local = endpoint.host.startswith("unix://")
    client: Any = None
    try:
        if is_local:
            client = LocalEngine(
                endpoint.host.removeprefix("unix://"), timeout=patience, headers=_extra_headers(os.environ)
            )
            client.negotiate()
        else:
            client = _library_client(endpoint, patience)
            client._version = _api_version(client)
        client.timeout = CALL_TIMEOUT
    except failed(ValueError) as error:
        where = f"{endpoint.host} (context {endpoint.context})" if endpoint.context else endpoint.host
        adapter = getattr(client, "_custom_adapter", None)
        why = getattr(adapter, "failure", "") or plain(error)
        if client is not None:
            client.close()
        raise Unreachable(f"no Docker Engine answers at {where}: {why}", hint=_hint(endpoint)) from error
    return cast(Engine, client)


def _library_client(endpoint: Endpoint, patience: float) -> Any:
    """docker-py, for an engine that is elsewhere. It has asked nothing yet."""
    with _without_paramiko():
        import docker
    from docker.constants import MINIMUM_DOCKER_API_VERSION

    is_ssh = endpoint.host.startswith("ssh://")
    client: Any = docker.APIClient(
        # with a version given, this asks the engine nothing: how it is reached is not settled yet
        base_url="unix:///ssh" if is_ssh else endpoint.host,
        version=MINIMUM_DOCKER_API_VERSION,
        timeout=patience,  # type: ignore[arg-type] # requests takes fractions
        num_pools=64,
        max_pool_size=64,
        tls=_tls(endpoint),
    )
    # requests would let REQUESTS_CA_BUNDLE go before our authority, and send what is for the engine to a proxy
    client.trust_env = False
    if is_ssh:
        from runners.docker.ssh import SshAdapter

        client._custom_adapter = adapter = SshAdapter(endpoint.host, patience=patience, most=64)
        client.mount("http+docker://", adapter)
    return client


def _extra_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """What the user's Docker configuration adds to every request."""
    import json

    folder = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        found = json.loads((folder / "config.json").read_bytes()).get("HttpHeaders")
    except (OSError, ValueError, AttributeError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _api_version(client: Any) -> str:
    """The newest version that the engine speaks: /_ping knows it at once, /version starts programs to tell more."""
    answer = client._get(client._url("/_ping", versioned_api=False))
    client._raise_for_status(answer)
    return str(answer.headers.get("API-Version") or client._retrieve_server_version())


def _tls(endpoint: Endpoint) -> Any:
    """What docker-py wants to know of the certificates, False without any."""
    if not endpoint.tls_dir:
        return False
    from docker.tls import TLSConfig

    ca, cert, key = (str(Path(endpoint.tls_dir) / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    return TLSConfig(
        client_cert=(cert, key) if Path(cert).exists() else None,
        ca_cert=ca if Path(ca).exists() else None,
        verify=endpoint.tls_verify,
    )


@contextlib.contextmanager
def _without_paramiko() -> Iterator[None]:
    """docker-py loads paramiko where it is installed, half of its import time; our ssh is OpenSSH's."""
    if "paramiko" in sys.modules:
        yield
        return
    sys.modules["paramiko"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["paramiko"]


def _hint(endpoint: Endpoint) -> str:
    host = endpoint.host
    if host.startswith("unix://"):
        path = Path(host.removeprefix("unix://"))
        if path.exists() and not os.access(path, os.W_OK):
            return f"your user may not use {path}; join the group that owns it or use sudo"
        return "start the Docker Engine, or set DOCKER_HOST or `docker context use`; `acr-task doctor` says more"
    if host.startswith("ssh://"):
        name = host.removeprefix("ssh://").partition("/")[0]
        return f"try `ssh {name} docker version`; no passwords are asked for here: load the key into ssh-agent"
    if endpoint.tls_dir:
        return (
            f"{endpoint.tls_dir} should hold the ca.pem that signed the engine's certificate, and cert.pem and key.pem"
        )
    return "check DOCKER_HOST or `docker context show`, and that the engine listens there"
