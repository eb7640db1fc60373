"""Reads what the `src` of an alias section names: a file near the task, or an http(s) address.

Small and soon, or not at all."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

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


def _first(name: str, folders: Sequence[Path]) -> Path:
    with contextlib.suppress(ValueError):  # a NUL in the name: said by who opens it
        for folder in folders:
            if (folder / name).exists():
                return folder / name
    return folders[0] / name


def _read_file(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device or a pipe could make us wait for ever
            raise OSError("it is no ordinary file")
        with path.open("rb") as file:
            return file.read(MAX_SOURCE + 1)
    except FileNotFoundError:
        raise OSError("there is no such file") from None
    except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise OSError(error.strerror or "not readable") from None
    except ValueError as error:  # a NUL in the name
        raise OSError(str(error)) from None


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
    from urllib.request import Request, urlopen

    request = Request(address, headers={"User-Agent": "acr-task"})  # noqa: S310 - only http(s) comes here
    with urlopen(request, timeout=TIME_LIMIT) as answer:  # noqa: S310
        data: bytes = answer.read(MAX_SOURCE + 1)
        return data
