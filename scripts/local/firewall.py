"""What a dockerd does to the host's network and does not undo: its bridge, its chains, forwarding and its policy.

Undone only as far as it was not there before our dockerd started."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_BRIDGE = "docker0"


def snapshot() -> dict[str, Any]:
    """To be taken before dockerd starts."""
    return {
        "bridge": _has_bridge(),
        "chains": any(_docker_rules(table) for table in ("nat", "filter")),
        "policy": _forward_policy(),
        "ip_forward": _FORWARD.read_text().strip(),
    }


def restore(before: dict[str, Any]) -> None:
    """To be called after dockerd ended. Rules of others stay, whenever they were made."""
    if not before["chains"]:
        for table in ("nat", "filter"):
            _remove_docker_rules(table)
    if not before["bridge"] and _has_bridge():
        _run("ip", "link", "del", _BRIDGE)
    if before["policy"] and before["policy"] != _forward_policy():
        _run("iptables", "--policy", "FORWARD", before["policy"])
    if _FORWARD.read_text().strip() != before["ip_forward"]:
        _FORWARD.write_text(before["ip_forward"])


def _has_bridge() -> bool:
    return Path("/sys/class/net", _BRIDGE).exists()


def _docker_rules(table: str) -> list[str]:
    lines = _run("iptables", "--table", table, "--list-rules").splitlines()
    return [line for line in lines if "DOCKER" in line or _BRIDGE in line]


def _remove_docker_rules(table: str) -> None:
    rules = _docker_rules(table)
    for rule in (r for r in rules if r.startswith("-A ")):
        _run("iptables", "--table", table, *shlex.split(rule.replace("-A ", "-D ", 1)))
    for chain in (r.split()[1] for r in rules if r.startswith("-N ")):
        _run("iptables", "--table", table, "--delete-chain", chain)


def _forward_policy() -> str:
    lines = _run("iptables", "--list-rules", "FORWARD").splitlines()
    return next((line.split()[2] for line in lines if line.startswith("-P FORWARD ")), "")


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except FileNotFoundError:
        return ""
