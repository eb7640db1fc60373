"""Reads a Dockerfile from disk as text. The one file of this package that touches the world."""

from __future__ import annotations

from pathlib import Path

from taskengine.dockerfile.parse import LARGEST_TEXT
from taskengine.errors import InvalidInput
from taskengine.plainfile import Folder


def read_dockerfile(path: Path) -> str:
    """The text of a Dockerfile. What is no UTF-8 becomes replacement characters: no instruction is made of them."""
    try:
        content = Folder(path.parent).read(path.name, largest=4 * LARGEST_TEXT)
    except FileNotFoundError:
        raise InvalidInput(f"there is no Dockerfile {path}", hint=_nearby(path)) from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder, not a Dockerfile", hint="name a file in it with -f") from None
    except OSError as error:
        raise InvalidInput(
            f"cannot read {path}: {error.strerror or error}", hint="check the path and its mode"
        ) from None
    return content.decode(errors="replace")


def _nearby(path: Path) -> str:
    try:
        names = sorted(
            entry.name for entry in path.parent.iterdir() if "dockerfile" in entry.name.lower() and entry.is_file()
        )
    except OSError:
        return f"there is no folder {path.parent}"
    return f"the folder has {', '.join(names[:5])}; name one with -f" if names else "name it with -f"
