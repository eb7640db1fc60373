"""What a plan asks for beyond the ordinary, and whether it was granted: the rules of a machine that many people share.

Pure: a plan and grants in, problems out. The service asks when a run is queued, where the task's text is known by then;
the worker asks again, with the plan that it is about to carry out. Must not know engines, tokens or who granted what.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from taskengine.errors import InvalidInput, Problem
from taskengine.plan import value as values
from taskengine.plan.cachetarget import cache_target
from taskengine.plan.model import CmdLine, Plan, PlannedStep
from taskengine.registry.reference import HUB_DOMAIN, ImageReference

#: every grant, and what it opens; `registry:` is followed by a host, or a pattern of hosts
GRANTS = {
    "privileged": "all rights on the engine's host, its devices and namespaces, and further capabilities",
    "docker-socket": "the engine's socket, and with it everything that the engine can do",
    "host-network": "the networks of the engine's host, and networks that the run did not make",
    "host-ports": "ports of the engine's host",
    "host-mounts": "directories of the engine's host, and volumes that the run did not make",
    "isolation": "another isolation than the engine's own",
    "registry-logins": "the worker's own registry logins, in steps that speak to registries themselves",
    "registry:HOST": "pushes to that registry with the worker's own logins",
}
_REGISTRY = "registry:"
_CODES = {
    "privileged": "E601",
    "docker-socket": "E602",
    "host-network": "E603",
    "host-ports": "E604",
    "host-mounts": "E605",
    "isolation": "E606",
    "registry": "E607",
}

#: what every container has unless it is taken away; asking for it asks for nothing
_USUAL_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_DOCKER_CLI = frozenset({"library/docker", "library/buildx", "docker/buildx-bin", "docker/buildx", "docker/docker"})
_SOCKETS = ("/docker.sock", "/containerd.sock", "/podman.sock", "/buildkitd.sock")
_ALWAYS_HOST = ("device", "device-cgroup-rule", "gpus", "runtime")
_NAMESPACES = ("pid", "ipc", "uts", "userns", "cgroupns")
_HARMLESS_SECURITY = frozenset({"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"})
_OWN_NETWORKS = frozenset({"", "default", "bridge", "none"})
_NO_ISOLATION = frozenset({"", "default"})


class Need(NamedTuple):
    """A grant that a step needs, and what in it does, in the words of the step."""

    grant: str
    step: PlannedStep
    what: str


def check_grant(grant: str) -> str:
    """The grant itself. Raises InvalidInput for one that there is not."""
    if grant in GRANTS and grant != "registry:HOST":
        return grant
    host = grant.removeprefix(_REGISTRY)
    if grant.startswith(_REGISTRY) and host and not any(c.isspace() or c == "/" for c in host):
        return grant
    raise InvalidInput(f"there is no grant '{grant}'", hint=f"grants are {', '.join(GRANTS)}")


def breaches(plan: Plan, grants: Sequence[str], registries: Iterable[str] | None = None) -> tuple[Problem, ...]:
    """What the plan's steps ask for and were not granted, as problems at their places.

    `registries` are the hosts that the run may push to without a grant: its own one, and those that it brought a login
    for. None lets it push everywhere.
    """
    open_hosts = None if registries is None else {_host(name) for name in registries}
    return tuple(
        Problem(
            code=_CODES[need.grant.partition(":")[0]],
            message=f"step '{need.step.id}': {need.what} is not allowed on this server",
            location=need.step.location,
            hint=f"do without it, or let an operator grant '{need.grant}' to the task",
        )
        for need in needs(plan)
        if not _granted(need.grant, grants, open_hosts)
    )


def needs(plan: Plan) -> Iterator[Need]:
    """Every grant that a plan needs, step by step. Pushes, those of caches too, name their registry."""
    volumes = {volume.name for volume in plan.volumes}
    networks = {network.name for network in plan.networks if not network.skip_creation}
    for step in plan.steps:
        for grant, what in _of_step(step, volumes, networks):
            yield Need(grant, step, what)


def is_docker_cli(image: str, built: Container[str] = frozenset()) -> bool:
    """Whether an image is Docker's own with the docker command or buildx in it, from Docker Hub. Anybody may call an
    image of theirs `docker`; those get nothing, and neither does one that the run itself builds (`built`)."""
    try:
        reference = ImageReference.parse(image)
    except InvalidInput:
        return False
    is_named_so = reference.domain == HUB_DOMAIN and reference.path in _DOCKER_CLI
    return is_named_so and reference.normalised not in built


def built_images(steps: Iterable[PlannedStep]) -> frozenset[str]:
    """The images that build steps make, by their whole names."""
    return frozenset(normal_name(tag) for step in steps if step.build is not None for tag in step.build.tags)


def normal_name(image: str) -> str:
    """An image's whole name; what is no name stays as it is."""
    try:
        return ImageReference.parse(image).normalised
    except InvalidInput:
        return image


