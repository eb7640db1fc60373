"""`acr-task task credential`: the logins that a stored task has for registries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskengine.cli.base import Command, LazyGroup, Option, unknown
from taskengine.cli.server.answer import CREDENTIAL, answer, credential_row, listed, name_option
from taskengine.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])

_HERE = "taskengine.cli.server.credential"
TABLE = {
    "add": (f"{_HERE}:add", "Add a login to a task."),
    "update": (f"{_HERE}:update", "Change a login of a task."),
    "list": (f"{_HERE}:list_credentials", "List the logins of a task, without passwords."),
    "remove": (f"{_HERE}:remove", "Remove a login from a task."),
}
Logins = dict[str, dict[str, Any]]

host_option = click.option("--login-server", cls=Option, required=True, metavar="HOST[:PORT]", help="The registry.")
_LOGIN = (
    name_option,
    host_option,
    click.option("-u", "--username", cls=Option, metavar="NAME", help="The user's name."),
    click.option("-p", "--password", cls=Option, metavar="TEXT", help="The password; kept sealed."),
    click.option("--password-stdin", cls=Option, is_flag=True, help="Read it from standard input."),
    listed,
)


def _login_options(command: F) -> F:
    """Give a command the options that say a login."""
    for decorator in reversed(_LOGIN):
        command = decorator(command)
    return command


@click.group(cls=LazyGroup, table=TABLE)
def credential() -> None:
    """The logins that a stored task has for registries. Passwords are sealed, and never shown."""


@click.command(
    cls=Command,
    examples=[
        ("acr-task task credential add -n app --login-server r.example.com -u ci --password-stdin < token", "no trace")
    ],
)
@_login_options
def add(
    name: str, login_server: str, username: str | None, password: str | None, password_stdin: bool, output: str
) -> int:
    """Add a login to a task."""
    secret = _password(password, stdin=password_stdin)
    if not username or not secret:
        raise InvalidInput("a login needs a name and a password", hint="-u NAME --password-stdin")
    return _change(name, login_server, username, secret, output, is_new=True)


@click.command(
    cls=Command,
    examples=[("acr-task task credential update -n app --login-server r.example.com --password-stdin < new", "rotate")],
)
@_login_options
def update(
    name: str, login_server: str, username: str | None, password: str | None, password_stdin: bool, output: str
) -> int:
    """Change a login of a task; what is not said stays."""
    secret = _password(password, stdin=password_stdin)
    if not username and not secret:
        raise InvalidInput("nothing is to be changed", hint="-u NAME, or --password-stdin")
    return _change(name, login_server, username, secret, output, is_new=False)


@click.command(cls=Command, name="list", examples=[("acr-task task credential list -n app", "each login on a line")])
@name_option
@listed
def list_credentials(name: str, output: str) -> int:
    """List the logins of a task, without passwords."""
    from taskengine.cli.server.target import service

    with service() as api:
        return _shown(api.task(name), output)


@click.command(
    cls=Command, examples=[("acr-task task credential remove -n app --login-server r.example.com", "for good")]
)
@name_option
@host_option
@listed
def remove(name: str, login_server: str, output: str) -> int:
    """Remove a login from a task."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.task(name)
        _known(_logins(found), login_server)
        return _shown(api.update_task(name, _patch(found, login_server, None)), output)


def _change(name: str, host: str, user: str | None, password: str | None, output: str, *, is_new: bool) -> int:
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.task(name)
        logins = _logins(found)
        if is_new and host in logins:
            raise InvalidInput(f"{name} has a login for {host} already", hint="acr-task task credential update")
        if not is_new:
            _known(logins, host)
        login: dict[str, Any] = {"userName": {"type": "Opaque", "value": user}} if user else {}
        if password:
            login["password"] = {"type": "Opaque", "value": password}
        return _shown(api.update_task(name, _patch(found, host, login)), output)


def _patch(task: dict[str, Any], host: str, login: dict[str, Any] | None) -> dict[str, Any]:
    return {"credentials": {"customRegistries": {host: login}}, "revision": task["revision"]}


def _password(given: str | None, *, stdin: bool) -> str | None:
    if given is not None and stdin:
        raise InvalidInput("--password and --password-stdin exclude each other", hint="leave out --password")
    if not stdin:
        return given
    import sys

    return sys.stdin.read(1 << 16).rstrip("\r\n") or None


def _logins(task: dict[str, Any]) -> Logins:
    return dict((task.get("credentials") or {}).get("customRegistries") or {})


def _shown(task: dict[str, Any], output: str) -> int:
    logins = _logins(task)
    answer(output, logins, CREDENTIAL, [credential_row(one) for one in sorted(logins.items())])
    return 0


def _known(logins: Logins, host: str) -> None:
    if host not in logins:
        raise unknown("login server", host, logins, more="acr-task task credential list lists them")
