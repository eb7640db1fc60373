"""A `build` line: docker build options and the context. The table here is the list of options that exist.

Pure. What each option does to a build is the runner's business.
"""

from __future__ import annotations

import re

from taskengine.dockerfile.platform import parse_list
from taskengine.lightpattern import pattern
from taskengine.plan import buildvalue
from taskengine.plan import value as values
from taskengine.plan.cachetarget import cache_source, cache_target
from taskengine.plan.model import BuildLine
from taskengine.plan.option import LineError, Option, OptionReader


def _o(name: str, help: str, *, short: str = "", value: str = "", many: bool = False) -> Option:  # noqa: A002
    return Option(name=name, help=help, short=short, value=value, repeatable=many)


def _ignored(name: str, help: str, *, short: str = "", value: str = "") -> Option:  # noqa: A002
    return Option(name=name, help=help, short=short, value=value, ignored=True)


def _refused(name: str, why: str, *, short: str = "", value: str = "") -> Option:
    return Option(name=name, help="", short=short, value=value, refused=why)


BUILD_OPTIONS: tuple[Option, ...] = (
    _o("add-host", "An entry for the hosts file of RUN steps.", value="NAME:IP", many=True),
    _o("attest", "An attestation: type=provenance or type=sbom.", value="PARAMETERS", many=True),
    _o("build-arg", "A build argument.", value="NAME=VALUE", many=True),
    _o(
        "build-context",
        "A further context: folder, address, or docker-image://NAME; needs Docker 23 or newer, or `# syntax`.",
        value="NAME=PATH",
        many=True,
    ),
    _ignored("builder", "The engine builds, or the buildkitd that BUILDKIT_HOST names.", value="NAME"),
    _o("cache-from", "Where to take layers from: a name, or type=registry,ref=NAME.", value="SOURCE", many=True),
    _o("cache-to", "Where to keep layers: type=registry,ref=NAME,mode=max or type=inline.", value="TARGET", many=True),
    _o("cgroup-parent", "A limit of RUN steps on engines without BuildKit, which sets none.", value="PATH"),
    _ignored("compress", "Only files that changed are sent."),
    _o("cpu-period", "A limit of RUN steps on engines without BuildKit, which sets none.", value="N"),
    _o("cpu-quota", "A limit of RUN steps on engines without BuildKit, which sets none.", value="N"),
    _o("cpu-shares", "A limit of RUN steps on engines without BuildKit, which sets none.", short="c", value="N"),
    _o("cpuset-cpus", "A limit of RUN steps on engines without BuildKit, which sets none.", value="LIST"),
    _o("cpuset-mems", "A limit of RUN steps on engines without BuildKit, which sets none.", value="LIST"),
    _ignored("disable-content-trust", "Images are never checked by content trust."),
    _o("file", "The Dockerfile; - reads it from standard input.", short="f", value="PATH"),
    _ignored("force-rm", "Nothing is left of a build anyway."),
    _ignored("isolation", "There is one kind on Linux.", value="KIND"),
    _o("label", "A label of the image.", value="KEY=VALUE", many=True),
    _ignored("load", "The image is always loaded into the engine."),
    _o("memory", "A limit of RUN steps on engines without BuildKit, which sets none.", short="m", value="BYTES"),
    _o("memory-swap", "A limit of RUN steps on engines without BuildKit, which sets none.", value="BYTES"),
    _o("network", "Network of RUN steps: default, none or host.", value="NAME"),
    _o("no-cache", "Do not use layers of earlier builds."),
    _o("no-cache-filter", "The same for these stages only.", value="STAGE,...", many=True),
    _o("platform", "Platform of the image; several, with commas between, make an index.", value="OS/ARCH"),
    _ignored("progress", "Progress is shown by acr-task.", value="KIND"),
    _o("provenance", "Say in an attestation how the image was made.", value="PARAMETERS"),
    _o("pull", "Look for newer base images."),
    _ignored("quiet", "The log is the run's.", short="q"),
    _ignored("rm", "Nothing is left of a build anyway."),
    _o("sbom", "Say in an attestation what is in the image.", value="PARAMETERS"),
    _o("secret", "A secret for RUN --mount=type=secret.", value="SECRET", many=True),
    _o("shm-size", "Size of /dev/shm for RUN steps; needs Docker 23 or newer.", value="BYTES"),
    _o("ssh", "An SSH agent for RUN --mount=type=ssh; whoever runs the task gives it by --ssh.", value="ID", many=True),
    _o("tag", "A name of the image.", short="t", value="NAME", many=True),
    _o("target", "The stage to build.", value="STAGE"),
    _o("ulimit", "A limit of RUN steps; needs Docker 23 or newer.", value="NAME=SOFT:HARD", many=True),
    _refused("allow", "builds are given no entitlements", value="NAME"),
    _refused("annotation", "images are not annotated yet; use --label", value="KEY=VALUE"),
    _refused("push", "push the image in a push step"),
    _refused("security-opt", "builds are given no security options", value="OPTION"),
    _refused("iidfile", "the image's id is in the run's result", value="FILE"),
    _refused("metadata-file", "what is known of the image is in the run's result", value="FILE"),
    _refused("output", "a build step makes an image; copy files out by a cmd step", short="o", value="TARGET"),
    _refused("squash", "no builder of today squashes; use several stages"),
    _refused("stream", "contexts are always sent as needed"),
)


