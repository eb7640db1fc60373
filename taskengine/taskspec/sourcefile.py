"""Reads what the `src` of an alias section names: a file near the task, or an http(s) address.

Small and soon, or not at all. A task file may come from a stranger, so that no file of the machine but those below the
given folders is read, wherever links lead.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

#: more is no list of aliases
MAX_SOURCE = 1 << 20
TIME_LIMIT = 2.0


def read_source(name: str, *, folders: Sequence[Path], fetch: Callable[[str], bytes] | None) -> str:
    """The text of an alias source, of the first of `folders` that has it. Raises OSError with words fit for people."""
    is_address = name.lower().startswith(("http://", "https://"))
    data = (fetch or fetch_address)(name) if is_address else _read_file(_first(name, folders))
    if len(data) > MAX_SOURCE:
        raise OSError(f"larger than {MAX_SOURCE >> 10} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OSError("it is no UTF-8 text") from None


class OutsideError(OSError):
    """A file that a task may not read, whether it exists or not."""


def _first(name: str, folders: Sequence[Path]) -> Path:
    """The file without any links in its path: of the first folder that has it, or where it would be."""
    missing: list[Path] = []
    outside = Path(name).is_absolute()
    try:
        for folder in () if outside else folders:
            root = folder.resolve()
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                outside = True
            elif path.exists():
                return path
            else:
                missing.append(path)
    except ValueError as error:  # a NUL in the name
        raise OSError(str(error)) from None
    except PermissionError as error:
        raise OSError(error.strerror or "not readable") from None
    except RuntimeError:  # what Python 3.11 and 3.12 say to links in a circle
        raise OSError("its links lead in a circle") from None
    if outside:
        raise OutsideError("it lies outside of the task's folder")
    return missing[0]


def _read_file(path: Path) -> bytes:
    try:
        # not to wait for a pipe's other end, and not to follow what has become a link since it was looked at
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a device or a pipe could make us wait for ever
                raise OSError("it is no ordinary file")
            return file.read(MAX_SOURCE + 1)
    except FileNotFoundError:
        raise OSError("there is no such file") from None
    except IsADirectoryError:
        raise OSError("it is no ordinary file") from None
    except (PermissionError, NotADirectoryError) as error:
        raise OSError(error.strerror or "not readable") from None


def fetch_address(address: str) -> bytes:
    """What stands at an http(s) address, within two seconds in all."""
    import threading

    result: list[bytes] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.append(_get(address))
        except Exception as error:  # noqa: BLE001 - handed to the waiting caller
            failure.append(error)

    worker = threading.Thread(target=work, daemon=True, name="alias source")
    worker.start()
    worker.join(TIME_LIMIT)
    if failure:
        raise ConnectionError(str(failure[0]) or type(failure[0]).__name__)
    if not result:
        raise ConnectionError(f"no answer within {TIME_LIMIT:.0f} seconds")
    return result[0]


def _get(address: str) -> bytes:
    from urllib.request import Request

    request = Request(address, headers={"User-Agent": "acr-task"})  # noqa: S310 - only http(s) comes here
    with _opener().open(request, timeout=TIME_LIMIT) as answer:
        data: bytes = answer.read(MAX_SOURCE + 1)
        return data


def _opener() -> OpenerDirector:
    """What follows redirects only to where the address itself could have led."""
    from urllib.parse import urlsplit
    from urllib.request import HTTPRedirectHandler, build_opener

    class Redirects(HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            old, new = urlsplit(req.full_url), urlsplit(newurl)
            if new.scheme != old.scheme:
                raise ConnectionError(f"it redirects from {old.scheme} to {new.scheme}")
            if _is_inner(new.hostname or "") and not _is_inner(old.hostname or ""):
                raise ConnectionError("it redirects from a public address to one of this machine or its network")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return build_opener(Redirects)


def _is_inner(host: str) -> bool:
    """Whether a host is this machine or in its own network. One that has no address leads nowhere."""
    import ipaddress
    import socket

    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
    return any(not (getattr(address, "ipv4_mapped", None) or address).is_global for address in addresses)
