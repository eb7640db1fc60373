"""Questions about a fetched tree, whose content comes from strangers: where a name in it really leads."""

from __future__ import annotations

from pathlib import Path

from taskengine.errors import InvalidInput


def subfolder(root: Path, subdir: str, shown: str) -> Path:
    """The folder `subdir` of a fetched tree. A link may stand in its way as long as it stays in the tree."""
    if not subdir:
        return root
    folder = inside(root, subdir)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InvalidInput(f"{subdir} {what} in {shown}", hint="check the folder behind the second part of #REF:FOLDER")
    return folder


def inside(root: Path, name: str) -> Path:
    """The real path of a name in a fetched tree. Raises InvalidInput when a link leads out of the tree."""
    base = root.resolve()
    try:
        path = (base / name).resolve()
    except (OSError, RuntimeError, ValueError):
        raise InvalidInput(f"{name} is a link that leads nowhere") from None
    if not path.is_relative_to(base):
        raise InvalidInput(f"{name} is a link that leads out of the context")
    return path
