"""Uploaded contexts, in two phases: announced with size and SHA-256, sent in pieces that may be resumed, and then
checked as a whole. Only what was checked may be named by a run. Must not know what is in them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection, select

from taskengine.errors import Conflict, InvalidInput, NotFound, OutOfSpace, TaskEngineError, Unreachable
from taskengine.service.store.database import Database
from taskengine.service.store.rows import UNFINISHED
from taskengine.service.store.tables import runs, uploads

KEPT = timedelta(hours=24)  # after the last use
_BLOCK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """`received` are the bytes that are safe here; `state` is `open` until the whole was checked, then `ready`."""

    id: str
    owner: str
    size: int
    sha256: str
    received: int
    state: str
    created: datetime
    expires: datetime


class WrongOffset(Conflict):
    """Bytes came for another place than where the copy here ends, which is `offset`: send on from there."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the copy here ends at byte {offset}", hint="send on from there")
        self.offset = offset


def create(
    conn: Connection, *, new_id: str, owner: str, size: int, sha256: str, now: datetime, kept: timedelta = KEPT
) -> Upload:
    """Announces an upload. Raises InvalidInput for a size or a digest that is none."""
    if size < 0:
        raise InvalidInput("the size of an upload is a whole number of bytes")
    if not _DIGEST.fullmatch(sha256):
        raise InvalidInput("the sha256 of an upload is 64 hexadecimal digits, in lower case")
    made = Upload(
        id=new_id, owner=owner, size=size, sha256=sha256, received=0, state="open", created=now, expires=now + kept
    )
    conn.execute(uploads.insert().values(**{name: getattr(made, name) for name in Upload.__slots__}))
    return made


def get(conn: Connection, upload: str) -> Upload:
    """Raises NotFound."""
    row = conn.execute(select(uploads).where(uploads.c.id == upload)).first()
    if row is None:
        raise NotFound(f"there is no upload {upload}", hint="it may have expired: upload the context again")
    return Upload(**{name: getattr(row, name) for name in Upload.__slots__})


def use(conn: Connection, upload: str, *, owner: str, now: datetime, kept: timedelta = KEPT) -> None:
    """A run names it: it is kept for longer. Raises InvalidInput unless it is there in full and the owner's own."""
    row = conn.execute(select(uploads).where(uploads.c.id == upload).with_for_update()).first()
    if row is None or row.owner != owner:
        raise InvalidInput(f"there is no upload {upload}", hint="it may have expired: upload the context again")
    if row.state != "ready":
        raise InvalidInput(f"upload {upload} is not complete", hint="send all of it and commit it, then queue the run")
    conn.execute(uploads.update().where(uploads.c.id == upload).values(expires=now + kept))


