"""`scripts/registry up|down|status`: a registry on loopback, at port 5000 or the next free one. Prints its name."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time

from scripts.local.state import STATE, forget, load, save
from tests.support.place import identity
from tests.support.registry import Registry

FIRST_PORT = 5000


def up() -> str:
    saved = load("registry")
    if _lives(saved):
        return str(saved["name"])
    registry = Registry(STATE / "registry", address="127.0.0.1", port=_free_port())
    registry.launch()
    registry.await_ready()
    save("registry", {"name": registry.name, "process": identity(registry.pid)})
    return registry.name


def down() -> None:
    saved = load("registry")
    if _lives(saved):
        pid = int(saved["process"].split()[0])
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while _lives(saved) and time.monotonic() < deadline:
            time.sleep(0.02)
        if _lives(saved):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(STATE / "registry", ignore_errors=True)
    forget("registry")


def status() -> str | None:
    saved = load("registry")
    return str(saved["name"]) if _lives(saved) else None


def _lives(saved: dict[str, str]) -> bool:
    """A process id may have gone to another by now; its start time has not."""
    return bool(saved) and identity(int(saved["process"].split()[0])) == saved["process"]


def _free_port() -> int:
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port from {FIRST_PORT} to {FIRST_PORT + 99}")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["up"]:
            print(up())
        case ["down"]:
            down()
        case ["status"]:
            name = status()
            print(f"registry: {name}" if name else "registry: not running")
            return 0 if name else 3
        case _:
            print("usage: scripts/registry up|down|status", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
