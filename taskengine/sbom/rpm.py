"""RPM's package database in its SQLite form: one row a package, each a header in RPM's own format.

The format is that of rpm.org: counts of entries and bytes, the entries (tag, type, offset, count), then the data.
"""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from taskengine.sbom.model import Package

_NAME, _VERSION, _RELEASE, _EPOCH, _LICENSE, _ARCHITECTURE, _SOURCE = 1000, 1001, 1002, 1003, 1014, 1022, 1044
_INT32, _STRING, _STRINGS, _TRANSLATED = 4, 6, 8, 9
_ENTRY = struct.Struct(">IIII")
_MOST_ENTRIES = 5000
_LONGEST_TEXT = 500
_MOST_ROWS = 100_000
#: steps of SQLite's machine that reading may take, in thousands: a crafted file must not keep it busy for ever
_MOST_WORK = 200_000
#: no package, but a key that packages are signed with
_KEY = "gpg-pubkey"


class UnreadableDatabase(Exception):
    """The file is not what it should be; its text says how."""


def rpm_packages(database: bytes, log: bytes = b"") -> Iterator[Package]:
    """The packages of a whole database file, with SQLite's write-ahead log of it. Raises UnreadableDatabase."""
    with tempfile.TemporaryDirectory(prefix="acr-task-") as folder:
        path = Path(folder) / "rpmdb.sqlite"
        path.write_bytes(database if log else _without_log(database))
        if log:
            path.with_name(f"{path.name}-wal").write_bytes(log)
        try:
            rows = _rows(path, has_log=bool(log))
        except sqlite3.Error as error:
            raise UnreadableDatabase(f"SQLite says: {error}") from None
    for row in rows:
        package = _package(row)
        if package is not None:
            yield package


def _rows(path: Path, *, has_log: bool) -> list[bytes]:
    left = [_MOST_WORK]

    def tick() -> bool:
        left[0] -= 1
        return left[0] < 0

    how = "rw" if has_log else "ro&immutable=1"  # SQLite works a log into the file before it reads
    with closing(sqlite3.connect(f"file:{path}?mode={how}", uri=True)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.set_progress_handler(tick, 1000)
        if connection.execute("SELECT type FROM sqlite_master WHERE name='Packages'").fetchone() != ("table",):
            raise UnreadableDatabase("it has no table of packages")
        found = connection.execute("SELECT blob FROM Packages LIMIT ?", (_MOST_ROWS,))
        return [row[0] for row in found if isinstance(row[0], bytes)]


def _without_log(database: bytes) -> bytes:
    """The file as one that never had a log: SQLite would look for it."""
    return database[:18] + b"\x01\x01" + database[20:] if database[18:20] == b"\x02\x02" else database


def _package(header: bytes) -> Package | None:
    try:
        fields = _fields(header)
    except (struct.error, ValueError) as error:
        raise UnreadableDatabase("a header in it is cut off or broken") from error
    name = fields.get(_NAME, "")
    if not name or name == _KEY:
        return None
    release = fields.get(_RELEASE, "")
    return Package(
        kind="rpm",
        name=name,
        version=fields.get(_VERSION, "") + (f"-{release}" if release else ""),
        architecture=fields.get(_ARCHITECTURE, ""),
        source=fields.get(_SOURCE, ""),
        license=fields.get(_LICENSE, ""),
        epoch=fields.get(_EPOCH, ""),
    )


def _fields(header: bytes) -> dict[int, str]:
    count, size = struct.unpack_from(">II", header)
    start = 8 + count * _ENTRY.size
    if count > _MOST_ENTRIES or start + size > len(header):
        raise ValueError("longer than the header")
    wanted = {_NAME, _VERSION, _RELEASE, _EPOCH, _LICENSE, _ARCHITECTURE, _SOURCE}
    found = {}
    for number in range(count):
        tag, kind, offset, _ = _ENTRY.unpack_from(header, 8 + number * _ENTRY.size)
        if tag not in wanted or offset >= size:
            continue
        at = start + offset
        if kind in (_STRING, _STRINGS, _TRANSLATED):
            end = header.find(b"\0", at, at + _LONGEST_TEXT)
            text = header[at : end if end >= 0 else at + _LONGEST_TEXT].decode("utf-8", "replace")
            found[tag] = "".join(c if c.isprintable() else " " for c in text)
        elif kind == _INT32:
            found[tag] = str(struct.unpack_from(">I", header, at)[0])
    return found