class UploadFolder:
    """The bytes of uploads, in `folder`, each in a file for its owner only."""

    def __init__(self, database: Database, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = database
        self._folder = folder

    def write(self, upload: str, offset: int, pieces: Iterable[bytes], *, now: datetime, kept: timedelta = KEPT) -> int:
        """Appends `pieces` at `offset`; what came in before a connection broke is kept. Returns where the copy ends.

        Raises WrongOffset when it ends elsewhere, InvalidInput for more than was announced, Conflict when it is checked
        already or somebody else is sending it, OutOfSpace, NotFound."""
        with self._held(upload) as file:
            with self._database.read() as conn:
                known = get(conn, upload)
            if known.state != "open":
                raise Conflict(f"upload {upload} is complete already")
            if offset != known.received:
                raise WrongOffset(known.received)
            at = offset
            try:
                for piece in pieces:
                    if at + len(piece) > known.size:
                        raise InvalidInput(f"more came than the {known.size} bytes that were announced")
                    _write_at(file.fileno(), piece, at)
                    at += len(piece)
            finally:
                if at > offset:
                    _flush(file.fileno())
                    self._note(upload, offset, at, now + kept)
            return at

    def commit(self, upload: str) -> Upload:
        """Checks the whole. Raises Conflict when bytes are missing; InvalidInput when the bytes are not what was
        announced, and then they are thrown away, so that they can be sent anew. Committing twice is well."""
        with self._held(upload) as file:
            with self._database.read() as conn:
                known = get(conn, upload)
            if known.state == "ready":
                return known
            if known.received != known.size:
                raise Conflict(
                    f"{known.received} of {known.size} bytes are here", hint="send the rest, then commit again"
                )
            if _digest(file, known.size) != known.sha256:
                with self._database.write() as conn:
                    conn.execute(uploads.update().where(uploads.c.id == upload).values(received=0))
                raise InvalidInput(
                    "the bytes that came are not those that were announced: their sha256 differs",
                    hint="the file may have changed meanwhile: upload it again from the start",
                )
            os.truncate(file.fileno(), known.size)
            with self._database.write() as conn:
                conn.execute(uploads.update().where(uploads.c.id == upload).values(state="ready"))
                return get(conn, upload)

    def open(self, upload: str) -> BinaryIO:
        """Its bytes, to be read. Raises NotFound, and Conflict while it is not complete."""
        with self._database.read() as conn:
            known = get(conn, upload)
        if known.state != "ready":
            raise Conflict(f"upload {upload} is not complete")
        try:
            return self._path(upload).open("rb")
        except OSError as error:
            raise NotFound(f"the bytes of upload {upload} are gone", hint="upload the context again") from error

    def sweep(self, conn: Connection, *, now: datetime, dry: bool = False) -> list[Upload]:
        """Removes those whose time is up and that no unfinished run names, and files that belong to none. Returns what
        went, or would go. The caller removes the files by `discard` once the transaction is committed."""
        needed = select(runs.c.upload).where(runs.c.upload == uploads.c.id, runs.c.status.in_(UNFINISHED)).exists()
        rows = conn.execute(select(uploads).where(uploads.c.expires <= now, ~needed).order_by(uploads.c.id)).all()
        gone = [Upload(**{name: getattr(row, name) for name in Upload.__slots__}) for row in rows]
        if gone and not dry:
            conn.execute(uploads.delete().where(uploads.c.id.in_([one.id for one in gone])))
        return gone

    def discard(self, names: Iterable[str]) -> None:
        """Removes files."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def strays(self, before: datetime) -> list[str]:
        """Files that no upload names, and that nobody has touched since."""
        present = {path.name for path in self._folder.iterdir() if path.stat().st_mtime < before.timestamp()}
        with self._database.read() as conn:
            known = set(conn.execute(select(uploads.c.id)).scalars())
        return sorted(present - known)

    def _note(self, upload: str, before: int, after: int, expires: datetime) -> None:
        same = (uploads.c.id == upload, uploads.c.received == before, uploads.c.state == "open")
        with self._database.write() as conn:
            conn.execute(uploads.update().where(*same).values(received=after, expires=expires))

    @contextlib.contextmanager
    def _held(self, upload: str) -> Iterator[BinaryIO]:
        """The file, for one sender at a time, of all services."""
        with self._database.read() as conn:
            get(conn, upload)
        try:
            handle = os.open(self._path(upload), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise disk_trouble(error, "upload") from error
        with os.fdopen(handle, "r+b", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(f"upload {upload} is being sent already", hint="one sender at a time") from error
            yield file

    def _path(self, upload: str) -> Path:
        if not re.fullmatch(r"[a-z0-9]{1,32}", upload):
            raise NotFound("there is no such upload")
        return self._folder / upload


def disk_trouble(error: OSError, what: str) -> TaskEngineError:
    """A disk's error in our words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutOfSpace(f"the service's disk is full; the {what} was not kept", hint="make room, then send it again")
    why = (error.strerror or str(error)).lower()
    return Unreachable(f"the service's disk did not take the {what}: {why}", hint="look after the data folder's disk")


def _write_at(handle: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    try:
        while view:
            written = os.pwrite(handle, view, at)
            at += written
            view = view[written:]
    except OSError as error:
        raise disk_trouble(error, "upload") from error


def _flush(handle: int) -> None:
    try:
        os.fdatasync(handle)
    except OSError as error:
        raise disk_trouble(error, "upload") from error


def _digest(file: BinaryIO, size: int) -> str:
    found = hashlib.sha256()
    file.seek(0)
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        found.update(block)
        size -= len(block)
    return found.hexdigest()
