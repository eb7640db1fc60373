"""What a registry's notification says, whoever sent it. Data; knows no product, no network, no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from taskengine.errors import InvalidInput
from taskengine.registry.reference import ImageReference


class Product(Enum):
    """Who sends; the value is what stands in the address of the hook."""

    DISTRIBUTION = "distribution"
    HARBOR = "harbor"
    ZOT = "zot"
    DOCKER_HUB = "dockerhub"
    ACR = "acr"
    GHCR = "ghcr"
    QUAY = "quay"


class Untrusted(InvalidInput):
    """A notification does not prove that it comes from who it should come from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One request to the hook. `headers` by their names in lower case; `token` is the `token=` of the address."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePushed:
    """A tag was pushed. `registry` is the host as programs use it (`docker.io` for Docker Hub).

    Empty or None is what the product does not tell: without a `digest` the registry has to be asked. The tag may stand
    for the same digest as before.
    """

    registry: str
    repository: str
    tag: str
    digest: str = ""
    media_type: str = ""
    event_id: str = ""
    at: datetime | None = None

    @property
    def image(self) -> ImageReference:
        """The tag that was pushed, without the digest."""
        return ImageReference(domain=self.registry, path=self.repository, tag=self.tag)


class NoPush(str):
    """Why an entry is none that anybody could wait for: it tells of a pull, of a deletion, of a scan."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a notification told: pushes, and for each of its other entries why it is none. `idle`: nobody could have
    waited for any of it."""

    pushed: tuple[ImagePushed, ...] = ()
    ignored: tuple[str, ...] = ()
    idle: bool = False
