"""`run` and `build` on a server: the command line's words as the body of a request, its files uploaded, its log shown.

What is secret goes into the request's `secrets` and nowhere else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskengine.cli.execute import Display
from taskengine.cli.option import TaskOptions
from taskengine.cli.server.target import Target
from taskengine.cli.server.where import Where
from taskengine.cli.source import DEFAULT_FILE, NO_CONTEXT, STDIN, Source
from taskengine.errors import InvalidInput, InvalidTask, Problem, Unreachable
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from taskengine.cli.attach import Attach

_TRIES = 4
#: what of a run has no name of its own
_TASK, _BUILD = "task.yaml", "build"


@dataclass(frozen=True, kw_only=True)
class Quick:
    """A run as it will be asked for. `folder` (with `extra` files, by the rules of `ignores`) is what is uploaded
    first, or an archive on standard input; `name` is what problems of its text are to be called."""

    body: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    is_stdin: bool = False
    extra: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ignores: str = ""
    name: str = ""


def submit(target: Target, quick: Quick, where: Where, display: Display, git: Mapping[str, str]) -> int:
    """Upload what is to be uploaded, queue the run, and stay with it until it is over. Returns the exit code."""
    from taskengine.ambient import Ambient
    from taskengine.cli.server.follow import carry_out
    from taskengine.cli.server.target import connect
    from taskengine.cli.server.upload import upload_archive, upload_folder

    key = Ambient.system().new_id()
    with connect(target) as api:
        body = {**quick.body, "agentPoolName": where.pool, "secrets": dict(quick.secrets)}
        if (quick.folder is not None or quick.is_stdin) and "file" not in body:
            with _Named(quick.name):
                api.check_run(body)  # what is wrong with the text is told before anything travels
        if quick.folder is not None:
            body["context"] = upload_folder(api, quick.folder, extra=quick.extra, ignores=quick.ignores)
        elif quick.is_stdin:
            body["context"] = upload_archive(api, sys.stdin.buffer)

        def queue() -> dict[str, Any]:
            with _Named(quick.name):
                return again(lambda: api.queue_run(body, key=key))

        if not where.no_wait:
            return carry_out(api, queue, display, git=git)
        leave(queue(), display)
        return 0


def leave(run: Mapping[str, Any], display: Display) -> None:
    """Say which run was queued: its id, or all that the service says of it."""
    from taskengine.cli.report import report_problems
    from taskengine.cli.view.form import json_text
    from taskengine.client.transport import problems_of

    report_problems(problems_of(run.get("warnings")))
    print(run["runId"] if display.output == "text" else json_text(run))


def again(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask, and ask again where the service was away: the request's key makes it harmless."""
    import time

    for left in reversed(range(_TRIES)):
        try:
            return ask()
        except Unreachable:
            if not left:
                raise
            time.sleep(1.0)
    raise AssertionError


class _Named:
    """Problems of the text carry the name that the user knows it by."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, InvalidTask) and self._name:
            raise InvalidTask(tuple(_renamed(one, self._name) for one in error.problems)) from None


def _renamed(problem: Problem, name: str) -> Problem:
    if problem.location is None or problem.location.file not in (_base(name), _TASK):
        return problem
    return replace(problem, location=replace(problem.location, file=name))


def _base(name: str) -> str:
    """A text's name as it travels: a file's name without its folders."""
    return name.replace("\\", "/").rpartition("/")[2][:200] or _TASK


def is_address(context: str) -> bool:
    """Whether the server fetches this context itself. A folder of such a name goes before an address."""
    if os.path.exists(context):  # noqa: PTH110 - an address may be longer than a file's name may
        return False
    from taskengine.context.source import Local, NoContext, Stdin, parse_context

    return not isinstance(parse_context(context), Local | NoContext | Stdin)


def of_file(file: str | None, context: str, *, text_first: bool) -> tuple[dict[str, Any], str]:
    """The part of a request that names the task, where its context is not on this machine, and the name of its text.

    The file is looked up in the context, where the server finds it; one of this machine goes before it where
    `text_first`, and standard input always."""
    from taskengine.cli.source import read_task

    if file == STDIN == context:
        raise InvalidInput("file and context cannot both come from standard input", hint="name one of them")
    if file is not None and (file == STDIN or Path(file).is_absolute() or (text_first and Path(file).is_file())):
        text, name = read_task(file)
        return text_of(text, name), name
    return {"file": file or DEFAULT_FILE}, ""


def text_of(text: str | bytes, name: str) -> dict[str, Any]:
    """A text and its name. Raises InvalidInput for what is no text."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{name}: not UTF-8 text", hint="save it as UTF-8") from error
    return {"text": text, "textName": _base(name)}


