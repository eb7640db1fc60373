"""A source and options become a run on the local engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from taskengine.cli.execute import Display, Limits, absolute, carry_out
from taskengine.cli.option import TaskOptions
from taskengine.cli.source import Source


@dataclass(frozen=True, kw_only=True)
class Grants:
    """What the user lets steps have. None: only where a step's image needs it."""

    docker_socket: bool | None = None
    registry_logins: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What builds are given beside the task: arguments that are secret, and files from outside of the context."""

    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    build_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def submit(
    source: Source,
    options: TaskOptions,
    *,
    display: Display,
    limits: Limits,
    grants: Grants = Grants(),
    extra: Extra = Extra(),
) -> int:
    """Load the task, run it, return the exit code."""
    from taskengine import wiring
    from taskengine.ambient import Ambient
    from taskengine.cli.report import report_problems
    from taskengine.cli.task import inputs_of
    from taskengine.context.source import secrets_of
    from taskengine.logs.mask import Mask
    from taskengine.runner import RunContext
    from taskengine.taskspec.load import load_task

    # The engine's names carry an id of our own even where the user gives one: two runs may be given the same.
    run_id = Ambient.system().new_id()
    platform = options.platform or wiring.engine_platform(wiring.settings())
    options = with_origin(options, source.context)
    inputs = inputs_of(options, platform=platform, run_id=run_id)
    loaded = load_task(source.text, file=source.name, inputs=inputs)
    report_problems(loaded.warnings)
    typed = (value for _, value in (*options.secret, *options.set_secret))
    in_addresses = (s for step in loaded.plan.steps if step.build for s in secrets_of(step.build.context))
    in_volumes = [value for volume in loaded.spec.volumes for _, value in volume.secret]
    logins = wiring.login_secrets(loaded.plan, grants.registry_logins, wiring.settings())
    # a file of several lines is mostly a configuration, whose every line in asterisks would hide more than a secret
    files = tuple(
        file for file in map(_decoded, in_volumes) if file and (b"PRIVATE KEY" in file or b"\n" not in file.strip())
    )
    known = (
        *loaded.secrets.values(), *typed, *extra.build_args.values(), *in_addresses, *logins, *in_volumes,
        *(text for file in files if (text := _text(file))),
    )  # fmt: skip
    secrets = tuple(dict.fromkeys(s for s in known if s))
    context = RunContext(
        run_id=run_id,
        registry=options.registry,
        task_name=options.task_name,
        shared_volume=options.shared_volume,
        context_dir=absolute(source.context),
        platform=options.platform,
        secrets=secrets,
        build_secrets={name: _bytes(value) for name, value in (*loaded.secrets.items(), *options.secret)},
        build_args=extra.build_args,
        build_files=extra.build_files,
        allow_docker_socket=grants.docker_socket,
        allow_registry_logins=grants.registry_logins,
    )
    return carry_out(
        loaded.plan,
        context,
        shown_id=options.run_id or run_id,
        mask=Mask((*secrets, *files)),
        display=display,
        limits=limits,
    )


def with_origin(options: TaskOptions, folder: str | None) -> TaskOptions:
    """The options with what is known of a context that was fetched, where the user said nothing."""
    from taskengine.cli.remote import origin_of

    found = origin_of(folder)
    if found is None:
        return options
    return replace(
        options,
        commit=options.commit or found.commit,
        branch=options.branch or found.branch,
        git_tag=options.git_tag or found.tag,
        repository=options.repository or found.repository,
    )


def _decoded(value: str) -> bytes:
    """A file of a secret volume; empty for what is not base64, which the runner refuses."""
    import base64
    import binascii

    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
