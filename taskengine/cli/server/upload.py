"""A local folder, or an archive, on its way to a server: packed, sent in pieces, and told about while it takes time."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from io import BufferedRandom
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

from taskengine.cli.view.words import size
from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from taskengine.client.api import ServiceApi


def upload_folder(api: ServiceApi, folder: Path, *, extra: Mapping[str, bytes], ignores: str = "") -> str:
    """Pack a folder and send it; returns what a run calls it. Raises InvalidInput for what cannot be read."""
    from taskengine import wiring

    with _spare() as file:
        wiring.pack_context(folder, file, extra=extra, ignores=ignores)
        return _send(api, file)


def upload_archive(api: ServiceApi, stream: IO[bytes]) -> str:
    """Send an archive from standard input as it is."""
    with _spare() as file:
        shutil.copyfileobj(stream, file, 1 << 20)
        if not file.tell():
            raise InvalidInput("there is no archive on standard input", hint="tar -cz FOLDER | acr-task ... -")
        return _send(api, file)


class Progress:
    """How far an upload is: a line that is written over on a terminal, one line in the end anywhere else."""

    def __init__(self, total: int, err: TextIO) -> None:
        self._total, self._err = total, err
        self._moves = err.isatty()

    def __call__(self, sent: int) -> None:
        if self._moves:
            self._say(f"\r\033[Kuploading the context: {size(sent)} of {size(self._total)}")

    def done(self) -> None:
        head = "\r\033[K" if self._moves else ""
        self._say(f"{head}uploaded the context: {size(self._total)}\n")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a stderr that is gone is nobody's problem
            self._err.write(text)
            self._err.flush()


@contextlib.contextmanager
def _spare() -> Iterator[BufferedRandom]:
    """A file without a name: it goes with the process, however that ends."""
    try:
        with tempfile.TemporaryFile("w+b") as file:
            assert isinstance(file, BufferedRandom)  # noqa: S101 - a buffered file of bytes is no other
            yield file
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise InvalidInput(
                f"the context cannot be packed in {tempfile.gettempdir()}: {(error.strerror or str(error)).lower()}",
                hint="TMPDIR names another folder",
            ) from error
        raise


def _send(api: ServiceApi, file: BufferedRandom, progress: Callable[[int, TextIO], Progress] = Progress) -> str:
    shown = progress(file.seek(0, 2), sys.stderr)
    file.seek(0)
    name = api.upload(file, progress=shown)
    shown.done()
    return name
