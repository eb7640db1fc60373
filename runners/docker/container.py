"""What a step's container is asked to be: the body of ContainerCreate (Engine API 1.24 to 1.50), as plain data.

Pure: a step and the names that the run has given things go in, a dict comes out. The options of a `cmd` line mean what
they mean to `docker run`; each has its line in `_OPTIONS`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.plan.model import HOME, WORKSPACE, CmdLine, PlannedStep
from taskengine.plan.words import runtime_env, split

Config = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a container is put: what the run decides about it and the step does not.

    `network_mode` is the engine's (a network's name, `host`, `none`, `container:ID`); `aliases` are its names there.
    `binds` are volume:path pairs in the API's form, the workspace and the home among them.
    """

    image: str
    network_mode: str
    aliases: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    labels: Mapping[str, str]


def resolve_directory(directory: str) -> str:
    """A step's working directory: relative ones are below /workspace, all are cleaned, and `..` may leave it."""
    path = directory if directory.startswith("/") else f"{WORKSPACE}/{directory}"
    clean = posixpath.normpath(path)
    return "/" + clean.lstrip("/")


def container_config(step: PlannedStep, place: Place) -> Config:
    """The ContainerCreate body for a `cmd` step. Raises InvalidInput for an option value that makes no sense."""
    cmd = step.cmd or CmdLine(image=place.image)
    host: Config = {"Binds": list(place.binds), "NetworkMode": place.network_mode or "default"}
    config: Config = {
        "Image": place.image,
        "Env": [f"HOME={HOME}", *(runtime_env(entry) for entry in step.env)],
        "Labels": dict(place.labels),
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": host,
    }
    if cmd.args:
        config["Cmd"] = list(cmd.args)
    if not step.disable_working_directory_override:
        config["WorkingDir"] = resolve_directory(step.working_directory)
    if step.entry_point:
        config["Entrypoint"] = [word.text for word in split(step.entry_point)]
    if step.user:
        config["User"] = step.user
    if step.privileged:
        host["Privileged"] = True
    if step.isolation:
        host["Isolation"] = step.isolation
    if step.cpus:
        host["NanoCpus"] = _cpus(step.cpus)
    for port in step.ports:
        _publish(config, port)
    for port in step.expose:
        _expose(config, port)
    for name, value in cmd.options:
        _apply(config, name, value)
    if place.aliases and not _is_special(host["NetworkMode"]):
        aliases = [*place.aliases, *cmd.all("network-alias"), *cmd.all("name")]
        config["NetworkingConfig"] = {"EndpointsConfig": {host["NetworkMode"]: {"Aliases": aliases}}}
    return config


def may_share_namespace(step: PlannedStep) -> bool:
    """Whether the step's container can join a network namespace that another container holds: nothing that it asks
    for belongs to the namespace itself."""
    if step.cmd is None or step.detach or step.privileged or step.ports or step.expose or step.isolation:
        return False
    return all(name in _NAMESPACE_FREE for name, _ in step.cmd.options)


def _is_special(network: str) -> bool:
    return network in {"", "default", "bridge", "host", "none"} or network.startswith("container:")


def _cpus(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        raise InvalidInput(
            f"cpus: {text!r} is not a number", hint="write a number of processors, such as 0.5 or 2"
        ) from None
    return int(value * 1_000_000_000)


_PORT = re.compile(
    r"^(?:(?:(?P<ip>\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]):)?(?P<host>\d*(?:-\d+)?):)?"
    r"(?P<first>\d+)(?:-(?P<last>\d+))?(?:/(?P<proto>tcp|udp|sctp))?$"
)


def _publish(config: Config, text: str) -> None:
    match = _PORT.match(text.strip())
    if match is None:
        raise InvalidInput(
            f"port {text!r} is not understood", hint="write HOST:CONTAINER, IP:HOST:CONTAINER or CONTAINER"
        )
    ports = _range(match["first"], match["last"])
    outer = _range(*(match["host"].partition("-")[::2])) if match["host"] else [None] * len(ports)
    if len(outer) != len(ports):
        raise InvalidInput(
            f"port {text!r}: the two ranges differ in length", hint="publish as many ports as are exposed"
        )
    bindings = config["HostConfig"].setdefault("PortBindings", {})
    for inside, outside in zip(ports, outer, strict=True):
        key = f"{inside}/{match['proto'] or 'tcp'}"
        config.setdefault("ExposedPorts", {})[key] = {}
        host_ip = (match["ip"] or "").strip("[]")
        bindings.setdefault(key, []).append({"HostIp": host_ip, "HostPort": "" if outside is None else str(outside)})


def _range(first: str, last: str | None) -> list[int]:
    return list(range(int(first), int(last or first) + 1))


def _expose(config: Config, text: str) -> None:
    ports, _, proto = text.strip().partition("/")
    first, _, last = ports.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise InvalidInput(f"expose: {text!r} is not a port", hint="write a port, such as 8080 or 53/udp")
    for port in _range(first, last):
        config.setdefault("ExposedPorts", {})[f"{port}/{proto or 'tcp'}"] = {}


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}