def is_usual_capability(name: str) -> bool:
    """Whether every container has this capability anyway."""
    return name.upper().removeprefix("CAP_") in _USUAL_CAPABILITIES


def _granted(grant: str, grants: Sequence[str], open_hosts: set[str] | None) -> bool:
    if not grant.startswith(_REGISTRY):
        return grant in grants
    host = grant.removeprefix(_REGISTRY)
    if open_hosts is None or host in open_hosts:
        return True
    return any(fnmatchcase(host, _host(g.removeprefix(_REGISTRY))) for g in grants if g.startswith(_REGISTRY))


def _host(name: str) -> str:
    return name.partition("/")[0].lower()


def _of_step(step: PlannedStep, volumes: set[str], networks: set[str]) -> Iterator[tuple[str, str]]:
    if step.privileged:
        yield "privileged", "'privileged'"
    if step.isolation.lower() not in _NO_ISOLATION:
        yield "isolation", f"the isolation '{step.isolation}'"
    if step.ports:
        yield "host-ports", f"the port {step.ports[0]} of the host"
    if step.network not in _OWN_NETWORKS | networks:
        yield "host-network", f"the network '{step.network}'"
    for mount in step.volume_mounts:
        yield from _volume(mount.name, volumes)
    if step.cmd is not None:
        yield from _of_cmd(step.cmd, volumes, networks)
    if step.build is not None:
        network = step.build.last("network") or ""
        if network not in _OWN_NETWORKS:
            yield "host-network", f"--network {network}"
        for text in step.build.all("cache-to"):
            try:
                reference = cache_target(text).reference
            except InvalidInput:
                continue  # the plan has a problem of its own then
            if reference:
                yield _REGISTRY + ImageReference.parse(reference).domain.lower(), f"--cache-to {text}"
    for name in step.push:
        try:
            yield _REGISTRY + ImageReference.parse(name).domain.lower(), f"a push to {name}"
        except InvalidInput:
            continue  # no registry takes it, and the step says so


def _of_cmd(cmd: CmdLine, volumes: set[str], networks: set[str]) -> Iterator[tuple[str, str]]:
    for name, given in cmd.options:
        if name == "privileged" and values.flag(given or "true"):
            yield "privileged", "--privileged"
        elif name in _ALWAYS_HOST:
            yield "privileged", f"--{name}"
        elif name == "cap-add" and not is_usual_capability(given):
            yield "privileged", f"--cap-add {given}"
        elif name == "security-opt" and given not in _HARMLESS_SECURITY:
            yield "privileged", f"--security-opt {given}"
        elif name in _NAMESPACES and (given == "host" or given.startswith(("container:", "ns:"))):
            yield "privileged", f"--{name} {given}"
        elif name == "oom-kill-disable" and values.flag(given or "true"):
            yield "privileged", f"--{name}"
        elif name == "oom-score-adj" and given.strip().startswith("-"):
            yield "privileged", f"--{name} {given}"
        elif name == "network" and given not in _OWN_NETWORKS | networks:
            yield "host-network", f"--network {given}"
        elif name in {"publish", "publish-all"} and (name == "publish" or values.flag(given or "true")):
            yield "host-ports", f"--{name} {given}".rstrip()
        elif name == "volume":
            source, colon, _ = given.partition(":")
            yield from _volume(source, volumes) if colon else ()
        elif name == "mount":
            yield from _mount(given, volumes)
    if is_docker_cli(cmd.image):
        yield "docker-socket", f"the image {cmd.image}, which speaks to the engine,"


def _volume(source: str, volumes: set[str]) -> Iterator[tuple[str, str]]:
    if source.rstrip("/").endswith(_SOCKETS):
        yield "docker-socket", f"a mount of {source}"
    elif source not in volumes:
        yield "host-mounts", f"a mount of {source}"


def _mount(text: str, volumes: set[str]) -> Iterator[tuple[str, str]]:
    try:
        mount = values.mount(text)
    except InvalidInput:
        return  # the plan has a problem of its own then
    if mount.kind == "tmpfs" or (mount.kind == "volume" and not mount.source):
        return
    if mount.kind == "volume":
        yield from _volume(mount.source, volumes)
    else:
        yield from _volume(mount.source, set())
