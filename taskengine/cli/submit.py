"""A source and options become a run on the local engine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from taskengine.cli.attach import NOTHING, Attach, attaching, run_inputs
from taskengine.cli.execute import Display, Limits, absolute, carry_out
from taskengine.cli.option import TaskOptions
from taskengine.cli.source import Source
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from taskengine.context.model import Fetched


@dataclass(frozen=True, kw_only=True)
class Grants:
    """What the user lets steps have. None: only where a step's image needs it."""

    docker_socket: bool | None = None
    registry_logins: bool | None = None
    #: agents' sockets or keys, by the ids that build lines have for them
    ssh: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What builds are given beside the task: arguments that are secret, and files from outside of the context."""

    build_args: Mapping[str, str] = field(default_factory=dict, repr=False)
    build_files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    #: label what is built with its commit, its source and its base image
    image_labels: bool = False


NO_GRANTS, NO_EXTRA = Grants(), Extra()


def submit(
    source: Source,
    options: TaskOptions,
    *,
    display: Display,
    limits: Limits,
    grants: Grants = NO_GRANTS,
    extra: Extra = NO_EXTRA,
    attach: Attach = NOTHING,
) -> int:
    """Load the task, run it, return the exit code."""
    from taskengine import wiring

    if not options.platform:
        wiring.greet(wiring.settings())
    from taskengine.ambient import Ambient
    from taskengine.cli.origin import git_of, image_labels
    from taskengine.cli.report import report_problems
    from taskengine.cli.task import inputs_of
    from taskengine.prepared import build_secrets, hidden
    from taskengine.runner import RunContext
    from taskengine.taskspec.load import load_task

    # The engine's names carry an id of our own even where the user gives one: two runs may be given the same.
    run_id = Ambient.system().new_id()
    platform = options.platform or wiring.engine_platform(wiring.settings())
    options = with_origin(options, source.context)
    inputs = inputs_of(options, platform=platform, run_id=run_id)
    if source.home is not None:
        inputs = replace(inputs, base_dir=source.home[0], file_dir=source.home[1])
    loaded = load_task(source.text, file=source.name, inputs=inputs)
    report_problems(loaded.warnings)
    typed = (value for _, value in (*options.secret, *options.set_secret))
    logins = wiring.login_secrets(loaded.plan, grants.registry_logins, wiring.settings())
    secret = hidden(loaded, given=(*typed, *extra.build_args.values()), logins=logins)
    context = RunContext(
        run_id=run_id,
        registry=options.registry,
        task_name=options.task_name,
        shared_volume=options.shared_volume,
        context_dir=absolute(source.context),
        context_identity="" if (remote := _remote()) is None else remote.identity_of(source.context),
        platform=options.platform,
        secrets=secret.values,
        build_secrets=build_secrets(loaded, dict(options.secret)),
        build_args=extra.build_args,
        build_files=extra.build_files,
        image_labels=image_labels(options, _origin(source.context)) if extra.image_labels else None,
        allow_docker_socket=grants.docker_socket,
        allow_host_access=grants.docker_socket is not False,
        allow_registry_logins=grants.registry_logins,
        ssh=grants.ssh,
    )
    after = None
    if attach.wanted:
        given = run_inputs(
            source, options, files=extra.build_files, secrets=tuple(loaded.secrets), is_made=attach.is_made
        )  # fmt: skip
        after = attaching(attach, given, secret.mask)
    return carry_out(
        loaded.plan,
        context,
        shown_id=options.run_id or run_id,
        mask=secret.mask,
        display=display,
        limits=limits,
        after=after,
        git=git_of(options),
    )


def with_origin(options: TaskOptions, folder: str | None) -> TaskOptions:
    """The options with what is known of a context that was fetched, where the user said nothing."""
    found = _origin(folder)
    if found is None:
        return options
    return replace(
        options,
        commit=options.commit or found.commit,
        branch=options.branch or found.branch,
        git_tag=options.git_tag or found.tag,
        repository=options.repository or found.repository,
    )


def _origin(folder: str | None) -> Fetched | None:
    return None if (remote := _remote()) is None else remote.origin_of(folder)


def _remote() -> Any:
    """What this command fetched; None where it loaded nothing to fetch with."""
    return sys.modules.get("taskengine.cli.remote")
