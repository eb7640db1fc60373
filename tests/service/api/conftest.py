"""A service over a real SQLite database, spoken to over ASGI, with a token for each role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskengine.service.settings import ServerSettings
from tests.service.api.support import Api


@pytest.fixture
def settings() -> ServerSettings:
    return ServerSettings(registry="registry.example.com", failed_logins=1000)


@pytest.fixture
def api(tmp_path: Path, settings: ServerSettings) -> Iterator[Api]:
    made = Api(tmp_path, settings)
    try:
        yield made
    finally:
        made.close()
