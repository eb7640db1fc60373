"""`acr-task task run`, `logs`, `list-runs`, `show-run`, `update-run`, `cancel-run`: runs on a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.cli.execute import Display
from taskengine.cli.option import build_args, pair
from taskengine.cli.run import SHOW, display_options
from taskengine.cli.server.answer import RUN, answer, listed, name_option, run_row, shown
from taskengine.errors import InvalidInput

STATUSES = ("Queued", "Started", "Running", "Succeeded", "Failed", "Canceled", "Error", "Timeout")
run_option = click.option("--run-id", cls=Option, required=True, metavar="ID", help="The run's id.")


@click.command(
    cls=Command,
    examples=[
        ("acr-task task run -n app --set tag=1.2", "with another value, this once"),
        ("acr-task task run -n app -c .", "with this folder as its context"),
        ("id=$(acr-task task run -n app --no-wait)", "queue it, and go on"),
    ],
)
@name_option
@click.option(
    "-c", "--context", cls=Option, type=PATH, metavar="CONTEXT", help="Another context; a folder is uploaded."
)
@click.option("-f", "--file", cls=Option, metavar="FILE", help="Another file of the context.")
@click.option("--arg", cls=Option, multiple=True, metavar="K=V", help="A build argument, in place of the task's own.")
@click.option("--secret-arg", cls=Option, multiple=True, metavar="K=V", help="The same, sealed and masked.")
@click.option("--set", "set_", cls=Option, multiple=True, metavar="K=V", help="A value, in place of the task's own.")
@click.option("--set-secret", cls=Option, multiple=True, metavar="K=V", help="The same, sealed and masked.")
@click.option("--target", cls=Option, metavar="STAGE", help="Another stage to build.")
@click.option("--agent-pool", cls=Option, metavar="POOL", help="Only on workers of this pool.")
@click.option("--timeout", cls=Option, type=click.IntRange(300, 28800), metavar="SECONDS", help="For the whole run.")
@click.option("--update-trigger-token", cls=Option, metavar="TEXT", help="Taken, as az takes it.")
@click.option("--log-template", cls=Option, metavar="REPO:TAG", help="Taken, as az takes it.")
@click.option("--no-wait", cls=Option, is_flag=True, help="Queue the run, print its id, and leave.")
@click.option("--no-logs", cls=Option, section=SHOW, is_flag=True, help="The same as --quiet.")
@click.option("--no-format", cls=Option, section=SHOW, is_flag=True, help="The same as --no-color.")
@output_option("text", "json", help="'json' prints events and log lines as JSON lines.", section=SHOW)
@display_options
def run(
    name: str, context: str | None, file: str | None, arg: tuple[str, ...], secret_arg: tuple[str, ...],
    set_: tuple[str, ...], set_secret: tuple[str, ...], target: str | None, agent_pool: str | None,
    timeout: int | None, update_trigger_token: str | None, log_template: str | None, no_wait: bool, no_logs: bool,
    no_format: bool, output: str, quiet: bool, no_color: bool, log_dir: str,
) -> int:  # fmt: skip
    """Run a stored task now, and follow it to its end. Exit code and views are those of 'acr-task run'."""
    from taskengine import wiring
    from taskengine.ambient import Ambient
    from taskengine.cli.server import quick
    from taskengine.cli.server.follow import carry_out
    from taskengine.cli.server.target import service
    from taskengine.cli.server.upload import upload_folder

    del update_trigger_token, log_template
    environ = wiring.settings().environ
    secrets = {f"set:{key}": value for key, value in (pair("--set-secret", text) for text in set_secret)}
    secrets |= {f"arg:{key}": value for key, value in build_args(secret_arg, environ, name="--secret-arg").items()}
    body: dict[str, Any] = {
        "values": _arguments(dict(pair("--set", text) for text in set_)),
        "arguments": _arguments(build_args(arg, environ, name="--arg")),
        "file": file, "target": target, "agentPoolName": agent_pool, "timeout": timeout,
    }  # fmt: skip
    folder = None
    if context is not None and Path(context).is_dir():
        folder = Path(context)
    elif context is not None:
        body["contextPath"], token = quick.parted(context)
        secrets |= {"context:token": token} if token else {}
    body = {key: value for key, value in body.items() if value not in (None, [])} | {"secrets": secrets}
    display = Display(output=output, quiet=quiet or no_logs, no_color=no_color or no_format, log_dir=log_dir)
    key = Ambient.system().new_id()
    with service() as api:
        if folder is not None:
            body["contextPath"] = upload_folder(api, folder, extra={})

        def queue() -> dict[str, Any]:
            return quick.again(lambda: api.run_task(name, body, key=key))

        if not no_wait:
            return carry_out(api, queue, display)
        quick.leave(queue(), display)
    return 0


@click.command(
    cls=Command,
    examples=[
        ("acr-task task logs", "the newest run"),
        ("acr-task task logs -n app", "the newest run of a task"),
        ("acr-task task logs --run-id ca4 --raw --step build > build.log", "one step's output as it was"),
    ],
)
@click.option("--run-id", cls=Option, metavar="ID", help="The run (default: the newest).")
@click.option("-n", "--name", cls=Option, metavar="NAME", help="The newest run of this task.")
@click.option("--image", cls=Option, metavar="NAME", help="The newest run that made this image.")
@click.option("--raw", cls=Option, is_flag=True, help="The bytes of the log as it is now, and nothing else.")
@click.option("--step", cls=Option, default="", metavar="ID", help="With --raw: only this step's output.")
@click.option("--no-format", cls=Option, section=SHOW, is_flag=True, help="The same as --no-color.")
@output_option("text", "json", help="'json' prints events and log lines as JSON lines.", section=SHOW)
@display_options
def logs(
    run_id: str | None, name: str | None, image: str | None, raw: bool, step: str, no_format: bool, output: str,
    quiet: bool, no_color: bool, log_dir: str,
) -> int:  # fmt: skip
    """Show the log of a run, and follow it while the run goes on. The exit code is the run's.

    Ctrl-C leaves the run alone.
    """
    from taskengine.cli.server.follow import watch
    from taskengine.cli.server.target import service

    if step and not raw:
        raise InvalidInput("--step is for --raw", hint="add --raw")
    with service() as api:
        if run_id is None:
            newest = next(iter(api.runs({"task": name, "image": image}, top=1)), None)
            if newest is None:
                raise InvalidInput("there is no such run", hint="acr-task task list-runs lists them")
            run_id = str(newest["runId"])
        if raw:
            for piece in api.log(run_id, step=step):
                sys.stdout.buffer.write(piece)
            return 0
        display = Display(output=output, quiet=quiet, no_color=no_color or no_format, log_dir=log_dir)
        return watch(api, run_id, display)


@click.command(
    cls=Command,
    name="list-runs",
    examples=[
        ("acr-task task list-runs -n app --run-status Failed", "what went wrong"),
        ("acr-task task list-runs --image team/app@sha256:... -o json", "which run made an image"),
    ],
)
@click.option("-n", "--name", cls=Option, metavar="NAME", help="Only runs of this task.")
@click.option("--run-status", cls=Option, multiple=True, type=click.Choice(STATUSES, case_sensitive=False),
              help="Only of this status; repeatable.")  # fmt: skip
@click.option("--image", cls=Option, metavar="NAME", help="Only runs that made this image: REPO[:TAG|@DIGEST].")
@click.option("--type", "kind", cls=Option, type=click.Choice(["QuickBuild", "QuickRun", "AutoBuild", "AutoRun"]),
              help="Only of this type.")  # fmt: skip
@click.option("--from", "since", cls=Option, metavar="RFC3339", help="Only runs that were queued then, or later.")
@click.option("--to", "until", cls=Option, metavar="RFC3339", help="Only runs that were queued then, or earlier.")
@click.option("--top", cls=Option, type=click.IntRange(min=1), default=15, show_default=True, help="So many at most.")
@listed
def list_runs(
    name: str | None, run_status: tuple[str, ...], image: str | None, kind: str | None, since: str | None,
    until: str | None, top: int, output: str,
) -> int:  # fmt: skip
    """List runs, the newest first."""
    from taskengine.cli.option import date
    from taskengine.cli.server.target import service

    filters: dict[str, Any] = {"task": name, "status": list(run_status) or None, "image": image, "type": kind}
    filters["from"] = date("--from", since).isoformat() if since else None
    filters["to"] = date("--to", until).isoformat() if until else None
    with service() as api:
        found = list(api.runs(filters, top=top))
    answer(output, found, RUN, [run_row(one) for one in found])
    return 0


@click.command(cls=Command, name="show-run", examples=[("acr-task task show-run --run-id ca4", "all that is known")])
@run_option
@shown
def show_run(run_id: str, output: str) -> int:
    """Show a run: its steps, its images, why it waits."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.run(run_id)
    answer(output, found, RUN, [run_row(found)])
    return 0


@click.command(
    cls=Command, name="update-run", examples=[("acr-task task update-run --run-id ca4 --no-archive false", "keep it")]
)
@run_option
@click.option("--no-archive", cls=Option, type=bool, is_flag=False, flag_value="true", required=True,
              metavar="[true|false]", help="false: keep the run for good; true: let it expire.")  # fmt: skip
@shown
def update_run(run_id: str, no_archive: bool, output: str) -> int:
    """Keep a run and its log for good, or let them expire."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.update_run(run_id, archived=not no_archive)
    answer(output, found, RUN, [run_row(found)])
    return 0


@click.command(cls=Command, name="cancel-run", examples=[("acr-task task cancel-run --run-id ca4", "stop it")])
@run_option
def cancel_run(run_id: str) -> int:
    """Cancel a run. One that is over already stays as it is."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.cancel_run(run_id)
    over = found["status"] in ("Succeeded", "Failed", "Error", "Timeout", "Canceled")
    words = f"is over: {found['status']}" if over else "stops as soon as its worker hears of it"
    print(f"run {run_id} {words}", file=sys.stderr)
    return 0


def _arguments(given: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in given.items()]
