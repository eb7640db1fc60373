"""The options that `run`, `render`, `plan` and `validate` share, declared once, and what was given with them.

Turns words of a command line into plain data. Reads the files that an option names; knows no task.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from taskengine.cli.base import PATH, Option
from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

F = TypeVar("F", bound=Callable[..., Any])

VALUES = "Values and secrets"
FACTS = "Facts of the run"
DEFAULTS = "Defaults of every step"


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What was given on the command line, checked and split, and nothing else."""

    values: str | None = None
    values_file: str = ""
    #: `key=value` texts
    set: tuple[str, ...] = ()
    set_secret: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: the values of entries of `secrets:`, by id
    secret: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    #: the ids among them whose value was typed rather than read from a file
    typed: frozenset[str] = frozenset()
    registry: str = ""
    run_id: str = ""
    commit: str = ""
    branch: str = ""
    git_tag: str = ""
    repository: str = ""
    triggered_by: str = ""
    task_name: str = ""
    shared_volume: str = ""
    os_version: str = ""
    platform: str = ""
    date: datetime | None = None
    working_directory: str = ""
    network: str = ""
    env: tuple[str, ...] = ()
    strict: bool = False


def task_options(command: F) -> F:
    """Give a command all shared options. They arrive as one argument, `options: TaskOptions`."""
    from functools import wraps

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in _NAMES}
        return command(*args, options=_collect(given), **kwargs)

    for decorator in reversed(_DECORATORS):
        wrapped = decorator(wrapped)
    return wrapped  # type: ignore[return-value]


def _collect(given: dict[str, Any]) -> TaskOptions:
    given["set"] = given.pop("set_")
    for text in given["set"]:
        pair("--set", text)
    given["set_secret"] = tuple(pair("--set-secret", text) for text in given["set_secret"])
    for text in given["env"]:
        pair("--env", text)
    secrets, typed = [], set()
    for text in given["secret"]:
        name, value = pair("--secret", text)
        if value.startswith("@"):
            value = read_text(value[1:], "--secret")
        else:
            typed.add(name)
        secrets.append((name, value))
    given["secret"], given["typed"] = tuple(secrets), frozenset(typed)
    file = given.pop("values_file")
    given["values_file"] = file or ""
    given["values"] = read_text(file, "--values") if file else None
    given["date"] = date("--date", given["date"]) if given["date"] else None
    if given["platform"]:
        platform(given["platform"])
    return TaskOptions(**given)


def pair(option: str, text: str) -> tuple[str, str]:
    """`key=value`; the value is all behind the first `=`, never split further."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        # The text is not repeated: it may be a secret.
        raise InvalidInput(f"{option} needs KEY=VALUE", hint=f"write {option} 'name=value'")
    return key, value


def platform(text: str) -> str:
    """An os/arch[/variant], as Docker writes platforms."""
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(part and part.replace("-", "").isalnum() for part in parts):
        raise InvalidInput(f"'{text}' is no platform", hint="write OS/ARCH[/VARIANT], for example linux/arm64")
    return text


def ssh_agents(given: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """`ID[=PATH]` texts: the paths of agents' sockets or of keys, by id; without a path it is the user's own agent."""
    from taskengine.plan.buildvalue import ssh_id

    out = {}
    for text in given:
        ident, sign, path = text.partition("=")
        ssh_id(ident)
        if not sign:
            path = environ.get("SSH_AUTH_SOCK", "")
            if not path:
                raise InvalidInput(
                    f"--ssh {ident}: no SSH agent is running", hint=f"start one, or name a key: --ssh {ident}=PATH"
                )
        path = str(Path(path).expanduser().absolute())
        if not Path(path).exists():
            raise InvalidInput(f"--ssh {ident}: {path} does not exist", hint="name an agent's socket or a private key")
        out[ident] = path
    return out


def build_args(given: Iterable[str], environ: Mapping[str, str], *, name: str = "--build-arg") -> dict[str, str]:
    """`K=V` pairs; a `K` alone takes its value from the environment, as Docker does, or is left out."""
    out = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not key.strip():
            raise InvalidInput(f"{name} needs KEY=VALUE", hint=f"write {name} 'NAME=value'")
        if sign:
            out[key] = value
        elif key in environ:
            out[key] = environ[key]
    return out


def date(option: str, text: str) -> datetime:
    """An RFC 3339 time; one without an offset is UTC."""
    try:
        value = datetime.fromisoformat(text.strip().replace("z", "Z"))
    except ValueError:
        raise InvalidInput(f"{option}: '{text}' is no time", hint="write it like 2024-03-05T06:07:08Z") from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def duration(option: str, text: str) -> int:
    """Whole seconds: `90`, `90s`, `15m`, `2h`, or several of them (`1h30m`)."""
    total, number = 0, ""
    for sign in text.strip().lower():
        if sign.isascii() and sign.isdigit():
            number += sign
        elif number and sign in "smh":
            total += int(number) * {"s": 1, "m": 60, "h": 3600}[sign]
            number = ""
        else:
            raise InvalidInput(f"{option}: '{text}' is no duration", hint="write seconds, or 15m, or 1h30m")
    total += int(number or "0")
    if total <= 0:
        raise InvalidInput(f"{option} must be more than zero seconds", hint="write seconds, or 15m, or 1h30m")
    return total


def read_text(path: str, option: str) -> str:
    """The file's text exactly as it is (`-` is standard input); one trailing newline belongs to the file."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{option}: {path}: {(error.strerror or str(error)).lower()}", hint="name a file that can be read"
        ) from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{option}: {path}: not UTF-8 text", hint="save it as UTF-8") from error


