"""The list of commands. A command's module is imported when it is called; its one-line help stands here."""

from __future__ import annotations

import click

from taskengine.cli.base import LazyGroup

TABLE = {
    "run": ("taskengine.cli.run:run", "Run a task now; its log goes to standard output."),
    "build": ("taskengine.cli.build:build", "Build an image from a Dockerfile, and push it."),
    "validate": ("taskengine.cli.validate:validate", "Check task files and name every problem in them."),
    "render": ("taskengine.cli.render:render", "Print a task as it would run: aliases and templates replaced."),
    "plan": ("taskengine.cli.plan:plan", "Show the steps of a task and which of them wait for which."),
    "scan": ("taskengine.cli.scan:scan", "List the base images that a Dockerfile depends on."),
    "graph": ("taskengine.cli.graph:graph", "Show which task makes which image, and which stands on it."),
    "simulate": ("taskengine.cli.simulate:simulate", "Show what a changed image would rebuild, and in which order."),
    "verify-inputs": (
        "taskengine.cli.verify:verify_inputs",
        "Show what an image was made from, and what has moved since.",
    ),
    "image": ("taskengine.cli.image:image", "Look at images in registries, copy and delete them."),
    "serve": ("taskengine.cli.serve:serve", "Store tasks, queue runs and carry them out, for others too."),
    "worker": ("taskengine.cli.worker:worker", "Take runs from a service and carry them out here."),
    "task": ("taskengine.cli.server.stored:task", "Store tasks on a server, run them, and look at their runs."),
    "events": ("taskengine.cli.server.event:events", "See what asked a server for runs, and what became of it."),
    "watches": ("taskengine.cli.server.watch:watches", "See which images a server watches, and what it knows of them."),
    "waves": ("taskengine.cli.server.wave:waves", "See what a changed image has rebuilt on a server."),
    "explain": ("taskengine.cli.server.explain:explain", "Say why a server queued a run."),
    "token": ("taskengine.cli.server.token:token", "Make, list and revoke the tokens of a server."),
    "login": ("taskengine.cli.server.login:login", "Store which server runs tasks, and the token for it."),
    "logout": ("taskengine.cli.server.login:logout", "Forget the stored server and its token."),
    "doctor": ("taskengine.cli.doctor:doctor", "Check what this machine lacks, and say how to mend it."),
    "completion": ("taskengine.cli.completion:completion", "Print the completion script of a shell."),
    "version": ("taskengine.cli.version:version", "Print the version."),
}

EXAMPLES = (
    ("acr-task run task.yaml", "run a task; its folder is the context"),
    ("acr-task validate tasks/*.yaml", "check files, with a hint for every problem"),
    ("acr-task plan task.yaml -o mermaid", "draw what waits for what"),
    ("acr-task build -t registry.example.com/app:1 .", "build and push one image"),
)


@click.group(cls=LazyGroup, table=TABLE, examples=EXAMPLES, no_args_is_help=False, invoke_without_command=True)
@click.option("--version", "show_version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def app(ctx: click.Context, show_version: bool) -> int:
    """Run Azure Container Registry Tasks on any Docker Engine."""
    if show_version:
        from taskengine import __version__

        click.echo(f"acr-task {__version__}")
        ctx.exit(0)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
    return 0
