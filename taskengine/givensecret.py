"""A secret that a server or a worker is started with: from a variable, from a file that another variable names, or from
systemd's credentials.

Files keep it out of what `docker inspect`, `systemctl show` and /proc tell. Must not know what the secrets are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from taskengine.errors import InvalidInput

_LARGEST = 1 << 16


def given_secret(environ: Mapping[str, str], name: str) -> str:
    """The value of the variable `name`; without it, the text of the file that `name`_FILE names (so Docker's secrets
    are handed on); without that, of systemd's credential: `acr-task.secret-key` for ACR_TASK_SECRET_KEY. Empty when
    none is there. White space around it is left out. Raises InvalidInput for a named file that cannot be read."""
    if value := environ.get(name, "").strip():
        return value
    if named := environ.get(f"{name}_FILE", ""):
        return _read(Path(named), f"{name}_FILE")
    if folder := environ.get("CREDENTIALS_DIRECTORY", ""):
        credential = name.lower().replace("acr_task_", "acr-task.").replace("_", "-")
        return _read(Path(folder) / credential, "CREDENTIALS_DIRECTORY", required=False)
    return ""


def _read(path: Path, variable: str, *, required: bool = True) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        return text.decode().strip() if len(text) <= _LARGEST else _refuse(path, variable, "it is no short text")
    except FileNotFoundError as error:
        return _refuse(path, variable, "there is no such file", error) if required else ""
    except UnicodeDecodeError as error:
        return _refuse(path, variable, "it is no text", error)
    except OSError as error:
        return _refuse(path, variable, (error.strerror or str(error)).lower(), error)


def _refuse(path: Path, variable: str, why: str, cause: Exception | None = None) -> NoReturn:
    raise InvalidInput(
        f"{path}, which {variable} names, cannot be read: {why}", hint="correct the path, or let this user read it"
    ) from cause