def _run_options() -> tuple[Option, ...]:
    from taskengine.plan.cmdline import RUN_OPTIONS

    return RUN_OPTIONS


_READER = OptionReader(
    BUILD_OPTIONS,
    command="a build line (docker build)",
    interspersed=True,
    unknown="E414",
    values={
        "attest": buildvalue.attestation,
        "build-context": buildvalue.named_context,
        "cache-from": cache_source,
        "cache-to": cache_target,
        "memory": values.size_bytes,
        "memory-swap": values.size_bytes,
        "platform": parse_list,
        "shm-size": values.size_bytes,
        "ssh": buildvalue.ssh_id,
        "ulimit": values.ulimit,
    },
    other=lambda: ("docker run", "cmd", _run_options()),
)
_IGNORED = frozenset(option.name for option in BUILD_OPTIONS if option.ignored) - {"load"}


def parse_build(text: str) -> BuildLine:
    """A build line's options and context. Raises LineError."""
    parsed = _READER.read(text)
    if not parsed.words or not parsed.words[0].text:
        hint = "write it at the end; . is the folder that holds the task"
        raise LineError("E412", "this build names no context", len(text.rstrip()), hint)
    if len(parsed.words) > 1:
        second = parsed.words[1]
        hint = "quote a value that holds blanks"
        raise LineError("E413", f"this build names more than one context: '{second.text}' too", second.start, hint)
    options = tuple(option for option in parsed.options if option[0] not in _IGNORED)
    return BuildLine(
        context=parsed.words[0].text,
        dockerfile=_last(options, "file"),
        tags=tuple(value for name, value in options if name == "tag"),
        build_args=tuple(value for name, value in options if name == "build-arg"),
        target=_last(options, "target"),
        options=options,
    )


def _last(options: tuple[tuple[str, str], ...], name: str) -> str:
    return next((value for key, value in reversed(options) if key == name), "")


#: host, repository and tag of an image name, as the registry's own grammar has it
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_IMAGE = pattern(
    rf"(?:({_HOST_PART}(?:\.{_HOST_PART})*(?::[0-9]+)?)/)?({_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z0-9+._-]+:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
_TAG = pattern(r"[\w][\w.-]{0,127}", re.ASCII)


def cache_reference(tags: tuple[str, ...], *, task_name: str, step_id: str, registry: str) -> str | None:
    """The image that keeps the layers of a build with `cache: enabled`: the first tag with a host, else the registry
    and the first tag. None when no name can be made."""
    names = []
    for tag in tags:
        match = _IMAGE.fullmatch(tag)
        if match is None:
            return None
        names.append((match.group(1) or "", match.group(2)))
        if names[-1][0]:
            break
    if not names:
        return None
    host, path = names[-1] if names[-1][0] else (registry, names[0][1])
    cache_tag = f"cache_{task_name or 'quickrun'}_{step_id}"
    return f"{host}/{path}:{cache_tag}" if host and _TAG.fullmatch(cache_tag) else None


def own_cache(line: BuildLine) -> str:
    """The reference under which the line itself keeps its layers in a registry; empty for none."""
    targets = map(cache_target, line.all("cache-to"))
    return next((target.reference for target in targets if not target.is_inline), "")


def with_cache(text: str, reference: str, *, own: str = "") -> str:
    """The build line with the options of a registry cache in front, as ACR Tasks writes it. A line that names a place
    of its `own` for layers keeps them there, and takes them from there."""
    if own:
        return f"--load --cache-from=type=registry,ref={own} {text}"
    cache = f"type=registry,ref={reference}"
    return f"--load --cache-to={cache},mode=max --cache-from={cache} {text}"
