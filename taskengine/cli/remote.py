"""Contexts that have to be fetched, for the life of one command: where they are, and what is known of them.

What was fetched goes when the command ends, whatever ends it; `taskengine.context.keep` says how.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from taskengine.context.address import shown
from taskengine.context.source import STDIN

if TYPE_CHECKING:
    from taskengine.context.model import Fetched

#: what this command fetched, by the context's text
_FETCHED: dict[str, Fetched] = {}


def fetched(text: str) -> Fetched:
    """The context that `text` names, on this disk. A command that asks twice fetches once."""
    if text in _FETCHED:
        return _FETCHED[text]
    from taskengine import wiring
    from taskengine.ambient import Ambient

    contexts = wiring.contexts_for(Ambient.system().new_id(), wiring.settings(), files=True)

    def close() -> None:
        _FETCHED.pop(text, None)
        contexts.close()

    _at_the_end(close)
    if sys.stderr.isatty():
        print(f"fetching {shown(text)}", file=sys.stderr)
    with _termination_is_an_interrupt():
        _FETCHED[text] = contexts.fetch(text, notice=_warn, stdin=_stdin() if text == STDIN else None)
    return _FETCHED[text]


def typed(text: str) -> str:
    """The text with the folders of fetched contexts named as the user named them: the address, and the path in it."""
    for context, found in _FETCHED.items():
        name = "<stdin>" if context == STDIN else shown(context)
        text = text.replace(f"{found.folder}/", _below(name)).replace(str(found.folder), name)
    return text


def _below(name: str) -> str:
    """What a path in a context stands behind: `url/`, `url#branch:`, `url#branch:folder/`."""
    _, fragment, rest = name.partition("#")
    if fragment and ":" not in rest:
        return f"{name}:"
    return name if name.endswith((":", "/")) else f"{name}/"


def home_of(path: str) -> Path | None:
    """The folder of the fetched context that a file lies in; None for a file of this machine."""
    folders = (found.folder for found in _FETCHED.values())
    return next((folder for folder in folders if Path(path).is_relative_to(folder)), None)


def identity_of(folder: str | None) -> str:
    """What the files of a fetched folder are, the same from run to run; "" for any other folder."""
    return next((found.identity(text) for text, found in _FETCHED.items() if str(found.folder) == folder), "")


def origin_of(folder: str | None) -> Fetched | None:
    """What is known of a folder that was fetched by this command; None for any other."""
    return next((found for found in _FETCHED.values() if str(found.folder) == folder), None)


def address_of(folder: str | None) -> str:
    """The address that a folder was fetched from, without any login; empty for a folder of the user's own."""
    return next((shown(text) for text, found in _FETCHED.items() if str(found.folder) == folder), "")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _stdin() -> IO[bytes]:
    return sys.stdin.buffer


def _at_the_end(close: Callable[[], None]) -> None:
    import click

    command = click.get_current_context(silent=True)
    if command is not None:
        command.call_on_close(close)
        return
    import atexit

    atexit.register(close)


@contextlib.contextmanager
def _termination_is_an_interrupt() -> Iterator[None]:
    """While entered, SIGTERM and SIGHUP end the command as Ctrl-C does, so that nothing is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