def _option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    return click.option(*names, cls=Option, **kwargs)


_DECORATORS: tuple[Callable[[Any], Any], ...] = (
    _option(
        "--values", "values_file", metavar="FILE", type=PATH, section=VALUES, help="A YAML file of values (.Values.*)."
    ),
    _option("--set", "set_", metavar="K=V", multiple=True, section=VALUES, help="One value, always a string."),
    _option(
        "--set-secret",
        metavar="K=V",
        multiple=True,
        section=VALUES,
        help="The same, but masked in all output and never stored.",
    ),
    _option(
        "--secret",
        metavar="ID=VALUE|ID=@FILE",
        multiple=True,
        section=VALUES,
        help="The value of an entry of the task's 'secrets', instead of asking its provider.",
    ),
    _option(
        "-r",
        "--registry",
        metavar="HOST[:PORT]",
        default="",
        section=FACTS,
        help="The registry: .Run.Registry, $Registry.",
    ),
    _option(
        "--id",
        "run_id",
        metavar="ID",
        default="",
        section=FACTS,
        help="The run's id: .Run.ID, $ID ('run' makes one up).",
    ),
    _option("--commit", metavar="SHA", default="", section=FACTS, help=".Run.Commit, $Commit."),
    _option("--branch", metavar="NAME", default="", section=FACTS, help=".Run.Branch, $Branch."),
    _option("--git-tag", metavar="TAG", default="", section=FACTS, help=".Run.GitTag."),
    _option("--repository", metavar="URL", default="", section=FACTS, help=".Run.Repository."),
    _option("--triggered-by", metavar="TEXT", default="", section=FACTS, help=".Run.TriggeredBy."),
    _option("--task-name", metavar="NAME", default="", section=FACTS, help=".Run.TaskName, $TaskName."),
    _option("--shared-volume", metavar="NAME", default="", section=FACTS, help=".Run.SharedVolume, $SharedVolume."),
    _option("--os-version", metavar="V", default="", section=FACTS, help=".Run.OSVersion, $OSVersion."),
    _option(
        "--platform",
        metavar="OS/ARCH[/VARIANT]",
        default="",
        section=FACTS,
        help=".Run.OS and .Run.Architecture (default: the engine's for 'run', else linux/amd64).",
    ),
    _option(
        "--date", metavar="RFC3339", default="", section=FACTS, help=".Run.Date, so that a rendering can be repeated."
    ),
    _option(
        "--working-directory",
        metavar="DIR",
        default="",
        section=DEFAULTS,
        help="The working directory of steps that name none.",
    ),
    _option("--network", metavar="NAME", default="", section=DEFAULTS, help="The network of steps that name none."),
    _option("--env", metavar="K=V", multiple=True, section=DEFAULTS, help="An environment variable for every step."),
    _option("--strict", is_flag=True, help="Treat warnings as errors."),
)

_NAMES = (
    "values_file",
    "set_",
    "set_secret",
    "secret",
    "registry",
    "run_id",
    "commit",
    "branch",
    "git_tag",
    "repository",
    "triggered_by",
    "task_name",
    "shared_volume",
    "os_version",
    "platform",
    "date",
    "working_directory",
    "network",
    "env",
    "strict",
)
