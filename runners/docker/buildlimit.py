"""Limits of RUN steps that a build line may ask for, and which builder knows which. Pure.

BuildKit has none for memory and processors; the classic builder has them all.
"""

from __future__ import annotations

from taskengine.plan.model import BuildLine

_DOCKER_23 = (1, 42)
_FROM_23 = frozenset({"shm-size", "ulimit"})
_CLASSIC = frozenset(
    {
        "cgroup-parent", "cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "memory", "memory-swap",
    }
)  # fmt: skip


def is_before_docker_23(api_version: str) -> bool:
    """Whether the Dockerfile frontend inside of an engine that speaks this API version is from before Docker 23."""
    return tuple(int(part) for part in api_version.split(".") if part.isdigit()) < _DOCKER_23


def idle_limits(line: BuildLine, *, is_old: bool) -> str:
    """What to say about limits that BuildKit knows nothing of, "" when there are none: the build goes on without."""
    idle = sorted({name for name, _ in line.options if name in _CLASSIC or (is_old and name in _FROM_23)})
    names = ", ".join(f"--{name}" for name in idle)
    return f"{names}: BuildKit of this engine sets no such limit; the build goes on without" if idle else ""
