"""A `cmd` line: docker run options, the image, its arguments. The table here is the list of options that exist.

Pure. What each option does to a container is the runner's business.
"""

from __future__ import annotations

from collections.abc import Callable

from taskengine.plan import value as values
from taskengine.plan.model import CmdLine
from taskengine.plan.option import LineError, Option, OptionReader


def _o(name: str, help: str, *, short: str = "", value: str = "", many: bool = False, alias: str = "") -> Option:  # noqa: A002
    return Option(name=name, help=help, short=short, value=value, repeatable=many, alias=alias)


def _refused(name: str, why: str, *, short: str = "", value: str = "") -> Option:
    return Option(name=name, help="", short=short, value=value, refused=why)


def _ignored(name: str, help: str, *, short: str = "", value: str = "") -> Option:  # noqa: A002
    return Option(name=name, help=help, short=short, value=value, ignored=True)


RUN_OPTIONS: tuple[Option, ...] = (
    _o("add-host", "An entry for the container's hosts file.", value="NAME:IP", many=True),
    _o("annotation", "An annotation for the runtime.", value="KEY=VALUE", many=True),
    _ignored("attach", "Output is always attached.", short="a", value="STREAM"),
    _o("blkio-weight", "Weight of block I/O, 10 to 1000.", value="N"),
    _o("cap-add", "Add a Linux capability.", value="NAME", many=True),
    _o("cap-drop", "Drop a Linux capability.", value="NAME", many=True),
    _o("cgroupns", "Cgroup namespace: host or private.", value="MODE"),
    _o("cpu-period", "Length of a CPU period in microseconds.", value="N"),
    _o("cpu-quota", "CPU time of a period in microseconds.", value="N"),
    _o("cpu-shares", "Relative weight of CPU.", short="c", value="N"),
    _o("cpus", "Number of CPUs.", value="N"),
    _o("cpuset-cpus", "CPUs that may be used.", value="LIST"),
    _o("cpuset-mems", "Memory nodes that may be used.", value="LIST"),
    _o("device", "Give a device of the engine's host.", value="PATH", many=True),
    _o("device-cgroup-rule", "Allow a class of devices.", value="RULE", many=True),
    _ignored("disable-content-trust", "Images are never checked by content trust."),
    _o("dns", "A DNS server.", value="IP", many=True),
    _o("dns-option", "An option of the resolver.", value="OPTION", many=True, alias="dns-opt"),
    _o("dns-search", "A search domain.", value="DOMAIN", many=True),
    _o("domainname", "The container's NIS domain name.", value="NAME"),
    _o("entrypoint", "Replace the image's entry point.", value="PROGRAM"),
    _o("env", "An environment variable.", short="e", value="NAME=VALUE", many=True),
    _o("expose", "A port open to other containers.", value="PORT", many=True),
    _o("gpus", "GPUs to give.", value="REQUEST"),
    _o("group-add", "A further group of the user.", value="GROUP", many=True),
    _o("health-cmd", "The health check.", value="COMMAND"),
    _o("health-interval", "Time between health checks.", value="DURATION"),
    _o("health-retries", "Failures until unhealthy.", value="N"),
    _o("health-start-period", "Time before failures count.", value="DURATION"),
    _o("health-timeout", "Time limit of a health check.", value="DURATION"),
    _o("hostname", "The container's own host name.", short="h", value="NAME"),
    _o("init", "Run a small init that forwards signals and reaps processes."),
    _o("interactive", "Keep standard input open.", short="i"),
    _o("ipc", "IPC namespace.", value="MODE"),
    _o("label", "A label.", short="l", value="KEY=VALUE", many=True),
    _o("mac-address", "MAC address.", value="ADDRESS"),
    _o("memory", "Memory limit.", short="m", value="BYTES"),
    _o("memory-reservation", "Soft memory limit.", value="BYTES"),
    _o("memory-swap", "Limit of memory and swap; -1 is unlimited.", value="BYTES"),
    _o("memory-swappiness", "Swappiness, 0 to 100.", value="N"),
    _o("mount", "A mount, as type=...,source=...,target=...", value="MOUNT", many=True),
    _o("network", "Network to join instead of the step's.", value="NAME", alias="net"),
    _o("network-alias", "A further host name in the network.", value="NAME", many=True, alias="net-alias"),
    _o("no-healthcheck", "Switch the image's health check off."),
    _o("oom-kill-disable", "Do not kill when memory runs out."),
    _o("oom-score-adj", "Preference of the out-of-memory killer.", value="N"),
    _o("pid", "PID namespace.", value="MODE"),
    _o("pids-limit", "Limit of processes.", value="N"),
    _o("platform", "Platform of the image.", value="OS/ARCH"),
    _o("privileged", "Give all rights on the engine's host."),
    _o("publish", "Publish a port on the host.", short="p", value="HOST:PORT", many=True),
    _o("publish-all", "Publish all exposed ports on random ports.", short="P"),
    _o("pull", "When to pull: always, missing or never.", value="WHEN"),
    _ignored("quiet", "Pulls are always quiet.", short="q"),
    _o("read-only", "Mount the root file system read-only."),
    _ignored("rm", "Containers are always removed, unless the step says keep."),
    _o("runtime", "Container runtime of the engine.", value="NAME"),
    _o("security-opt", "A security option.", value="OPTION", many=True),
    _o("shm-size", "Size of /dev/shm.", value="BYTES"),
    _ignored("sig-proxy", "Signals are not passed through."),
    _o("stop-signal", "Signal that stops the container.", value="SIGNAL"),
    _o("stop-timeout", "Seconds until a stopped container is killed.", value="N"),
    _o("storage-opt", "An option of the storage driver.", value="OPTION", many=True),
    _o("sysctl", "A kernel parameter.", value="NAME=VALUE", many=True),
    _o("tmpfs", "A directory in memory.", value="PATH", many=True),
    _o("tty", "Allocate a terminal.", short="t"),
    _o("ulimit", "A limit of the user.", value="NAME=SOFT:HARD", many=True),
    _o("user", "User, as name or uid:gid.", short="u", value="USER"),
    _o("userns", "User namespace.", value="MODE"),
    _o("uts", "UTS namespace.", value="MODE"),
    _o("volume", "A volume or a directory of the engine's host.", short="v", value="SOURCE:PATH", many=True),
    _o("workdir", "Working directory in the container.", short="w", value="PATH"),
    _refused("cgroup-parent", "containers of a run stay where the engine puts them", value="PATH"),
    _refused("cidfile", "the container is known by the step's id", value="FILE"),
    _refused("detach", "write 'detach: true' as a property of the step", short="d"),
    _refused("detach-keys", "nobody is attached by a terminal", value="KEYS"),
    _refused("env-file", "write the variables under 'env:' of the step", value="FILE"),
    _refused("ip", "other steps find this one by its id", value="ADDRESS"),
    _refused("ip6", "other steps find this one by its id", value="ADDRESS"),
    _refused("isolation", "write 'isolation:' as a property of the step", value="KIND"),
    _refused("label-file", "use --label", value="FILE"),
    _refused("link", "steps of a run find each other by their ids", value="CONTAINER"),
    _refused("log-driver", "the output of a step belongs to the run's log", value="NAME"),
    _refused("log-opt", "the output of a step belongs to the run's log", value="OPTION"),
    _refused("name", "give the step an 'id:', which is its host name too", value="NAME"),
    _refused("restart", "use 'retries:' or 'repeat:' of the step", value="POLICY"),
    _refused("use-api-socket", "the engine's socket is given by whoever runs the task, not by the task"),
    _refused("volume-driver", "make the volume on the engine beforehand, and name it by --volume", value="NAME"),
    _refused("volumes-from", "declare 'volumes:' of the task, or use /workspace, which all steps share", value="NAME"),
)

