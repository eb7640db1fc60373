"""What the parts of this package hand to each other: limits, access, a wish to stop, what was fetched. Data only."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from taskengine.context.source import UrlLogin
from taskengine.errors import Interrupted, Unreachable
from taskengine.lightclass import dataclass

GIB = 1 << 30
MIB = 1 << 20


class Stop(Protocol):
    """A request to stop, as `taskengine.runner.Cancel` is one."""

    @property
    def is_set(self) -> bool: ...

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]: ...


class Never:
    """Nobody wants to stop."""

    is_set = False

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        return lambda: None


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a context may be. `download` bounds what travels, `unpacked` what it becomes, in bytes.

    `ratio` is how much larger than its archive a content may be; it counts from `ratio_from` bytes on, so that a small
    archive of zeros is nobody's bomb.
    """

    download: int = 2 * GIB
    unpacked: int = 8 * GIB
    entries: int = 500_000
    ratio: int = 250
    ratio_from: int = 64 * MIB
    redirects: int = 5
    seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Access:
    """How to get at what is private. `environ` is the environment that git and ssh are started with.

    `login` is asked for a host (`github.com`, `git.example.com:3000`) and answers for https only. `files` allows
    addresses of this machine's own disk (`file://`): right for what a user typed, wrong for what a stranger wrote.
    """

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: Callable[[str], UrlLogin | None] = field(default=lambda _host: None, repr=False)
    files: bool = True


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A context on this disk. `folder` is its root (the subfolder, where one was named).

    `commit`, `branch` (or `tag`) and `repository` are known of repositories, `digest` (`sha256:...`) of archives and
    artifacts: the hash of what was fetched. `committed` is when the commit was made.
    """

    folder: Path
    commit: str = ""
    branch: str = ""
    tag: str = ""
    repository: str = ""
    digest: str = ""
    committed: datetime | None = None

    def identity(self, text: str) -> str:
        """What the files are, the same from run to run: the context's text without a login, and its commit or digest.
        Empty where neither is known, for then the same words may stand for other files."""
        what = self.commit or self.digest
        return f"{without_login(text)}@{what}" if what else ""


Notice = Callable[[str], None]


class Deadline:
    """A point in time after which fetching ends, and the wish to stop: `check` raises for either."""

    def __init__(self, seconds: float, stop: Stop) -> None:
        self.seconds = seconds
        self.stop = stop
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        if self.stop.is_set:
            raise Interrupted("fetching the context was stopped")
        if self.left <= 0:
            raise self.passed()

    def passed(self) -> Unreachable:
        return Unreachable(
            f"the context was not there within {self.seconds:g} s", hint="check the address and the network"
        )


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text without secrets and without logins in addresses."""
    for secret in sorted((s for s in secrets if s), key=len, reverse=True):
        text = text.replace(secret, "***")
    return re.sub(r"(://)[^/\s#?]*@", r"\1", text)


def without_login(text: str) -> str:
    """An address without what may be a login: the part before the @, and all behind a question mark."""
    address, fragment, rest = text.partition("#")
    return re.sub(r"(://)[^/#?]*@", r"\1", address.partition("?")[0]) + fragment + rest


def size_of(count: int) -> str:
    """A size as people read it."""
    if count >= GIB:
        return f"{count / GIB:.3g} GiB"
    return f"{count / MIB:.3g} MiB" if count >= MIB else f"{count} bytes"