def size_bytes(text: str) -> int:
    """A size such as 64m or 1.5g in bytes, as the Docker CLI reads it. -1 is itself."""
    match = re.match(r"^(-1|\d+(?:\.\d+)?)\s*([a-zA-Z]*)$", text.strip())
    if match is None or match[2].lower() not in _UNITS:
        raise InvalidInput(
            f"{text!r} is not a size", hint="write a number of bytes with an optional unit, such as 512m or 2g"
        )
    return int(float(match[1]) * _UNITS[match[2].lower()])


Apply = Callable[[Config, str], None]


def _host(key: str, convert: Callable[[str], Any] = str) -> Apply:
    def apply(config: Config, value: str) -> None:
        config["HostConfig"][key] = convert(value)

    return apply


def _host_list(key: str, convert: Callable[[str], Any] = str) -> Apply:
    def apply(config: Config, value: str) -> None:
        config["HostConfig"].setdefault(key, []).append(convert(value))

    return apply


def _host_map(key: str, separator: str = "=") -> Apply:
    def apply(config: Config, value: str) -> None:
        name, _, rest = value.partition(separator)
        config["HostConfig"].setdefault(key, {})[name] = rest

    return apply


def _top(key: str, convert: Callable[[str], Any] = str) -> Apply:
    def apply(config: Config, value: str) -> None:
        config[key] = convert(value)

    return apply


def _flag(value: str) -> bool:
    return value.lower() not in {"false", "0", "f"}


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidInput(f"{value!r} is not a whole number") from None


def _ulimit(value: str) -> Config:
    name, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    return {"Name": name, "Soft": _number(soft), "Hard": _number(hard or soft)}


def _device(value: str) -> Config:
    outside, _, rest = value.partition(":")
    inside, _, rights = rest.partition(":")
    if inside and set(inside) <= set("rwm"):
        inside, rights = "", inside
    return {"PathOnHost": outside, "PathInContainer": inside or outside, "CgroupPermissions": rights or "rwm"}


def _mount(value: str) -> Config:
    fields = dict(part.partition("=")[::2] for part in value.split(","))
    target = fields.get("target") or fields.get("dst") or fields.get("destination")
    if not target:
        raise InvalidInput(
            f"--mount {value!r} has no target", hint="write --mount type=volume,source=NAME,target=/path"
        )
    mount: Config = {"Type": fields.get("type", "volume"), "Target": target}
    source = fields.get("source") or fields.get("src")
    if source:
        mount["Source"] = source
    if "readonly" in fields or "ro" in fields:
        mount["ReadOnly"] = _flag(fields.get("readonly", fields.get("ro", "")) or "true")
    return mount


def _environment(config: Config, value: str) -> None:
    config["Env"].append(value)


def _label(config: Config, value: str) -> None:
    name, _, rest = value.partition("=")
    config["Labels"].setdefault(name, rest)


def _network(config: Config, value: str) -> None:
    config["HostConfig"]["NetworkMode"] = value


def _gpus(config: Config, value: str) -> None:
    count = -1 if value == "all" else _number(value)
    request = {"Driver": "", "Count": count, "Capabilities": [["gpu"]]}
    config["HostConfig"].setdefault("DeviceRequests", []).append(request)


def _tmpfs(config: Config, value: str) -> None:
    path, _, options = value.partition(":")
    config["HostConfig"].setdefault("Tmpfs", {})[path] = options


def _entrypoint(config: Config, value: str) -> None:
    config["Entrypoint"] = [value] if value else [""]


def _nothing(config: Config, value: str) -> None:
    """Options whose effect the engine gives to every step anyway, or that the step's own properties decide."""


