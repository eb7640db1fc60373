"""How a service is set up: what its operator decided, once, when it was started. Data, and the file it is read from.

The file is `settings.yaml` in the data folder, or what ACR_TASK_SERVER_SETTINGS names; see docs/service.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from taskengine.errors import InvalidInput

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Times are seconds, sizes bytes. `step_limits` hold for every step of a task that has no limits of its own, and
    `most_step_limits` for every step at all. No `registry` means that pushes may go wherever the worker can log in.
    What the worker of this process does about its disk stands last, as `taskengine.worker.tidying.Upkeep` has it."""

    registry: str = ""
    platform: str = "linux/amd64"
    step_limits: Mapping[str, int | float] = field(default_factory=dict)
    most_step_limits: Mapping[str, int | float] = field(default_factory=dict)
    lease_seconds: int = 30
    heartbeat_seconds: int = 5
    max_attempts: int = 3
    retention_days: int = 30
    queued_days: int = 7
    largest_body: int = 4 * MIB
    largest_chunk: int = 64 * MIB
    largest_delivery: int = 25 * MIB
    largest_upload: int = 4096 * MIB
    upload_hours: int = 24
    failed_logins: int = 20
    hooks_to_private_addresses: bool = False
    drain_seconds: int = 30
    trusted_proxies: str = ""
    scan_contexts: bool = True
    public_url: str = ""
    make_forge_hooks: bool = True
    report_statuses: bool = True
    git_poll_seconds: int = 120
    git_poll_longest_seconds: int = 900
    git_poll_hooked_seconds: int = 3600
    git_polls_per_minute: int = 60
    image_poll_seconds: int = 600
    image_poll_longest_seconds: int = 3600
    image_poll_told_seconds: int = 21600
    image_poll_own_seconds: int = 60
    image_poll_own_longest_seconds: int = 300
    image_poll_reserve_percent: int = 50
    per_owner: int = 0
    per_task: int = 0
    own_engine: bool = False
    cache_limit: int = 20 * 1024 * MIB
    cache_reserve: int = 2 * 1024 * MIB
    image_days: int = 30
    min_free: int = 2 * 1024 * MIB


def read_settings(path: Path, *, required: bool) -> ServerSettings:
    """The settings of a file; the defaults when it is not there. Raises InvalidInput."""
    if not path.exists():
        if required:
            raise InvalidInput(
                f"the settings {path} are not there", hint="correct ACR_TASK_SERVER_SETTINGS, or unset it"
            )
        return ServerSettings()
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the settings {path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} is no list of settings", hint="write one `name: value` a line")
    try:
        return parse_settings(found)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.message}", hint=error.hint) from error


def parse_settings(given: Mapping[str, Any]) -> ServerSettings:
    """Settings by their names in camelCase. Raises InvalidInput for one that there is not, or of another kind."""
    defaults = ServerSettings()
    known = {_camel(f.name): f.name for f in fields(ServerSettings)}
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            from taskengine.taskspec.report import did_you_mean

            raise InvalidInput(
                f"there is no setting '{name}'",
                hint=did_you_mean(str(name), known) or f"settings are {', '.join(known)}",
            )
        before = getattr(defaults, known[name])
        if isinstance(before, Mapping):
            _check_limits(name, value)
        elif type(value) is not type(before) or (type(value) is int and value < 0):
            raise InvalidInput(f"the setting '{name}' is no {_KINDS[type(before)]}")
        elif value == 0 and type(value) is int and known[name] not in _MAY_BE_ZERO:
            raise InvalidInput(f"the setting '{name}' cannot be 0", hint=f"leave it out for the usual {before}")
        made[known[name]] = value
    found = replace(defaults, **made)
    if found.public_url and not found.public_url.startswith(("https://", "http://")):
        raise InvalidInput(
            f"the setting 'publicUrl' is no address: {found.public_url}", hint="write https://HOST, as others reach it"
        )
    if found.image_poll_reserve_percent > 100:
        raise InvalidInput(f"a reserve of {found.image_poll_reserve_percent} percent is more than all there is")
    if found.lease_seconds < 3 * found.heartbeat_seconds:
        raise InvalidInput(
            f"leases of {found.lease_seconds} s end before three heartbeats of {found.heartbeat_seconds} s have come",
            hint="raise leaseSeconds, or lower heartbeatSeconds",
        )
    return found


_MAY_BE_ZERO = frozenset(
    {
        "retention_days", "drain_seconds", "per_owner", "per_task", "cache_reserve", "image_days", "min_free",
        "git_poll_seconds",
    }
)  # fmt: skip
_KINDS: dict[type, str] = {str: "text", int: "whole number", bool: "true or false"}


def _check_limits(name: str, value: Any) -> None:
    if not isinstance(value, dict) or not value.keys() <= {"cpus", "memory", "pids"}:
        raise InvalidInput(f"the setting '{name}' has cpus, memory (bytes) and pids")
    if not all(type(v) in (int, float) and v > 0 for v in value.values()):
        raise InvalidInput(f"the limits of '{name}' are numbers above 0")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
