"""Cleaning up after a run, when the engine does not do as it is told."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from runners.docker.sweep import sweep_run


class Stubborn:
    """An engine that knows of one container, one network and one volume, and removes none of them."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": "c" * 64, "Labels": {}, "Mounts": []}]

    def networks(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": "n", "Name": "net"}]

    def volumes(self, **_: Any) -> dict[str, Any]:
        return {"Volumes": [{"Name": "vol"}]}

    def _fail(self, *_: Any, **__: Any) -> None:
        raise self._error

    remove_container = remove_network = remove_volume = _fail


@pytest.mark.parametrize(
    "error", [requests.ReadTimeout("slow"), ConnectionError("gone"), requests.ConnectionError("x")]
)
def test_what_could_not_be_removed_is_named(error: Exception) -> None:
    left = sweep_run(Stubborn(error), "r1")  # type: ignore[arg-type]
    assert sorted(line.partition(":")[0] for line in left) == ["container cccccccccccc", "network net", "volume vol"]
