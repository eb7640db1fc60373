"""Limits of RUN steps that a build line may ask for, and which builder knows which. Pure.

BuildKit has none for memory and processors; the classic builder has them all.
"""

from __future__ import annotations

from taskengine.plan.model import BuildLine
from taskengine.plan.value import size_bytes

_DOCKER_23 = (1, 42)
_FROM_23 = frozenset({"shm-size", "ulimit"})
#: limits that only the classic builder has, with the Engine API's names for them; memory is in bytes there
CLASSIC = {
    "cgroup-parent": "cgroupparent",
    "cpu-period": "cpuperiod",
    "cpu-quota": "cpuquota",
    "cpu-shares": "cpushares",
    "cpuset-cpus": "cpusetcpus",
    "cpuset-mems": "cpusetmems",
    "memory": "memory",
    "memory-swap": "memswap",
}
_SIZES = frozenset({"memory", "memory-swap"})


def is_before_docker_23(api_version: str) -> bool:
    """Whether the Dockerfile frontend inside of an engine that speaks this API version is from before Docker 23."""
    return tuple(int(part) for part in api_version.split(".") if part.isdigit()) < _DOCKER_23


def idle_limits(line: BuildLine, *, is_old: bool) -> str:
    """What to say about limits that BuildKit knows nothing of, "" when there are none: the build goes on without."""
    idle = sorted({name for name, _ in line.options if name in CLASSIC or (is_old and name in _FROM_23)})
    names = ", ".join(f"--{name}" for name in idle)
    return f"{names}: BuildKit of this engine sets no such limit; the build goes on without" if idle else ""


def classic_limits(line: BuildLine) -> dict[str, str]:
    """The limits that the classic builder is told, by the Engine API's names."""
    found = {name: value for name, value in line.options if name in CLASSIC}  # the last of each counts
    return {CLASSIC[name]: str(size_bytes(v)) if name in _SIZES else v for name, v in found.items()}
