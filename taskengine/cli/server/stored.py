"""`acr-task task`: stored tasks of a server. Thin: `form` knows what options mean, the API does the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from taskengine.cli.base import PATH, Command, LazyGroup, Option
from taskengine.cli.server.answer import TASK, answer, listed, name_option, shown, task_row
from taskengine.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])

_HERE, _RUNS = "taskengine.cli.server.stored", "taskengine.cli.server.runs"
TABLE = {
    "create": (f"{_HERE}:create", "Store a task on the server."),
    "update": (f"{_HERE}:update", "Change a stored task; what is not said stays."),
    "show": (f"{_HERE}:show", "Show a stored task."),
    "list": (f"{_HERE}:list_tasks", "List the stored tasks."),
    "delete": (f"{_HERE}:delete", "Delete a stored task; its runs stay."),
    "run": (f"{_RUNS}:run", "Run a stored task now."),
    "logs": (f"{_RUNS}:logs", "Show and follow the log of a run."),
    "list-runs": (f"{_RUNS}:list_runs", "List runs, the newest first."),
    "show-run": (f"{_RUNS}:show_run", "Show a run."),
    "update-run": (f"{_RUNS}:update_run", "Keep a run for good, or not."),
    "cancel-run": (f"{_RUNS}:cancel_run", "Cancel a run."),
    "timer": ("taskengine.cli.server.timer:timer", "The timers of a task."),
    "sources": ("taskengine.cli.server.source:sources", "Show how it goes with a task's source triggers."),
    "statuses": ("taskengine.cli.server.source:statuses", "List what forges were told of a task's runs."),
    "credential": ("taskengine.cli.server.credential:credential", "The logins that a task has for registries."),
}
EXAMPLES = (
    ("acr-task task create -n hello --cmd 'alpine:3 echo hello' -c /dev/null", "one command"),
    ("acr-task task create -n app -c https://github.com/team/app.git#main -f acb.yaml --schedule '0 3 * * *'", "daily"),
    ("acr-task task run -n app --set tag=1.2", "run it now, and follow it"),
    ("acr-task task logs -n app", "the log of its newest run"),
)

STEP, TRIGGER, HOW = "What it runs", "When it runs", "How it runs"


@click.group(cls=LazyGroup, table=TABLE, examples=EXAMPLES)
def task() -> None:
    """Tasks that a server stores, and their runs.

    Commands and options are those of 'az acr task'. The server is the one of 'acr-task login', or ACR_TASK_SERVER.
    """


def switch(name: str, section: str, help: str) -> Callable[[F], F]:  # noqa: A002 - as click calls it
    """An option of az's: `--x`, `--x true`, `--x false`, or not said."""
    return click.option(name, cls=Option, section=section, type=bool, is_flag=False, flag_value="true", default=None,
                        metavar="[true|false]", help=help)  # fmt: skip


def _many(*names: str, section: str, metavar: str, help: str) -> Callable[[F], F]:  # noqa: A002
    return click.option(*names, cls=Option, section=section, multiple=True, metavar=metavar, help=help)


def _one(*names: str, section: str, help: str, **kwargs: Any) -> Callable[[F], F]:  # noqa: A002
    return click.option(*names, cls=Option, section=section, help=help, **kwargs)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    _one("-c", "--context", section=STEP, metavar="ADDRESS", help="An address; /dev/null is none."),
    _one("-f", "--file", section=STEP, type=PATH, metavar="FILE",
         help="A task file or Dockerfile in the context; without one, of this machine."),
    _one("--cmd", section=STEP, metavar="'IMAGE ARGS'", help="One command instead of a file."),
    _many("-t", "--image", section=STEP, metavar="NAME", help="A name of the image that is built; repeatable."),
    switch("--no-push", STEP, "Build only."),
    switch("--no-cache", STEP, "Build every step anew."),
    _one("--target", section=STEP, metavar="STAGE", help="The stage to build."),
    _many("--arg", section=STEP, metavar="K=V", help="A build argument."),
    _many("--secret-arg", section=STEP, metavar="K=V", help="A build argument that is sealed and masked."),
    _many("--set", section=STEP, metavar="K=V", help="A value of the task file."),
    _many("--set-secret", section=STEP, metavar="K=V", help="A value that is sealed and masked."),
    _one("--values", section=STEP, type=PATH, metavar="FILE", help="A file of values, where the task file is."),
    _one("--git-access-token", section=STEP, metavar="TOKEN", help="Access to the context's repository."),
    _one("--status", section=TRIGGER, type=click.Choice(["Enabled", "Disabled"], case_sensitive=False),
         help="A task that is disabled does not run."),
    _one("--source-trigger-name", section=TRIGGER, metavar="NAME", default="defaultSourceTriggerName",
         help="The name of the trigger of the repository."),
    switch("--commit-trigger-enabled", TRIGGER, "Run on each push to the context's branch."),
    switch("--pull-request-trigger-enabled", TRIGGER, "Run on pull requests."),
    _one("--source-control-type", section=TRIGGER,
         type=click.Choice(["Github", "GitLab", "Gitea", "Bitbucket", "AzureDevOps", "Generic"], case_sensitive=False),
         help="What keeps the repository, where its host does not tell."),
    _one("--base-image-trigger-name", section=TRIGGER, metavar="NAME", default="defaultBaseimageTriggerName",
         help="The name of the trigger of base images."),
    switch("--base-image-trigger-enabled", TRIGGER, "Run when a base image has changed (a new task: true)."),
    _one("--base-image-trigger-type", section=TRIGGER, type=click.Choice(["Runtime", "All"], case_sensitive=False),
         help="Which base images count."),
    _one("--update-trigger-endpoint", section=TRIGGER, metavar="URL", help="Kept, as az keeps it."),
    _one("--update-trigger-payload-type", section=TRIGGER,
         type=click.Choice(["Default", "Token"], case_sensitive=False), help="Kept, as az keeps it."),
    _one("--webhook-secret", section=TRIGGER, metavar="S", help="The secret of the task's webhook."),
    _one("--platform", section=HOW, metavar="OS/ARCH[/VARIANT]", help="The platform to run for."),
    _one("--cpu", section=HOW, type=click.IntRange(min=1), metavar="N", help="Processors for each step."),
    _one("--timeout", section=HOW, type=click.IntRange(300, 28800), metavar="SECONDS", help="For a whole run."),
    _one("--step-timeout", section=HOW, type=click.IntRange(1, 28800), metavar="SECONDS",
         help="The longest a step may take that says nothing else."),
    _one("--auth-mode", section=HOW, type=click.Choice(["Default", "None"], case_sensitive=False),
         help="Whether steps have the login of the server's own registry."),
    _one("--agent-pool", section=HOW, metavar="POOL", help="Only on workers of this pool."),
    _one("--log-template", section=HOW, metavar="REPO:TAG", help="Kept, as az keeps it."),
    _one("--priority", section=HOW, type=click.IntRange(-100, 100), metavar="N", help="Higher runs start first."),
    _many("--grant", section=HOW, metavar="NAME", help="What its steps may do beyond the ordinary; repeatable."),
)  # fmt: skip