_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def nanoseconds(text: str) -> int:
    """A duration as Go writes it, such as 30s or 1m30s."""
    parts = _DURATION.findall(text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise InvalidInput(f"{text!r} is not a duration", hint="write a number with a unit, such as 30s or 1m30s")
    return round(sum(float(n) * _NANOSECONDS[unit] for n, unit in parts))


def _health(key: str, convert: Callable[[str], Any]) -> Apply:
    def apply(config: Config, value: str) -> None:
        config.setdefault("Healthcheck", {})[key] = convert(value)

    return apply


_OPTIONS: dict[str, Apply] = {
    "add-host": _host_list("ExtraHosts"),
    "annotation": _host_map("Annotations"),
    "attach": _nothing,
    "blkio-weight": _host("BlkioWeight", _number),
    "cap-add": _host_list("CapAdd"),
    "cap-drop": _host_list("CapDrop"),
    "cgroupns": _host("CgroupnsMode"),
    "cpu-period": _host("CpuPeriod", _number),
    "cpu-quota": _host("CpuQuota", _number),
    "cpu-shares": _host("CpuShares", _number),
    "cpus": _host("NanoCpus", _cpus),
    "cpuset-cpus": _host("CpusetCpus"),
    "cpuset-mems": _host("CpusetMems"),
    "detach": _nothing,
    "device": _host_list("Devices", _device),
    "device-cgroup-rule": _host_list("DeviceCgroupRules"),
    "dns": _host_list("Dns"),
    "dns-option": _host_list("DnsOptions"),
    "dns-search": _host_list("DnsSearch"),
    "domainname": _top("Domainname"),
    "entrypoint": _entrypoint,
    "env": _environment,
    "expose": _expose,
    "gpus": _gpus,
    "group-add": _host_list("GroupAdd"),
    "health-cmd": _health("Test", lambda command: ["CMD-SHELL", command]),
    "health-interval": _health("Interval", nanoseconds),
    "health-retries": _health("Retries", _number),
    "health-start-period": _health("StartPeriod", nanoseconds),
    "health-timeout": _health("Timeout", nanoseconds),
    "hostname": _top("Hostname"),
    "init": _host("Init", _flag),
    "interactive": _nothing,
    "ipc": _host("IpcMode"),
    "isolation": _host("Isolation"),
    "label": _label,
    "mac-address": _top("MacAddress"),
    "memory": _host("Memory", size_bytes),
    "memory-reservation": _host("MemoryReservation", size_bytes),
    "memory-swap": _host("MemorySwap", size_bytes),
    "memory-swappiness": _host("MemorySwappiness", _number),
    "mount": _host_list("Mounts", _mount),
    "name": _nothing,
    "network": _network,
    "network-alias": _nothing,
    "no-healthcheck": lambda config, _: config.update(Healthcheck={"Test": ["NONE"]}),
    "oom-kill-disable": _host("OomKillDisable", _flag),
    "oom-score-adj": _host("OomScoreAdj", _number),
    "pid": _host("PidMode"),
    "pids-limit": _host("PidsLimit", _number),
    "platform": _nothing,
    "privileged": _host("Privileged", _flag),
    "publish": _publish,
    "publish-all": _host("PublishAllPorts", _flag),
    "pull": _nothing,
    "quiet": _nothing,
    "read-only": _host("ReadonlyRootfs", _flag),
    "rm": _nothing,
    "runtime": _host("Runtime"),
    "security-opt": _host_list("SecurityOpt"),
    "shm-size": _host("ShmSize", size_bytes),
    "stop-signal": _top("StopSignal"),
    "stop-timeout": _top("StopTimeout", _number),
    "storage-opt": _host_map("StorageOpt"),
    "sysctl": _host_map("Sysctls"),
    "tmpfs": _tmpfs,
    "tty": _top("Tty", _flag),
    "ulimit": _host_list("Ulimits", _ulimit),
    "user": _top("User"),
    "userns": _host("UsernsMode"),
    "uts": _host("UTSMode"),
    "volume": _host_list("Binds"),
    "volumes-from": _host_list("VolumesFrom"),
    "workdir": _top("WorkingDir"),
}

_NAMESPACE_FREE = frozenset(
    {
        "attach", "cap-drop", "cpu-period", "cpu-quota", "cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems",
        "entrypoint", "env", "group-add", "init", "interactive", "label", "memory", "memory-reservation",
        "memory-swap", "mount", "oom-kill-disable", "pids-limit", "platform", "pull", "quiet", "read-only", "rm",
        "shm-size", "stop-signal", "stop-timeout", "tmpfs", "tty", "ulimit", "user", "volume", "workdir",
    }
)  # fmt: skip


def supported_options() -> Sequence[str]:
    """The long names of the docker run options that this runner carries out."""
    return tuple(_OPTIONS)


def _apply(config: Config, name: str, value: str) -> None:
    apply = _OPTIONS.get(name)
    if apply is None:
        raise InvalidInput(f"--{name} is not supported in front of a step's image")
    apply(config, value)
