"""`scripts/engine up|down|status|env`: the engine of the demo.

The one that answers (DOCKER_HOST, docker's context, the usual socket) is used as it is. Where none does, the
distribution's dockerd is started as ours, with data of its own; `down` ends it and leaves no trace.
On an engine that was there before, `down` removes the images that the demo made, by name, and nothing else: those
that appeared between `mark` and `keep`, around the demo's own run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from runners.docker.connect import Endpoint, connect, find_endpoint
from scripts.local import firewall
from scripts.local.base import ensure_bases
from scripts.local.state import ROOT, clone_id, forget, load, save
from taskengine.errors import Unreachable
from tests.support.daemon import Daemon
from tests.support.place import Place, end_containers

if TYPE_CHECKING:
    from docker import APIClient

_USUAL_SOCKET = Path("/var/run/docker.sock")
_HOST_SETTINGS = Path("/etc/docker/daemon.json")
# What this network's owner may have set for every dockerd; the rest (data-root, hosts ...) would clash with ours.
_KEPT_SETTINGS = frozenset(
    {"registry-mirrors", "insecure-registries", "proxies", "dns", "bip", "default-address-pools", "mtu"}
)


def up() -> str:
    """Where the engine is. What we are about to make is remembered before it is made."""
    saved = load("engine")
    if saved.get("ours"):
        if _daemon(saved["sockets"]).answers():
            return f"{saved['host']} (started by this project; `make down` stops it)"
        down()  # it died; a fresh one owes nothing to what it left
    endpoint = find_endpoint(os.environ)
    try:
        _client(endpoint)
    except Unreachable:
        if os.environ.get("DOCKER_HOST"):
            raise  # who names an engine does not want another
        return f"{_start()} (started by this project; `make down` stops it)"
    if saved.get("host") != endpoint.host:
        save("engine", {"ours": False, "host": endpoint.host, "bases": [], "made": []})
    return f"{endpoint.host} (running already; nothing on it will be changed)"


def down() -> None:
    saved = load("engine")
    if not saved:
        return
    if saved["ours"]:
        _stop(saved)
    else:
        _remove_our_images(saved)
    forget("engine")


def bases() -> None:
    """Bring the base images, and remember which."""
    saved = load("engine")
    brought = ensure_bases(_client(find_endpoint(_environment(saved))))
    if brought and not saved.get("ours"):
        save("engine", saved | {"bases": [*saved.get("bases", []), *brought]})


def mark() -> None:
    """Remember which images are there just before the demo runs."""
    saved = load("engine")
    if saved and not saved["ours"]:
        save("engine", saved | {"before": _tags(_client(find_endpoint(os.environ)))})


def keep(registry: str) -> None:
    """Remember which images the demo made since `mark`: only names that it gives."""
    saved = load("engine")
    if not saved or saved["ours"] or "before" not in saved:
        return
    prefixes = (f"{registry}/quickstart/", "acr-task/sandbox:")
    before = set(saved.pop("before"))
    new = {tag for tag in _tags(_client(find_endpoint(os.environ))) if tag.startswith(prefixes)} - before
    save("engine", saved | {"made": sorted({*saved.get("made", []), *new})})


def status() -> tuple[str, bool]:
    saved = load("engine")
    endpoint = find_endpoint(_environment(saved))
    try:
        version = _client(endpoint).version()["Version"]
    except Unreachable as error:
        return f"engine: {error}", False
    origin = "started by this project" if saved.get("ours") else "not started by this project"
    return f"engine: {endpoint.host}, version {version}, {origin}", True


def environment_lines() -> list[str]:
    """For a shell to evaluate: only where the engine is not found without it."""
    saved = load("engine")
    return [f"export DOCKER_HOST={shlex.quote(saved['host'])}"] if saved.get("ours") else []


def _client(endpoint: Endpoint) -> APIClient:
    return cast("APIClient", connect(endpoint))


def _environment(saved: dict[str, Any]) -> dict[str, str]:
    return {**os.environ, "DOCKER_HOST": saved["host"]} if saved.get("ours") else dict(os.environ)


def _place() -> Place:
    # A short path: a socket's may not be longer than 107 bytes, wherever this clone stands.
    return Place(folder=Path(f"/var/lib/acr-task-{clone_id()}"), cgroup=f"/acr-task-{clone_id()}")


def _daemon(sockets: list[str]) -> Daemon:
    extra = [argument for path in sockets for argument in ("--host", f"unix://{path}")]
    return Daemon(_place(), extra=extra, settings=_settings())


def _settings() -> dict[str, Any]:
    try:
        settings = json.loads(_HOST_SETTINGS.read_text())
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in settings.items() if key in _KEPT_SETTINGS}


def _start() -> str:
    if os.geteuid() != 0:
        raise RuntimeError("no Docker Engine answers, and only root may start one: start yours, or set DOCKER_HOST")
    subprocess.run([ROOT / "scripts" / "setup", "--engine"], check=True)
    place = _place()
    place.remove()
    place.folder.mkdir(parents=True)
    sockets = [] if _is_used(_USUAL_SOCKET) else [str(_USUAL_SOCKET)]
    daemon = _daemon(sockets)
    host = f"unix://{sockets[0]}" if sockets else daemon.host
    save("engine", {"ours": True, "host": host, "sockets": sockets, "network": firewall.snapshot()})
    try:
        daemon.launch(prefix=_unit_prefix())
        daemon.await_ready()
    except RuntimeError:
        down()
        raise
    return host


def _unit_prefix() -> tuple[str, ...]:
    """With systemd, a unit of its own: it outlives the session, and its cgroups are its own affair."""
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemd-run") is None:
        return ()
    unit = f"--unit=acr-task-engine-{clone_id()}"
    return ("systemd-run", "--quiet", "--scope", unit, "--property=Delegate=yes", "--")


def _is_used(path: Path) -> bool:
    """Whether somebody listens; a socket left by a dead dockerd is nobody's."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