def _task_options(command: F) -> F:
    """Give a command az's options of a task. They arrive as one argument, `given`."""

    @wraps(command)
    def wrapped(*args: Any, name: str, output: str, schedule: tuple[str, ...] = (), **kwargs: Any) -> Any:
        from taskengine.cli.server.form import Given

        return command(*args, name=name, output=output, given=Given(schedule=schedule, **kwargs))

    for decorator in reversed(_OPTIONS):
        wrapped = decorator(wrapped)
    return wrapped  # type: ignore[return-value]


@click.command(cls=Command, examples=[*EXAMPLES[:2]])
@name_option
@_task_options
@click.option("--schedule", cls=Option, section=TRIGGER, multiple=True, metavar="[NAME:]CRON",
              help="Run at these times: five fields, in UTC; repeatable.")  # fmt: skip
@shown
def create(name: str, given: Any, output: str) -> int:
    """Store a task on the server; one of the same name is replaced.

    The secret of the task's webhook is made by the server, and shown this once, unless --webhook-secret names it.
    """
    from taskengine.cli.server.form import new_task
    from taskengine.cli.server.target import service
    from taskengine.client.transport import Conflict

    document = new_task(name, given)
    with service() as api:
        try:
            made = api.create_task(document)
        except Conflict:
            made = api.replace_task(name, document)
    _tell(made)
    if made.get("webhookSecret"):
        print("note: the webhook's secret is shown this once", file=sys.stderr)
    answer(output, made, TASK, [task_row(made)])
    return 0


@click.command(
    cls=Command, examples=[("acr-task task update -n app --status Disabled", "stop its triggers, and its runs")]
)
@name_option
@_task_options
@shown
def update(name: str, given: Any, output: str) -> int:
    """Change a stored task; what is not said stays as it is, and so do secrets."""
    from taskengine.cli.server.form import change
    from taskengine.cli.server.target import service

    with service() as api:
        made = api.update_task(name, change(api.task(name), given))
    _tell(made)
    answer(output, made, TASK, [task_row(made)])
    return 0


@click.command(cls=Command, examples=[("acr-task task show -n app -o yaml", "all that is stored, but for secrets")])
@name_option
@shown
def show(name: str, output: str) -> int:
    """Show a stored task. Secrets are never shown."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.task(name)
    answer(output, found, TASK, [task_row(found)])
    return 0


@click.command(cls=Command, name="list", examples=[("acr-task task list", "each task on a line")])
@listed
def list_tasks(output: str) -> int:
    """List the stored tasks, by name."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = list(api.tasks())
    answer(output, found, TASK, [task_row(one) for one in found])
    return 0


@click.command(cls=Command, examples=[("acr-task task delete -n app -y", "without being asked")])
@name_option
@click.option("-y", "--yes", cls=Option, is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> int:
    """Delete a stored task with its secrets. Its runs and their logs stay."""
    from taskengine.cli.server.target import service

    with service() as api:
        if not yes:
            if not sys.stdin.isatty():
                raise InvalidInput(f"{name} is not deleted without --yes", hint="nobody can be asked here: add --yes")
            click.confirm(f"delete the task {name}?", abort=True, err=True)
        api.delete_task(name)
    print(f"deleted the task {name}", file=sys.stderr)
    return 0


def _tell(made: dict[str, Any]) -> None:
    from taskengine.cli.report import report_problems
    from taskengine.client.transport import problems_of

    report_problems(problems_of(made.pop("warnings", None)))
