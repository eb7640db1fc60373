"""What a step's container is asked to be: the body of ContainerCreate (Engine API 1.24 to 1.50), as plain data.

Pure: a step and the names that the run has given things go in, a dict comes out. The options of a `cmd` line mean what
they mean to `docker run`; each has its line in `_OPTIONS`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.plan import value as values
from taskengine.plan.model import HOME, WORKSPACE, CmdLine, PlannedStep
from taskengine.plan.words import runtime_env, split

Config = dict[str, Any]
#: builds have sizes too
size_bytes = values.size_bytes


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
        host["NanoCpus"] = values.nano_cpus(step.cpus)
    for port in step.ports:
        _publish(config, port)
    for port in step.expose:
        _expose(config, port)
    for name, text in cmd.options:
        _apply(config, name, text)
    if place.aliases and not _is_special(host["NetworkMode"]):
        aliases = [*place.aliases, *cmd.all("network-alias"), *cmd.all("name")]
        config["NetworkingConfig"] = {"EndpointsConfig": {host["NetworkMode"]: {"Aliases": aliases}}}
    return config


def bounded(config: Config, limits: Mapping[str, float]) -> Config:
    """The same body with these limits where it asks for none or for more: `cpus`, `memory` (bytes), `pids`."""
    host = config["HostConfig"]
    for name, key, scale in (("cpus", "NanoCpus", 1e9), ("memory", "Memory", 1), ("pids", "PidsLimit", 1)):
        if name in limits:
            most = int(limits[name] * scale)
            asked = host.get(key) or 0
            host[key] = most if asked <= 0 else min(asked, most)
    if "memory" in limits:
        asked = host.get("MemorySwap") or 0
        # no swap beyond the memory: a limit that swap gets around is none
        host["MemorySwap"] = host["Memory"] if asked <= 0 else max(host["Memory"], min(asked, host["Memory"]))
    return config


def may_share_namespace(step: PlannedStep) -> bool:
    """Whether the step's container can join a network namespace that another container holds: nothing that it asks
    for belongs to the namespace itself."""
    if step.cmd is None or step.detach or step.privileged or step.ports or step.expose or step.isolation:
        return False
    return all(name in _NAMESPACE_FREE for name, _ in step.cmd.options)


def _is_special(network: str) -> bool:
    return network in {"", "default", "bridge", "host", "none"} or network.startswith("container:")


def _publish(config: Config, text: str) -> None:
    bindings = config["HostConfig"].setdefault("PortBindings", {})
    for port in values.published(text):
        config.setdefault("ExposedPorts", {})[port.inside] = {}
        bindings.setdefault(port.inside, []).append({"HostIp": port.ip, "HostPort": port.outside})


def _expose(config: Config, text: str) -> None:
    for port in values.exposed(text):
        config.setdefault("ExposedPorts", {})[port] = {}


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


def _ulimit(text: str) -> Config:
    name, soft, hard = values.ulimit(text)
    return {"Name": name, "Soft": soft, "Hard": hard}


def _device(value: str) -> Config:
    outside, _, rest = value.partition(":")
    inside, _, rights = rest.partition(":")
    if inside and set(inside) <= set("rwm"):
        inside, rights = "", inside
    return {"PathOnHost": outside, "PathInContainer": inside or outside, "CgroupPermissions": rights or "rwm"}


def _mount(text: str) -> Config:
    asked = values.mount(text)
    mount: Config = {"Type": asked.kind, "Target": asked.target}
    if asked.source:
        mount["Source"] = asked.source
    if asked.read_only:
        mount["ReadOnly"] = True
    return mount


def _environment(config: Config, value: str) -> None:
    config["Env"].append(value)


def _label(config: Config, value: str) -> None:
    name, _, rest = value.partition("=")
    config["Labels"].setdefault(name, rest)


def _network(config: Config, value: str) -> None:
    config["HostConfig"]["NetworkMode"] = value


def _gpus(config: Config, text: str) -> None:
    request = {"Driver": "", "Count": values.gpu_count(text), "Capabilities": [["gpu"]]}
    config["HostConfig"].setdefault("DeviceRequests", []).append(request)


def _tmpfs(config: Config, value: str) -> None:
    path, _, options = value.partition(":")
    config["HostConfig"].setdefault("Tmpfs", {})[path] = options


def _entrypoint(config: Config, value: str) -> None:
    config["Entrypoint"] = [value] if value else [""]


def _nothing(config: Config, value: str) -> None:
    """Options whose effect the engine gives to every step anyway, or that the step's own properties decide."""


def _health(key: str, convert: Callable[[str], Any]) -> Apply:
    def apply(config: Config, value: str) -> None:
        config.setdefault("Healthcheck", {})[key] = convert(value)

    return apply


_OPTIONS: dict[str, Apply] = {
    "add-host": _host_list("ExtraHosts"),
    "annotation": _host_map("Annotations"),
    "attach": _nothing,
    "blkio-weight": _host("BlkioWeight", values.number),
    "cap-add": _host_list("CapAdd"),
    "cap-drop": _host_list("CapDrop"),
    "cgroupns": _host("CgroupnsMode"),
    "cpu-period": _host("CpuPeriod", values.number),
    "cpu-quota": _host("CpuQuota", values.number),
    "cpu-shares": _host("CpuShares", values.number),
    "cpus": _host("NanoCpus", values.nano_cpus),
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
    "health-interval": _health("Interval", values.nanoseconds),
    "health-retries": _health("Retries", values.number),
    "health-start-period": _health("StartPeriod", values.nanoseconds),
    "health-timeout": _health("Timeout", values.nanoseconds),
    "hostname": _top("Hostname"),
    "init": _host("Init", values.flag),
    "interactive": _nothing,
    "ipc": _host("IpcMode"),
    "isolation": _host("Isolation"),
    "label": _label,
    "mac-address": _top("MacAddress"),
    "memory": _host("Memory", values.size_bytes),
    "memory-reservation": _host("MemoryReservation", values.size_bytes),
    "memory-swap": _host("MemorySwap", values.size_bytes),
    "memory-swappiness": _host("MemorySwappiness", values.number),
    "mount": _host_list("Mounts", _mount),
    "name": _nothing,
    "network": _network,
    "network-alias": _nothing,
    "no-healthcheck": lambda config, _: config.update(Healthcheck={"Test": ["NONE"]}),
    "oom-kill-disable": _host("OomKillDisable", values.flag),
    "oom-score-adj": _host("OomScoreAdj", values.number),
    "pid": _host("PidMode"),
    "pids-limit": _host("PidsLimit", values.number),
    "platform": _nothing,
    "privileged": _host("Privileged", values.flag),
    "publish": _publish,
    "publish-all": _host("PublishAllPorts", values.flag),
    "pull": _nothing,
    "quiet": _nothing,
    "read-only": _host("ReadonlyRootfs", values.flag),
    "rm": _nothing,
    "runtime": _host("Runtime"),
    "security-opt": _host_list("SecurityOpt"),
    "shm-size": _host("ShmSize", values.size_bytes),
    "stop-signal": _top("StopSignal"),
    "stop-timeout": _top("StopTimeout", values.number),
    "storage-opt": _host_map("StorageOpt"),
    "sysctl": _host_map("Sysctls"),
    "tmpfs": _tmpfs,
    "tty": _top("Tty", values.flag),
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
