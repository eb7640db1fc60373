"""Tells whoever supervises this process how it is: the datagrams of systemd's NOTIFY_SOCKET (sd_notify(3)).

Without such a socket nothing is told and nothing is different. A supervisor that cannot be told is no reason to stop.
Must not know what is supervised.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping

_LONGEST_STATUS = 200


class Supervisor:
    """Whoever started this process, if it wants to be told. `watchdog` is how long it waits for a sign of life, in
    seconds; None where it waits for none."""

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = address
        self.watchdog = watchdog

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Supervisor:
        """The one that the environment names. Only sockets in the file system and abstract ones are known."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        wanted = environ.get("WATCHDOG_USEC", "")
        about_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = int(wanted) / 1e6 if wanted.isdecimal() and about_us else 0.0
        return cls(address, limit or None)

    def ready(self, status: str) -> None:
        """The start is over."""
        self._tell("READY=1", _status(status))

    def status(self, text: str) -> None:
        """A line for people: `systemctl status` shows it."""
        self._tell(_status(text))

    def stopping(self, seconds: float) -> None:
        """The end has begun, and may take so long: longer, if need be, than the supervisor would have waited."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", _status("stopping"))

    @contextlib.contextmanager
    def watching(self, is_alive: Callable[[], bool]) -> Iterator[None]:
        """Give signs of life, twice as often as they are waited for, as long as `is_alive` says so."""
        if self.watchdog is None:
            yield
            return
        over, pause = threading.Event(), self.watchdog / 2

        def watch() -> None:
            while True:
                if is_alive():
                    self._tell("WATCHDOG=1")
                if over.wait(pause):
                    return

        thread = threading.Thread(target=watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _tell(self, *facts: str) -> None:
        if not self._address:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1.0)  # its queue may be full
            sock.sendto("\n".join(facts).encode(), name)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:_LONGEST_STATUS]
