"""What is asked of a forge and what it answers, in one form for all of them. Plain data, and the contract.

What takes several requests is a generator: it yields each `Call`, is sent the `Answer`, and returns its result. So a
forge's manners are plain functions of answers, whoever sends the requests.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol
from urllib.parse import quote

from taskengine.errors import InvalidInput, Unreachable
from triggers.forges.place import Place


class Told(Enum):
    """What a forge may be told of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class HookWanted:
    """The webhook that is to be there: where it delivers to, what proves it, and of what it tells."""

    url: str
    secret: str = field(repr=False)
    pushes: bool = True
    pull_requests: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusWanted:
    """What is to be seen beside a commit. `name` tells the task's from others', `link` leads to the run; empty for
    none."""

    commit: str
    told: Told
    name: str
    description: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request: `path` stands behind the API's base, `data` goes as JSON."""

    method: str
    path: str
    data: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`data` is the JSON, None for none. `words` is what the forge says for people when it refuses."""

    status: int
    data: Any = None
    words: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Refused(InvalidInput):
    """A forge says no. `status` is its answer's."""

    def __init__(self, answer: Answer, what: str, *, hint: str = "") -> None:
        said = f": {answer.words}" if answer.words else ""
        super().__init__(f"the forge answered {answer.status} to {what}{said}", hint=hint or None)
        self.status = answer.status


class Gone(Unreachable):
    """The forge could not be asked, or is not well: later it may be."""

    def __init__(self, message: str, *, status: int = 0, seconds: int = 0) -> None:
        super().__init__(message, hint="it is tried again")
        self.status = status
        self.seconds = seconds


#: yields calls, is sent answers, returns what was asked for
Talk = Generator[Call, Answer, str]


class ForgeApi(Protocol):
    """One forge's manners."""

    def headers(self, token: str, kind: str) -> Mapping[str, str]:
        """What proves who asks. `kind` is `PAT` or `OAuth`; a token `USER:PASSWORD` is one for basic authentication."""

    def make_hook(self, place: Place, wanted: HookWanted, known: str) -> Talk:
        """Sees to it that the webhook is there as wanted, once: one with its address is changed. `known` is its number
        from before, empty for none; returns its number. Raises Refused."""

    def remove_hook(self, place: Place, number: str) -> Talk:
        """Sees to it that it is not there. Raises Refused."""

    def set_status(self, place: Place, wanted: StatusWanted) -> Talk:
        """Shows a status. Raises Refused, and InvalidInput for what this forge cannot show."""


def authorization(token: str, scheme: str = "Bearer") -> dict[str, str]:
    """A token by its scheme; `USER:PASSWORD` by basic authentication."""
    if ":" in token:
        return {"Authorization": f"Basic {base64.b64encode(token.encode()).decode()}"}
    return {"Authorization": f"{scheme} {token}"}


def expect(answer: Answer, what: str, *also: int, hint: str = "") -> Answer:
    """The answer itself when it is a good one, or one of `also`. Raises Refused."""
    if answer.ok or answer.status in also:
        return answer
    raise Refused(answer, what, hint=hint)


def listed(data: Any, *path: str) -> list[Mapping[str, Any]]:
    """The objects of a list in an answer; none for what is no list."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def number_of(data: Any, key: str = "id") -> str:
    """The number of what was made."""
    found = data.get(key) if isinstance(data, dict) else None
    return str(found)[:200] if isinstance(found, str | int) else ""


def within(*parts: str) -> str:
    """Parts of a path, whatever is in them."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)
