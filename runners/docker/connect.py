"""Finds and opens the engine: DOCKER_HOST, Docker's contexts, or the default socket, in that order, as the CLI does.

https://docs.docker.com/engine/manage-resources/contexts/
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from runners.docker.engine import Engine
from taskengine.errors import Unreachable

#: seconds an ordinary API call may take; long ones (attach, wait, pull, push) set their own
CALL_TIMEOUT = 120


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


def connect(endpoint: Endpoint) -> Engine:
    """An API client for the engine, its version negotiated. Raises Unreachable with what to do about it."""
    with _without_paramiko(endpoint.host):
        import docker
    import requests
    from docker.errors import DockerException
    from docker.tls import TLSConfig

    options: dict[str, Any] = {}
    if endpoint.tls_dir:
        folder = Path(endpoint.tls_dir)
        options["tls"] = TLSConfig(
            client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")) if (folder / "cert.pem").exists() else None,
            ca_cert=str(folder / "ca.pem") if (folder / "ca.pem").exists() else None,
            verify=endpoint.tls_verify,
        )
    if endpoint.host.startswith("ssh://"):
        options["use_ssh_client"] = shutil.which("ssh") is not None
    try:
        client = docker.APIClient(
            base_url=endpoint.host, version="auto", timeout=CALL_TIMEOUT, num_pools=64, max_pool_size=64, **options
        )
    except (DockerException, requests.RequestException, OSError, ValueError) as error:
        where = f"{endpoint.host} (context {endpoint.context})" if endpoint.context else endpoint.host
        raise Unreachable(f"no Docker Engine answers at {where}: {_short(error)}", hint=_hint(endpoint.host)) from error
    return cast(Engine, client)


@contextlib.contextmanager
def _without_paramiko(host: str) -> Iterator[None]:
    """docker-py loads paramiko, half of its import time, for every address; only ssh:// ones have a use for it."""
    if host.startswith("ssh://") or "paramiko" in sys.modules:
        yield
        return
    sys.modules["paramiko"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["paramiko"]


def _short(error: BaseException) -> str:
    text = str(error)
    for known, plain in (
        ("Permission denied", "permission denied"),
        ("PermissionError", "permission denied"),
        ("FileNotFoundError", "no such socket"),
        ("No such file", "no such socket"),
        ("Connection refused", "connection refused"),
        ("ConnectionRefusedError", "connection refused"),
        ("timed out", "timed out"),
    ):
        if known in text:
            return plain
    return text.splitlines()[0][:200] if text else type(error).__name__


def _hint(host: str) -> str:
    if host.startswith("unix://"):
        path = Path(host.removeprefix("unix://"))
        if path.exists() and not os.access(path, os.W_OK):
            return f"your user may not use {path}; join the group that owns it or use sudo"
        return "start the Docker Engine, or set DOCKER_HOST or `docker context use`; `acr-task doctor` says more"
    return "check DOCKER_HOST or `docker context show`, and that the engine listens there"
