"""Which file is meant and what its context is: words of a command line become a text, a name and a folder.

Reads files, nothing else. Contexts that have to be fetched (git, archives, registries) are left to `remote`.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass
from taskengine.lightpattern import pattern

STDIN = "-"
NO_CONTEXT = "/dev/null"
DEFAULT_FILE = "acb.yaml"
#: no more than this is read of a file; what is larger than a task may be is refused by the parser, with its own words
LARGEST = 16 << 20

#: how a Dockerfile begins, and no YAML of ours
_DOCKERFILE = pattern(rb"(?:[ \t]*+(?:#[^\n]*+|ARG[ \t][^\n]*+)?\r?\n)*+[ \t]*+FROM[ \t]++[^\s:]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A task text with the name that problems carry, and the context's folder (None: no context).

    `home` is for a file that was fetched: the folder of what was fetched, and the file's own. It may read nothing
    outside of them."""

    text: str | bytes
    name: str
    context: str | None
    home: tuple[Path, Path] | None = None


def read_task(file: str) -> tuple[bytes, str]:
    """The bytes of a task file and the name to show for it; `-` is standard input."""
    data, name = read_file(file)
    if _DOCKERFILE.match(data[:65536]):
        raise InvalidInput(
            f"{name} is a Dockerfile, not a task file",
            hint="build it with: acr-task build -f DOCKERFILE CONTEXT; a task file begins with 'version:' and 'steps:'",
        )
    return data, name


def read_file(file: str) -> tuple[bytes, str]:
    """The same for any file; one that was fetched is named by its address."""
    if file == STDIN:
        return sys.stdin.buffer.read(LARGEST + 1), "<stdin>"
    path = Path(file)
    if path.is_dir():
        hint = f"name the file, for example {path / DEFAULT_FILE}"
        raise InvalidInput(typed(f"{file} is a folder, not a file"), hint=typed(hint))
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        hint = near(path) or _others(path)
        message = f"{file}: {(error.strerror or str(error)).lower()}"
        raise InvalidInput(typed(message), hint=typed(hint)) from error
    return data, typed(file)


def typed(text: str) -> str:
    """The text with folders of fetched contexts named as the user named them."""
    remote = sys.modules.get("taskengine.cli.remote")  # not loaded: nothing was fetched
    return text if remote is None else str(remote.typed(text))


def home_of(path: str) -> tuple[Path, Path] | None:
    """The folder of the fetched context that a file lies in, and its own; None for a file of this machine."""
    remote = sys.modules.get("taskengine.cli.remote")
    home = None if remote is None or path == STDIN else remote.home_of(path)
    return None if home is None else (home, Path(path).parent)


def locate(
    file: str | None, context: str | None, *, default: str = DEFAULT_FILE, context_first: bool = True
) -> tuple[str, str | None]:
    """The path of the file to read, and the context's folder.

    A relative file is looked up in the context first, then in the current folder; the other way round where
    `context_first` is False. Without a context the file's own folder is it; a file from standard input has none.
    """
    if STDIN == file == context:
        raise InvalidInput("file and context cannot both come from standard input", hint="name one of them")
    folder = folder_of(context) if context is not None else None
    name = default if file is None else file
    if not name:
        raise InvalidInput("the name of the file is empty", hint="is a variable of your script not set?")
    if name == STDIN:
        return STDIN, folder
    path = Path(name)
    if context is None:
        if os.path.isdir(name):  # noqa: PTH112 - an address may be longer than a file's name may
            return str(path / default), str(path)
        if _is_fetched(name):
            return locate(None, name, default=default)
        return name, str(path.parent)
    if folder is not None and not path.is_absolute():
        if _is_fetched(context):
            _refuse_escape(folder, name)
        inside = Path(folder) / path
        places = [inside, path] if context_first else [path, inside]
        found = next((place for place in places if place.exists()), places[0])
        return str(inside if file is None else found), folder
    return name, folder


def folder_of(context: str) -> str | None:
    """The context's folder, fetched first where it is an address; None for `/dev/null`."""
    if context == NO_CONTEXT:
        return None
    if os.path.isdir(context):  # noqa: PTH112 - an address may be longer than a file's name may
        return context
    if _is_fetched(context):
        from taskengine.cli.remote import fetched

        return str(fetched(context).folder)
    if os.path.exists(context):  # noqa: PTH110
        raise InvalidInput(
            f"the context {context} is not a folder",
            hint=f"name a folder, or {NO_CONTEXT} for no context; the task file is given with -f",
        )
    raise InvalidInput(f"the context {context} does not exist", hint=f"name a folder, or {NO_CONTEXT} for no context")


def _is_fetched(context: str) -> bool:
    """Whether a context is an address or standard input; a folder of such a name goes before an address."""
    if context == STDIN or os.path.exists(context):  # noqa: PTH110
        return context == STDIN
    from taskengine.context.source import Local, parse_context

    return not isinstance(parse_context(context), Local)  # refuses what looks like an address and is none


def _refuse_escape(folder: str, name: str) -> None:
    """A link in a stranger's tree must not have us read, and show, a file of this machine."""
    from taskengine.context.tree import inside

    inside(Path(folder), name)


def near(path: Path) -> str | None:
    """Another file in the same folder that may have been meant."""
    from difflib import get_close_matches

    if path.name == DEFAULT_FILE:
        return None  # nobody wrote that name
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return None
    near = get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else None


def _others(path: Path) -> str:
    """What to do about a file that is not there and resembles no other."""
    folder = path.parent
    if path.name == DEFAULT_FILE and folder.is_dir():
        found = sorted(str(other) for other in folder.glob("*.y*ml"))[:3]
        if found:
            return f"a folder's own task is {DEFAULT_FILE}; name another one: {', '.join(found)}"
        if (folder / "Dockerfile").is_file():
            return f"a folder's own task is {DEFAULT_FILE}; to build its Dockerfile: acr-task build {folder}"
        return f"a folder's own task is {DEFAULT_FILE}; name a task file"
    return "correct the name" if folder.is_dir() else f"there is no folder {folder}"
