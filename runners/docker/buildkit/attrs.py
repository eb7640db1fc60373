"""What BuildKit's Dockerfile frontend and Docker's exporter are told about a build. Pure: a request in, strings out."""

from __future__ import annotations

import csv
import io
import ipaddress
from collections.abc import Iterable

from taskengine.errors import InvalidInput

from .model import BuildRequest

_NETWORKS = ("", "default", "host", "none")


def frontend_attrs(request: BuildRequest) -> dict[str, str]:
    """The attributes of frontend dockerfile.v0, as `docker build` would set them."""
    attrs = {f"build-arg:{name}": value for name, value in request.build_args.items()}
    attrs |= {f"label:{name}": value for name, value in request.labels.items()}
    choices = {
        "target": request.target,
        "platform": request.platform,
        "image-resolve-mode": "pull" if request.pull else "",
        "force-network-mode": _network(request.network),
        "add-hosts": _csv(_host(entry) for entry in request.add_hosts),
        "shm-size": "" if request.shm_size is None else str(request.shm_size),
        "ulimit": _csv(str(limit) for limit in request.ulimits),
        "cache-from": _csv(request.cache_from),
        "no-cache": _csv(request.no_cache_stages),
    }
    attrs |= {name: value for name, value in choices.items() if value}
    if request.no_cache:
        attrs["no-cache"] = ""  # an empty list of stages means all
    attrs |= request.extra_attrs
    for name, value in attrs.items():
        _encodable(name, value)
    return attrs


def exporter_attrs(request: BuildRequest) -> dict[str, str]:
    """The image lands in the engine's own store under all its names."""
    return {"name": _csv(request.tags)} if request.tags else {}


def cache_exports(request: BuildRequest) -> list[tuple[str, dict[str, str]]]:
    """Kinds of caches to write, each with its attributes."""
    exports: list[tuple[str, dict[str, str]]] = [("inline", {})] if request.inline_cache else []
    if request.registry_cache is not None:
        mode = "max" if request.registry_cache.all_stages else "min"
        exports.append(("registry", {"ref": request.registry_cache.reference, "mode": mode}))
    return exports


def entitlements(request: BuildRequest) -> tuple[str, ...]:
    return ("network.host",) if request.network == "host" else ()


def _network(name: str) -> str:
    if name not in _NETWORKS:
        raise InvalidInput(
            f"a build cannot join the network '{name}'", hint="BuildKit knows the networks 'host', 'none' and 'default'"
        )
    return "" if name == "default" else name


def _host(entry: str) -> str:
    """Docker writes name:address, newer ones name=address as well; an IPv6 address may stand in brackets."""
    separator = "=" if "=" in entry else ":"
    name, found, address = entry.partition(separator)
    address = address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        found = ""
    if not name or not found:
        raise InvalidInput(f"'{entry}' is no host with its address", hint="write NAME:ADDRESS, for example db:10.0.0.5")
    return f"{name}={address}"


def _csv(values: Iterable[str]) -> str:
    """BuildKit reads lists as one line of comma-separated values, in quotes where one holds a comma itself."""
    fields = list(values)
    if not fields:
        return ""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _encodable(name: str, value: str) -> None:
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"the value of '{name}' is no valid text", hint="values must be UTF-8") from error