_NUMBERS = (
    "blkio-weight", "cpu-period", "cpu-quota", "cpu-shares", "health-retries", "memory-swappiness", "oom-score-adj",
    "pids-limit", "stop-timeout",
)  # fmt: skip
_VALUES: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("memory", "memory-reservation", "memory-swap", "shm-size"), values.size_bytes),
    **dict.fromkeys(("health-interval", "health-start-period", "health-timeout"), values.nanoseconds),
    **dict.fromkeys(_NUMBERS, values.number),
    "cpus": values.nano_cpus,
    "expose": values.exposed,
    "gpus": values.gpu_count,
    "mount": values.mount,
    "publish": values.published,
    "ulimit": values.ulimit,
}


def _build_options() -> tuple[Option, ...]:
    from taskengine.plan.buildline import BUILD_OPTIONS

    return BUILD_OPTIONS


_READER = OptionReader(
    RUN_OPTIONS,
    command="a cmd line (docker run)",
    interspersed=False,
    unknown="E403",
    values=_VALUES,
    other=lambda: ("docker build", "build", _build_options()),
)
_IGNORED = frozenset(option.name for option in RUN_OPTIONS if option.ignored)


def parse_cmd(text: str) -> CmdLine:
    """A cmd line's options, image and arguments. Raises LineError."""
    parsed = _READER.read(text)
    if not parsed.words or not parsed.words[0].text:
        at = parsed.words[0].start if parsed.words else 0
        hint = "write the image first: 'IMAGE [ARGUMENTS]'"
        raise LineError("E402", "this cmd names no image", at, hint)
    options = tuple(option for option in parsed.options if option[0] not in _IGNORED) if parsed.options else ()
    return CmdLine(
        image=parsed.words[0].text,
        args=tuple(word.text for word in parsed.words[1:]),
        options=options,
    )
