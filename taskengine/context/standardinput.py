"""Reads a context from standard input: an archive, or a Dockerfile alone, as `docker build -` takes them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

from taskengine.context.archive import unpack
from taskengine.context.compression import kind_of
from taskengine.context.model import MIB, Deadline, Fetched, Limits
from taskengine.context.tarball import copy_bounded
from taskengine.errors import InvalidInput

_CHUNK = 1 << 16
_LARGEST_DOCKERFILE = 16 * MIB


def fetch_stdin(stdin: IO[bytes] | None, into: Path, limits: Limits, deadline: Deadline) -> Fetched:
    """The archive's content below `into`, or a folder with nothing but the Dockerfile."""
    if stdin is None:
        raise InvalidInput("there is no standard input to read the context from", hint="name a folder or an address")
    root = into / "content"
    root.mkdir(exist_ok=True)
    with tempfile.TemporaryFile(dir=into) as spool:
        chunks = iter(lambda: stdin.read(_CHUNK), b"")
        digest = copy_bounded(chunks, spool, limits, deadline.check, "standard input")
        size = spool.tell()
        spool.seek(0)
        if not size:
            raise InvalidInput("standard input is empty, and the context is to come from there")
        if kind_of(spool.read(512)):
            spool.seek(0)
            unpack(spool, root, limits=limits, deadline=deadline, shown="standard input")
        else:
            _dockerfile(spool, root, size)
    return Fetched(folder=root, digest=f"sha256:{digest}")


def _dockerfile(spool: IO[bytes], root: Path, size: int) -> None:
    spool.seek(0)
    text = spool.read(_LARGEST_DOCKERFILE + 1)
    if size > _LARGEST_DOCKERFILE or b"\0" in text:
        raise InvalidInput(
            "standard input is neither an archive nor a Dockerfile",
            hint="tar -C FOLDER -cz . | acr-task build -t NAME -",
        )
    (root / "Dockerfile").write_bytes(text)
