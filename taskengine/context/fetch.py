"""Fetches a context into a folder: the one function that the rest of the program calls, and the choice behind it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from taskengine.context.model import Access, Deadline, Fetched, Limits, Never, Notice, Stop
from taskengine.context.source import Context, Git, Local, NoContext, Oci, Stdin, Tarball
from taskengine.errors import InvalidInput

_LIMITS = Limits()
#: pulls an artifact; handed in by whoever has a client for registries
OciFetch = Callable[[Oci, Path, Limits, Deadline], Fetched]


def fetch(
    context: Context,
    *,
    into: Path,
    access: Access,
    limits: Limits = _LIMITS,
    stop: Stop | None = None,
    notice: Notice = lambda _text: None,
    stdin: IO[bytes] | None = None,
    oci: OciFetch | None = None,
) -> Fetched:
    """Fetch into the folder `into`, which is new or empty and holds what was fetched below it afterwards.

    When that fails, whatever was there already is removed again. `notice` is told what a person should know. Raises
    InvalidInput (the address is wrong), Unreachable, or Interrupted when `stop` is set.
    """
    deadline = Deadline(limits.seconds, stop or Never())
    if isinstance(context, Local):
        return Fetched(folder=Path(context.path))
    if isinstance(context, NoContext):
        raise InvalidInput("/dev/null is no context, so that there is nothing to fetch")
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _fetch(context, into, access, limits, deadline, notice, stdin, oci)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def _fetch(
    context: Git | Tarball | Oci | Stdin,
    into: Path,
    access: Access,
    limits: Limits,
    deadline: Deadline,
    notice: Notice,
    stdin: IO[bytes] | None,
    oci: OciFetch | None,
) -> Fetched:
    if isinstance(context, Git):
        from taskengine.context.git import fetch_git

        return fetch_git(context, into, access, limits, deadline, notice)
    if isinstance(context, Tarball):
        from taskengine.context.tarball import fetch_tarball

        return fetch_tarball(context, into, access, limits, deadline)
    if isinstance(context, Stdin):
        from taskengine.context.standardinput import fetch_stdin

        return fetch_stdin(stdin, into, limits, deadline)
    if oci is None:
        raise InvalidInput(f"oci://{context.reference} cannot be fetched here", hint="name a folder or an archive")
    return oci(context, into, limits, deadline)
