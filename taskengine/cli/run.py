"""`acr-task run`: a task file, or one command, on the local engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskengine.cli.attach import Attach, attach_options
from taskengine.cli.base import FOLDER, PATH, Command, Option, output_option
from taskengine.cli.option import TaskOptions, duration, ssh_agents, task_options
from taskengine.cli.server.where import Where, server_options
from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from taskengine.cli.server.quick import Quick
    from taskengine.cli.source import Source

F = TypeVar("F", bound=Callable[..., Any])

SHOW = "What is shown"
GRANTS = "What steps may do"


def display_options(command: F) -> F:
    """How a run is shown: the same for `run` and `build`, but for `--output`."""
    for decorator in reversed(
        (
            click.option("-q", "--quiet", cls=Option, section=SHOW, is_flag=True, help="Only failures and the result."),
            click.option(
                "--no-color", cls=Option, section=SHOW, is_flag=True, help="No colours (NO_COLOR is heard too)."
            ),
            click.option(
                "--log-dir",
                cls=Option,
                type=FOLDER,
                section=SHOW,
                metavar="DIR",
                default="",
                help="Also write each step's log there.",
            ),
        )
    ):
        command = decorator(command)
    return command


ssh_option = click.option(
    "--ssh",
    cls=Option,
    section=GRANTS,
    multiple=True,
    metavar="ID[=PATH]",
    help="Let builds use an SSH agent, or a private key, for RUN --mount=type=ssh (default: your own agent).",
)


@click.command(
    cls=Command,
    examples=[
        ("acr-task run task.yaml", "a task file; its folder is the context"),
        ("acr-task run -f task.yaml --set tag=1.2 -r registry.example.com .", "with values and a registry"),
        ("acr-task run .", "acb.yaml of this folder"),
        ("acr-task run -f acb.yaml https://github.com/team/app.git#main:web", "of a repository's branch and folder"),
        ("acr-task run --cmd 'alpine:3 cat /etc/os-release' /dev/null", "one command, no context"),
        ("acr-task run task.yaml -o json | jq -r 'select(.event==\"step.finished\").record.id'", "for programs"),
    ],
)
@click.argument("paths", nargs=-1, metavar="[FILE] [CONTEXT]", type=PATH)
@click.option(
    "-f",
    "--file",
    cls=Option,
    type=PATH,
    metavar="FILE",
    help="The task file, looked up in CONTEXT first ('-': stdin).",
)
@click.option("--cmd", cls=Option, metavar="'IMAGE ARGS'", help="Run one command instead of a task file.")
@click.option("--timeout", cls=Option, metavar="DURATION", help="The longest the whole run may take (600, 15m, 1h30m).")
@click.option("--max-parallel", cls=Option, type=click.IntRange(min=1), metavar="N", help="The most steps at once.")
@task_options
@click.option(
    "--allow-docker-socket/--no-docker-socket",
    cls=Option,
    section=GRANTS,
    default=None,
    help="Give the engine's socket to every step; or to none, and refuse steps that ask for the engine's host "
    "(default: to steps that run the docker image).",
)
@click.option(
    "--allow-registry-logins/--no-registry-logins",
    cls=Option,
    section=GRANTS,
    default=None,
    help="The same for this machine's registry logins.",
)
@ssh_option
@attach_options
@server_options
@click.option("--no-logs", cls=Option, section=SHOW, is_flag=True, help="The same as --quiet.")
@output_option("text", "json", help="'json' prints events and log lines as JSON lines.", section=SHOW)
@display_options
def run(
    paths: tuple[str, ...],
    file: str | None,
    cmd: str | None,
    timeout: str | None,
    max_parallel: int | None,
    options: TaskOptions,
    allow_docker_socket: bool | None,
    allow_registry_logins: bool | None,
    ssh: tuple[str, ...],
    attach: Attach,
    where: Where,
    no_logs: bool,
    output: str,
    quiet: bool,
    no_color: bool,
    log_dir: str,
) -> int:
    """Run a task now; its log goes to standard output.

    CONTEXT is a folder whose content becomes the workspace, or the address of a repository, an archive or an
    artifact, which is fetched; /dev/null is none. It defaults to FILE's folder. Where a server is configured
    ('acr-task login', or ACR_TASK_SERVER), the task runs there, and looks the same. Exit code 0: succeeded, 1: the run
    failed, timed out or was canceled, 2: the input is wrong, 3: the engine, or a registry or server that the command or
    the failed step needs, cannot be reached, 130: interrupted.
    """
    from taskengine import wiring
    from taskengine.cli.execute import Display, Limits
    from taskengine.cli.submit import Grants, submit

    seconds = duration("--timeout", timeout) if timeout else None
    display = Display(output=output, quiet=quiet or no_logs, no_color=no_color, log_dir=log_dir)
    if (target := where.target()) is not None:
        from taskengine.cli.origin import git_of
        from taskengine.cli.server import quick

        quick.only_local({"--ssh": ssh})
        wanted = {"docker-socket": allow_docker_socket, "registry-logins": allow_registry_logins}
        grants = tuple(name for name, allowed in wanted.items() if allowed)
        asked = remote_of(paths, file, cmd, options, seconds, grants)
        if max_parallel is not None:
            asked = replace(asked, body={**asked.body, "maxParallel": max_parallel})
        asked = quick.with_attached(asked, attach)
        return quick.submit(target, asked, where, display, git_of(options))
    source = source_of(paths, file, cmd, seconds)
    return submit(
        source,
        options,
        display=display,
        limits=Limits(timeout=seconds, max_parallel=max_parallel),
        grants=Grants(
            docker_socket=allow_docker_socket,
            registry_logins=allow_registry_logins,
            ssh=ssh_agents(ssh, wiring.settings().environ),
        ),
        attach=attach,
    )


def remote_of(
    paths: tuple[str, ...], file: str | None, cmd: str | None, options: TaskOptions, timeout: int | None,
    grants: tuple[str, ...],
) -> Quick:  # fmt: skip
    """The same for a server, which fetches contexts that are no folders of this machine itself."""
    from taskengine.cli.server import quick
    from taskengine.cli.source import STDIN

    named = cmd is not None or file is not None
    context = paths[-1] if len(paths) == (1 if named else 2) else None
    if not named and len(paths) == 1 and paths[0] != STDIN and quick.is_address(paths[0]):
        context = paths[0]
    if context is None or (cmd is not None and file is not None) or not (context == STDIN or quick.is_address(context)):
        return quick.of_run(source_of(paths, file, cmd, timeout), options, timeout=timeout, grants=grants)
    text_first = not named and len(paths) == 2
    name = paths[0] if text_first else file
    return quick.of_context(name, cmd, context, options, timeout=timeout, grants=grants, text_first=text_first)


def source_of(paths: tuple[str, ...], file: str | None, cmd: str | None, timeout: int | None) -> Source:
    """What to run, out of the ways in which it may be named: FILE [CONTEXT], -f FILE CONTEXT, --cmd LINE CONTEXT."""
    from taskengine.cli.source import Source, folder_of, home_of, locate, read_task
    from taskengine.taskspec.quick import cmd_task

    if cmd is not None and file is not None:
        raise InvalidInput(
            "--cmd and --file exclude each other", hint="acr-task run FILE runs a file, --cmd one command"
        )
    named = cmd is not None or file is not None
    if len(paths) > (1 if named else 2):
        raise InvalidInput(
            f"too many arguments: {' '.join(paths)}",
            hint="acr-task run FILE [CONTEXT], or acr-task run --cmd 'IMAGE ARGS'"
            if not named
            else "name one CONTEXT beside --cmd or --file",
        )
    if cmd is not None:
        context = folder_of(paths[0]) if paths else None
        return Source(text=cmd_task(cmd, timeout=timeout), name="--cmd", context=context)
    if file is not None:
        path, folder = locate(file, paths[0] if paths else None)
    elif paths:
        path, folder = locate(paths[0], paths[1] if len(paths) > 1 else None, context_first=False)
    else:
        raise InvalidInput("name a task file", hint="acr-task run FILE [CONTEXT]; acr-task run --help shows more")
    text, name = read_task(path)
    return Source(text=text, name=name, context=folder, home=home_of(path))