def with_context(quick: Quick, context: str | None) -> Quick:
    """The same with its context: a folder or standard input to upload, an address to fetch, or none."""
    if context is None or context == NO_CONTEXT:
        return quick
    if context == STDIN:
        return replace(quick, is_stdin=True)
    if is_address(context):
        address, token = parted(context)
        secrets = {**quick.secrets, "context:token": token} if token else quick.secrets
        return replace(quick, body={**quick.body, "context": address}, secrets=secrets)
    return replace(quick, folder=Path(context))


def parted(context: str) -> tuple[str, str]:
    """An address without the login that stood in it, and the login as the service takes it: `TOKEN`, `USER:TOKEN`."""
    import re
    from urllib.parse import unquote

    from taskengine.context.source import secrets_of

    secrets = secrets_of(context)
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/#?]*)@", context)
    if not secrets or found is None:
        return context, ""
    user, _, password = found[2].partition(":")
    token = f"{unquote(user)}:{unquote(password)}" if password else unquote(user)
    return found[1] + context[found.end() :], token


def with_attached(quick: Quick, attach: Attach) -> Quick:
    """The same, with what is to be attached to the images that it pushes, and what is known here of its folder."""
    wanted = [name for name in ("provenance", "sbom") if getattr(attach, name)]
    if not wanted:
        return quick
    body = {**quick.body, "attach": wanted}
    if quick.folder is not None and (origin := origin_of_folder(quick.folder)):
        body["origin"] = origin
    return replace(quick, body=body)


def origin_of_folder(folder: Path) -> dict[str, Any]:
    """What git says of a folder that is about to be uploaded; empty where it says nothing."""
    from taskengine import wiring
    from taskengine.context.worktree import worktree_of

    here = worktree_of(folder, wiring.settings().environ)
    if here is None:
        return {}
    found = {"repository": here.repository, "commit": here.commit, "branch": here.branch, "changed": here.changed}
    return {name: value for name, value in found.items() if value not in ("", None)}


def of_run(source: Source, options: TaskOptions, *, timeout: int | None, grants: tuple[str, ...]) -> Quick:
    """A task's text with its folder, as a request."""
    body = {**text_of(source.text, source.name), **_shared(options, timeout, grants)}
    return with_context(Quick(body=body, secrets=_secrets(options), name=source.name), source.context)


def of_context(
    file: str | None, cmd: str | None, context: str, options: TaskOptions, *, timeout: int | None,
    grants: tuple[str, ...], text_first: bool,
) -> Quick:  # fmt: skip
    """A task whose context is not on this machine's disk, as a request."""
    if cmd is not None:
        from taskengine.taskspec.quick import cmd_task

        what, name = text_of(cmd_task(cmd, timeout=timeout), "--cmd"), "--cmd"
    else:
        what, name = of_file(file, context, text_first=text_first)
    body = {**what, **_shared(options, timeout, grants)}
    return with_context(Quick(body=body, secrets=_secrets(options), name=name), context)


def only_local(given: Mapping[str, object]) -> None:
    """Raises InvalidInput for the first option that a run on a server can never have, with the reason."""
    for name, value in given.items():
        if value:
            why, instead = _ONLY_LOCAL[name]
            raise InvalidInput(f"{name} is for runs on this machine: {why}", hint=f"{instead}, or add --local")


_ONLY_LOCAL = {
    "--id": (
        "a service gives each run its own id, so that no two have the same",
        "leave it out and use --set for a value of your own",
    ),
    "--ssh": (
        "an SSH agent or a private key does not leave it",
        "hand over what the build needs with --secret, and mount it",
    ),
}


def _shared(options: TaskOptions, timeout: int | None, grants: tuple[str, ...]) -> dict[str, Any]:
    only_local({"--id": options.run_id})
    found: dict[str, Any] = {
        "strict": options.strict,
        "valuesText": options.values,
        "set": list(options.set),
        "registry": options.registry,
        "platform": options.platform,
        "taskName": options.task_name,
        "workingDirectory": options.working_directory,
        "network": options.network,
        "env": list(options.env),
        "date": options.date.isoformat() if options.date else "",
        "commit": options.commit,
        "branch": options.branch,
        "gitTag": options.git_tag,
        "repository": options.repository,
        "triggeredBy": options.triggered_by,
        "sharedVolume": options.shared_volume,
        "osVersion": options.os_version,
        "timeout": timeout,
        "grants": list(grants),
    }
    return {name: value for name, value in found.items() if value}


def _secrets(options: TaskOptions) -> dict[str, str]:
    return {f"set:{name}": value for name, value in options.set_secret} | {
        f"secret:{name}": value for name, value in options.secret
    }