def _stop(saved: dict[str, Any]) -> None:
    place = _place()
    daemon = _daemon(saved["sockets"])
    if daemon.answers():
        _empty(daemon.host, place)
    _end(place.folder / "pid")
    place.remove()
    for path in saved["sockets"]:
        if not _is_used(Path(path)):
            Path(path).unlink(missing_ok=True)
    firewall.restore(saved["network"])


def _empty(host: str, place: Place) -> None:
    """Containers and networks: a dockerd that ends leaves their bridges and rules on the host."""
    import docker
    from docker.errors import APIError

    api = docker.APIClient(base_url=host, version="auto")
    try:
        end_containers(place.cgroup)
        for container in api.containers(all=True):
            api.remove_container(container["Id"], force=True, v=True)
        for network in api.networks():
            if network["Name"] not in ("bridge", "host", "none"):
                api.remove_network(network["Id"])
    except APIError as error:
        print(f"engine: {error.explanation}", file=sys.stderr)
    finally:
        api.close()


def _end(pid_file: Path) -> None:
    """Ask dockerd to go; what does not, `Place.remove` ends."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + 15
    while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _tags(api: APIClient) -> list[str]:
    return sorted({tag for image in api.images() for tag in image["RepoTags"] or [] if tag != "<none>:<none>"})


def _remove_our_images(saved: dict[str, Any]) -> None:
    from docker.errors import APIError

    try:
        api = _client(find_endpoint(os.environ))
    except Unreachable as error:
        print(f"engine: {error}; images of the demo may remain on it", file=sys.stderr)
        return
    ours = {*saved.get("made", []), *saved["bases"]}
    for tag in sorted(ours & set(_tags(api))):
        try:
            api.remove_image(tag)
        except APIError as error:
            print(f"engine: {tag} stays: {error.explanation}", file=sys.stderr)


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["up"]:
                print(f"engine: {up()}", file=sys.stderr)
            case ["down"]:
                down()
            case ["bases"]:
                bases()
            case ["mark"]:
                mark()
            case ["keep", registry]:
                keep(registry)
            case ["env"]:
                print("\n".join(environment_lines()))
            case ["status"]:
                text, answers = status()
                print(text)
                return 0 if answers else 3
            case _:
                print("usage: scripts/engine up|down|status|env|bases", file=sys.stderr)
                return 2
    except (Unreachable, RuntimeError) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
