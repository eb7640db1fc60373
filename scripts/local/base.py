"""The base images of the demo: pulled where Docker Hub answers, else made of Debian's busybox. None is replaced."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from tests.support.images import BUSYBOX_CHANGES, busybox_tar

if TYPE_CHECKING:
    from docker import APIClient

BASES = ("busybox:1",)
_HUB = "registry-1.docker.io"
_HUB_SECONDS = 2.0


def ensure_bases(api: APIClient) -> list[str]:
    """The names of those that we had to bring."""
    missing = [name for name in BASES if not api.images(name=name)]
    for name in missing:
        if not (_hub_answers() and _pulled(api, name)):
            _make(api, name)
    return missing


def _hub_answers() -> bool:
    try:
        with socket.create_connection((_HUB, 443), timeout=_HUB_SECONDS):
            return True
    except OSError:
        return False


def _pulled(api: APIClient, name: str) -> bool:
    from docker.errors import APIError

    repository, _, tag = name.partition(":")
    try:
        api.pull(repository, tag=tag)
    except APIError as error:
        print(f"base image {name}: no pull ({error.explanation}); making it here", file=sys.stderr)
        return False
    print(f"base image {name}: pulled", file=sys.stderr)
    return True


def _make(api: APIClient, name: str) -> None:
    repository, _, tag = name.partition(":")
    api.import_image_from_data(busybox_tar(), repository=repository, tag=tag, changes=list(BUSYBOX_CHANGES))
    print(f"base image {name}: made of this machine's static busybox", file=sys.stderr)
