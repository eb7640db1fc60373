"""The fake stores, running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.secrets.fake import FakeAzure, FakeVault, serving


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    store = FakeVault()
    with serving(store):
        yield store


@pytest.fixture
def azure() -> Iterator[FakeAzure]:
    store = FakeAzure()
    with serving(store):
        yield store
