"""A real PostgreSQL on a unix socket in a folder of its own, as an unprivileged user: its server refuses root.

Knows initdb, the server's life, and how a fresh database is made. Must not know any table."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.support.place import stop_process

READY_SECONDS = 30.0
_USER = "acrtask"


class Postgres:
    """One server. `fresh()` is the URL of a new, empty database. A `durable` one flushes what it commits to the disk."""

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="acrpg-", dir="/tmp"))
        self._owner = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        try:
            if self._owner:
                os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
            self._run("initdb", "-D", "data", "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    _program("postgres"),
                    *("-D", str(self.folder / "data"), "-k", str(self.folder), "-h", ""),
                    *("-c", f"fsync={'on' if self._durable else 'off'}", "-c", "max_connections=120", "-c", "shared_buffers=32MB"),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder,
                **self._as_owner(),
            )  # fmt: skip
        self._await_ready()

    def stop(self, *, kill: bool = False) -> None:
        """Ends it at once: connections are cut. With `kill`, as a crash would."""
        if self._process is not None:
            if kill:
                self._end_children()
            else:
                self._process.send_signal(3)  # SIGQUIT: immediate shutdown
                self._process.wait()
            stop_process(self._process)
            self._process = None

    def fresh(self, like: str | None = None) -> str:
        """Makes an empty database, or a copy of the one at the URL `like`, to which nobody is connected. Returns its
        URL."""
        self._count += 1
        name = f"test{self._count}"
        template = f" TEMPLATE {like.partition('@/')[2].partition('?')[0]}" if like else ""
        with _connect(f"host={self.folder} user={_USER} dbname=postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}{template}")
        return f"postgresql://{_USER}@/{name}?host={quote(str(self.folder), safe='')}"

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_children(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + 10  # its children see that it is gone, and go
        while _group_alive(self._process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def _await_ready(self) -> None:
        import psycopg

        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                _connect(f"host={self.folder} user={_USER} dbname=postgres").close()
            except psycopg.OperationalError:
                gone = self._process is None or self._process.poll() is not None
                if gone or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"postgres did not start:\n{log[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def _run(self, program: str, *arguments: str) -> None:
        found = subprocess.run(
            [_program(program), *arguments], cwd=self.folder, capture_output=True, check=False, **self._as_owner()
        )
        if found.returncode:
            raise RuntimeError(f"{program} failed: {found.stderr.decode(errors='replace')[-2000:]}")

    def _as_owner(self) -> dict[str, Any]:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}


def _connect(address: str) -> Any:
    import psycopg

    return psycopg.connect(address, autocommit=True, connect_timeout=5)


def _unprivileged() -> pwd.struct_passwd | None:
    """Who the server runs as; None when that is us."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("there is neither a user postgres nor nobody; a server of PostgreSQL refuses root")


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _program(name: str) -> str:
    """Debian keeps the server's programs out of PATH, by version: the newest there is."""
    found = [shutil.which(name)] if shutil.which(name) else []
    found += [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]
    if not found or found[0] is None:
        raise RuntimeError(f"`{name}` is not installed; `scripts/setup --engine` installs postgresql")
    return found[0]
