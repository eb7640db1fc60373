from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskengine.context.fetch import fetch
from taskengine.context.model import Access, Fetched, Limits
from taskengine.context.source import UrlLogin, parse_context
from tests.context.servers import Repository, Server

LIMITS = Limits(seconds=60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on loopback; the folder `served` holds its repositories."""
    found = Server(tmp_path / "served")
    yield found
    found.close()


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[Server]:
    """A second one, which is another host to those who keep logins apart."""
    found = Server(tmp_path / "served-elsewhere")
    yield found
    found.close()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one commit on `main`: `Dockerfile` and `web/index.html`."""
    made = Repository(tmp_path / "served" / "app")
    made.commit({"Dockerfile": "FROM scratch\n", "web/index.html": "<p>\n"})
    return made


@pytest.fixture
def get(tmp_path: Path) -> Callable[..., Fetched]:
    """Fetch a context by its text, into `tmp_path/got`, with a user's configuration that is empty."""

    def run(
        text: str,
        *,
        limits: Limits = LIMITS,
        environ: dict[str, str] | None = None,
        logins: dict[str, UrlLogin] | None = None,
        files: bool = True,
        into: str = "got",
        **more: object,
    ) -> Fetched:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **(environ or {})}
        access = Access(environ=env, login=(logins or {}).get, files=files)
        return fetch(parse_context(text), into=tmp_path / into, access=access, limits=limits, **more)  # type: ignore[arg-type]

    return run
