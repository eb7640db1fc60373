"""`acr-task login` and `logout`: which server the command line speaks to."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from taskengine.cli.base import PATH, Command, Option
from taskengine.errors import InvalidInput


@click.command(
    cls=Command,
    examples=[
        ("acr-task login https://tasks.example.com", "asks for the token"),
        ("acr-task login --token-stdin localhost:8080 < token", "for scripts"),
    ],
)
@click.argument("server", metavar="SERVER")
@click.option("--token-stdin", cls=Option, is_flag=True, help="Read the token from standard input.")
@click.option("--ca-file", cls=Option, type=PATH, default="", metavar="FILE", help="Trust these certificates (PEM).")
def login(server: str, token_stdin: bool, ca_file: str) -> int:
    """Store which server runs tasks, and the token for it.

    The token is tried before it is stored, in a file that only you can read. From then on 'run' and 'build' use that
    server, unless they are told --local. ACR_TASK_SERVER and ACR_TASK_TOKEN go before what is stored.
    """
    from taskengine import wiring
    from taskengine.cli.server.target import Target, address, connect, store

    url = address(server)
    given = Target(url=url, token=_token(url, stdin=token_stdin), ca_file=_absolute(ca_file))
    with connect(given) as api:
        known = api.version()
    store(wiring.settings().data_dir, given)
    if given.is_open:
        print(f"warning: {url} is not encrypted: others can read the token", file=sys.stderr)
    who = f" as {known['name']} ({known['role']})" if known.get("name") and known.get("role") else ""
    print(f"logged in to {url}{who}", file=sys.stderr)
    return 0


@click.command(cls=Command, examples=[("acr-task logout", "runs are local again")])
def logout() -> int:
    """Forget the stored server and its token."""
    from taskengine import wiring
    from taskengine.cli.server.target import forget

    url = forget(wiring.settings().data_dir)
    print(f"logged out of {url}" if url else "there was no login", file=sys.stderr)
    return 0


def _token(url: str, *, stdin: bool) -> str:
    if stdin:
        token = sys.stdin.read(1 << 16).strip()
    elif sys.stdin.isatty():
        token = str(click.prompt(f"token for {url}", hide_input=True, err=True)).strip()
    else:
        raise InvalidInput("nobody can be asked for the token here", hint="acr-task login --token-stdin SERVER < FILE")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput("that is no token", hint="tokens are made with: acr-task token create")
    return token


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""
