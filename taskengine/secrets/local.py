"""Secrets that this machine holds itself: variables of the environment, files, and values written into a table.

A file's content is the secret byte for byte: a newline at its end belongs to it. Values never appear in an error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from taskengine.errors import InvalidInput

LARGEST_FILE = 1024 * 1024


def from_environment(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if value is None:
        raise InvalidInput(
            f"the environment has no variable {name}", hint=f"export {name}, or give the value by --secret"
        )
    return value


def from_file(path: str, *, base: str = "") -> str:
    """The content of a file; with a `base`, one that lies below it once all links are followed."""
    try:
        full = os.path.realpath(os.path.join(base, path) if base else path)  # noqa: PTH118
        if base and os.path.commonpath([full, os.path.realpath(base)]) != os.path.realpath(base):
            raise InvalidInput(f"the file {path!r} lies outside {base}", hint="a secret's file stays below its base")
        content = _read(full)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        raise InvalidInput(f"cannot read the secret's file {path}: {reason}", hint="check path and mode") from None
    if content is None:
        raise InvalidInput(f"{path} is no regular file", hint="a secret's file holds the secret and nothing else")
    if len(content) > LARGEST_FILE:
        raise InvalidInput(f"{path} is larger than {LARGEST_FILE} bytes", hint="is it the secret's file?")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{path} holds no UTF-8 text", hint="store it as base64, and decode it where it is used"
        ) from None


def _read(path: str) -> bytes | None:
    """The content of a regular file, or one byte more than is allowed; None for anything else."""
    # Without O_NONBLOCK a pipe in place of a file would stop us for good.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(LARGEST_FILE + 1)
    finally:
        os.close(descriptor)
