"""A plan as plain JSON data, as `acr-task plan -o json` prints it: properties under their YAML names.

Pure. It holds the text of the steps, so whoever prints it puts it through the secret mask first.
"""

from __future__ import annotations

from typing import Any

from taskengine.errors import Location, Problem
from taskengine.plan.model import Plan, PlannedStep, StepType
from taskengine.taskspec import catalog
from taskengine.taskspec.model import NetworkSpec, VolumeSpec

#: properties that every step shows, whatever their value; all others only when they are set
_ALWAYS = (
    ("timeout", "timeout"),
    ("retries", "retries"),
    ("retryDelay", "retry_delay"),
    ("repeat", "repeat"),
    ("startDelay", "start_delay"),
    ("workingDirectory", "working_directory"),
    ("network", "network"),
)
_SHOWN = frozenset(name for name, _ in _ALWAYS) | {"id", "cmd", "build", "push", "when", "env", "volumeMounts"}
_WHEN_SET = tuple((entry.name, entry.field) for entry in catalog.STEP.values() if entry.name not in _SHOWN)


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "version": plan.version,
        "aliases": plan.aliases,
        "networks": [_network(network) for network in plan.networks],
        "volumes": [_volume(volume) for volume in plan.volumes],
        "steps": [step_json(step) for step in plan.steps],
        "warnings": [problem_json(problem) for problem in plan.warnings],
    }


def step_json(step: PlannedStep) -> dict[str, Any]:
    view: dict[str, Any] = {"id": step.id, "type": step.type.value, "needs": list(step.needs)}
    if step.type is StepType.PUSH:
        view["push"] = list(step.push)
    else:
        view[step.type.value] = step.text
    if step.type is StepType.BUILD:
        view["tags"] = list(step.build.tags) if step.build else []
        view["buildArgs"] = list(step.build.build_args) if step.build else []
        if "DOCKER_BUILDKIT=1" in step.env:
            view["usesBuildkit"] = True
    for name, field in _ALWAYS:
        view[name] = getattr(step, field)
    view["env"] = list(step.env)
    for name, field in _WHEN_SET:
        value = getattr(step, field)
        if value:
            view[name] = list(value) if isinstance(value, tuple) else value
    if step.volume_mounts:
        view["volumeMounts"] = [{"name": mount.name, "mountPath": mount.mount_path} for mount in step.volume_mounts]
    return view


def _network(network: NetworkSpec) -> dict[str, Any]:
    return {
        "name": network.name,
        "driver": network.driver,
        "ipv6": network.ipv6,
        "skipCreation": network.skip_creation,
        "isDefault": network.is_default,
    }


def _volume(volume: VolumeSpec) -> dict[str, Any]:
    """A volume by its files' names: their contents are secrets."""
    return {"name": volume.name, "files": [name for name, _ in volume.secret]}


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem as plain data; what is not known is left out."""
    view: dict[str, Any] = {
        "code": problem.code,
        "severity": problem.severity.value,
        "message": problem.message,
        **(_place(problem.location) if problem.location else {}),
    }
    if problem.hint:
        view["hint"] = problem.hint
    if problem.source_line is not None:
        view["sourceLine"] = problem.source_line
    if problem.related:
        view["related"] = [{"message": message, **_place(place)} for message, place in problem.related]
    return view


def _place(location: Location) -> dict[str, Any]:
    return {"file": location.file, "line": location.line, "column": location.column}
