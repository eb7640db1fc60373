"""Where this user's data is, and whether a run has left a journal there: asked first by every command.

Imports nothing but os, because every command pays for it. Must not know what a journal says.
"""

from __future__ import annotations

import os

if False:  # for type checkers only: typing itself takes longer to import than all this
    from collections.abc import Mapping


def data_folder(environ: Mapping[str, str]) -> str:
    """ACR_TASK_DATA, else the platform's own folder for data (XDG Base Directory Specification)."""
    given = environ.get("ACR_TASK_DATA")
    if given:
        return os.path.abspath(given)  # noqa: PTH100 - pathlib takes longer to import than all this
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
    return os.path.join(environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share"), "acr-task")  # noqa: PTH118


def journal_folder(environ: Mapping[str, str]) -> str:
    return os.path.join(data_folder(environ), "runs")  # noqa: PTH118


def any_journal(environ: Mapping[str, str]) -> bool:
    """Whether some run runs, or did not end well. One look into a folder."""
    try:
        with os.scandir(journal_folder(environ)) as entries:
            return any(entry.name.endswith(".json") for entry in entries)
    except OSError:
        return False
