"""What a forge told, in one form for all of them. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

#: names in lower case
Headers = Mapping[str, str]


class Kind(Enum):
    """What happened in the repository."""

    PUSH = "push"
    TAG = "tag"
    PULL_REQUEST = "pullRequest"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceEvent:
    """One branch, tag or pull request that has a new commit.

    `provider` is in ACR's words where ACR has one (`Github`, `VisualStudioTeamService`). `delivery` is the forge's own
    number of its message, empty where it has none. `repositories` are all spellings of the repository's address that
    the forge named. `ref` is what to fetch (`refs/heads/main`, `refs/pull/7/head`); `branch` is the branch of a push,
    and of a pull request the one that it wants to go into. `paths` are the changed files, None when the forge did not
    tell all of them. `head` and `base` are the branches of a pull request; `is_fork` says that its commits come from
    a repository that others than the owners may write to.
    """

    kind: Kind
    provider: str
    delivery: str = ""
    repositories: tuple[str, ...] = ()
    ref: str
    branch: str = ""
    tag: str = ""
    commit: str
    before: str = ""
    author: str = ""
    sender: str = ""
    message: str = ""
    paths: tuple[str, ...] | None = None
    number: str = ""
    action: str = ""
    head: str = ""
    base: str = ""
    is_fork: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """A delivery that is well, and about which there is nothing to do; `reason` says why."""

    reason: str


#: a push may change several refs at once
Parsed = tuple[SourceEvent, ...] | Ignored


class Forge(Protocol):
    """A forge's manners."""

    def verify(self, headers: Headers, body: bytes, secret: str) -> bool:
        """Whether who sent this knows the secret. Takes the same time whatever is wrong. No secret: never."""

    def parse(self, headers: Headers, body: bytes) -> Parsed:
        """Raises InvalidInput for what is no delivery of this forge."""

    def delivery(self, headers: Headers) -> str:
        """The forge's number of this delivery; empty when it gives none."""

    def signs_body(self, headers: Headers) -> bool:
        """Whether what proves the sender covers the body and not the number of the delivery, which anybody on the way
        may then have changed."""

    def signed_at(self, headers: Headers) -> int | None:
        """When the delivery was signed, in seconds since 1970, as its signature covers it; None where it covers no
        moment."""
