"""What the engine's words about registries are taken to mean."""

from __future__ import annotations

import pytest

from runners.docker.failure import registry_failure
from taskengine.runs.model import Reason


@pytest.mark.parametrize(
    "words",
    [
        'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
        "Get https://nowhere.invalid/v2/: dial tcp: lookup nowhere.invalid on 10.0.0.2:53: no such host",
        "Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: server misbehaving",
        "Get https://10.9.9.9/v2/: net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
        "Get https://10.9.9.9/v2/: dial tcp 10.9.9.9:443: i/o timeout",
    ],
)
def test_no_connection_to_a_registry_is_told_apart(words: str) -> None:
    result = registry_failure(Reason.PULL, "pull", "some/image", words).result
    assert (result.unreachable, result.reason) == (True, Reason.PULL)


@pytest.mark.parametrize(
    "words",
    [
        "denied: requested access to the resource is denied",
        "manifest for some/image:1 not found: manifest unknown",
        "received unexpected HTTP status: 500 Internal Server Error",
        "toomanyrequests: You have reached your pull rate limit",
    ],
)
def test_a_registry_that_answers_and_refuses_was_reached(words: str) -> None:
    assert not registry_failure(Reason.PULL, "pull", "some/image", words).result.unreachable
