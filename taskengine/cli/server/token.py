"""`acr-task token`: who may speak to a server. For administrators."""

from __future__ import annotations

import sys
from typing import Any

import click

from taskengine.cli.base import Command, LazyGroup, Option
from taskengine.cli.server.answer import TOKEN, answer, listed, token_row

_HERE = "taskengine.cli.server.token"
TABLE = {
    "create": (f"{_HERE}:create", "Make a token; it is shown this once."),
    "list": (f"{_HERE}:list_tokens", "List the tokens, without their texts."),
    "revoke": (f"{_HERE}:revoke", "Take a token back at once."),
}
ROLES = ("admin", "operator", "developer", "reader", "worker")


EXAMPLES = (
    ("acr-task token create --name ci --role developer", "for a person or a program"),
    ("acr-task token list", "who has one"),
)


@click.group(cls=LazyGroup, table=TABLE, examples=EXAMPLES)
def token() -> None:
    """Tokens of a server. An administrator's token is needed for all of it."""


@click.command(
    cls=Command,
    examples=[
        ("acr-task token create --name ci --role developer --scope 'app-*'", "for tasks of these names only"),
        ("acr-task token create --name b2 --role worker --worker builder-2 > token", "for the worker of this name"),
    ],
)
@click.option("-n", "--name", cls=Option, required=True, metavar="NAME", help="Whose token it is.")
@click.option("--role", cls=Option, required=True, type=click.Choice(ROLES), help="What it may do.")
@click.option("--scope", cls=Option, multiple=True, metavar="PATTERN", help="Only for tasks of such names; repeatable.")
@click.option("--expires", cls=Option, metavar="RFC3339", help="Until when it is good (default: until it is revoked).")
@click.option(
    "--worker",
    cls=Option,
    metavar="NAME",
    default="",
    help="With --role worker: the only worker that it is for (default: the first that comes with it).",
)
@click.option("-o", "--output", cls=Option, type=click.Choice(["text", "json", "yaml"]), default="text",
              show_default=True, help="'text' is the token alone.")  # fmt: skip
def create(name: str, role: str, scope: tuple[str, ...], expires: str | None, worker: str, output: str) -> int:
    """Make a token. Its text is printed this once; the server keeps a hash of it."""
    from taskengine.cli.option import date
    from taskengine.cli.server.target import service

    body: dict[str, Any] = {"name": name, "role": role, "scopes": list(scope)}
    if worker:
        body["worker"] = worker
    if expires:
        body["expires"] = date("--expires", expires).isoformat()
    with service() as api:
        made = api.to.post("tokens", body=body)
    if output == "text":
        print(f"token {made['id']} of {name} ({role}); it is shown this once", file=sys.stderr)
        print(made["token"])
    else:
        answer(output, made, TOKEN, [token_row(made)])
    return 0


@click.command(cls=Command, name="list", examples=[("acr-task token list", "each token on a line")])
@listed
def list_tokens(output: str) -> int:
    """List the tokens. Their texts are known to nobody."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.to.get("tokens")["value"]
    answer(output, found, TOKEN, [token_row(one) for one in found])
    return 0


@click.command(cls=Command, examples=[("acr-task token revoke 374ca10436c9", "by the id that 'list' shows")])
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def revoke(ids: tuple[str, ...]) -> int:
    """Take tokens back. They are refused from now on."""
    from taskengine.cli.server.target import service

    with service() as api:
        for one in ids:
            api.to.call("DELETE", "tokens", one)
            print(f"revoked {one}", file=sys.stderr)
    return 0
