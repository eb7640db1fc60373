"""How each version of the engine's API is asked to keep its build cache in bounds."""

from __future__ import annotations

from typing import Any

import pytest

from runners.docker.buildcache import prune_parameters, size_in


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("1.41", {"all": "true", "keep-storage": "20"}),
        ("1.47", {"all": "true", "keep-storage": "20"}),
        ("1.48", {"all": "true", "reserved-space": "2", "max-used-space": "20"}),
        ("1.52", {"all": "true", "reserved-space": "2", "max-used-space": "20"}),
    ],
)
def test_a_floor_and_a_ceiling_are_told_where_the_engine_knows_them(version: str, asked: dict[str, str]) -> None:
    assert prune_parameters(version, least=2, most=20) == asked


def test_the_floor_goes_before_the_ceiling() -> None:
    assert prune_parameters("1.41", least=5, most=1)["keep-storage"] == "5"


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ({"BuildCache": [{"Size": 5}, {"Size": 7, "Shared": True}, {"Size": 1, "Shared": False}]}, 6),
        ({"BuildCache": None}, 0),
        ({}, 0),
        ({"BuildCacheUsage": {"TotalSize": 9}}, 9),
    ],
)
def test_the_size_is_what_images_do_not_have_too(said: dict[str, Any], size: int) -> None:
    assert size_in(said) == size
