"""Which earlier image of a stage is worth keeping beside the new one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from runners.docker.cacherecord import Content, content_here, content_there, most_knowing


def config(layers: list[str], recorded: list[int], words: tuple[str, ...] = ()) -> dict[str, Any]:
    records = [{"digest": f"d{n}", "layers": [{"layer": n}]} for n in recorded] + [{"digest": "none"}]
    return {
        "rootfs": {"diff_ids": layers},
        "history": [{"created_by": word} for word in words],
        "moby.buildkit.cache.v0": base64.b64encode(json.dumps(records).encode()).decode(),
    }


def test_an_image_is_the_same_here_and_there() -> None:
    inspected = {"RootFS": {"Layers": ["a", "b"]}}
    history = [{"CreatedBy": "RUN y"}, {"CreatedBy": "FROM x"}]
    assert content_here(inspected, history) == content_there(config(["a", "b"], [], ("FROM x", "RUN y")))


def test_the_image_that_knows_most_of_the_shared_layers_is_chosen() -> None:
    new = Content(layers=("base", "deps", "app-3"))
    known = [("lossy", config(["base", "deps", "app-2"], [2])), ("whole", config(["base", "deps", "app-1"], [1, 2]))]
    assert most_knowing(known, new) == "whole"


def test_an_image_that_shares_nothing_it_knows_of_is_let_go() -> None:
    new = Content(layers=("base", "other"))
    assert most_knowing([("old", config(["base", "deps"], [1]))], new) is None
    assert most_knowing([], new) is None


@pytest.mark.parametrize(
    "strange",
    [{}, {"rootfs": 1, "history": 2}, {"rootfs": {"diff_ids": "x"}, "moby.buildkit.cache.v0": "no base64"},
     {"rootfs": {"diff_ids": ["a"]}, "moby.buildkit.cache.v0": base64.b64encode(b'[1, {"layers": [1, {}]}]').decode()},
     {"rootfs": {"diff_ids": ["a"]}, "moby.buildkit.cache.v0": base64.b64encode(b"{}").decode()}],
)  # fmt: skip
def test_a_strange_configuration_knows_nothing(strange: dict[str, Any]) -> None:
    assert most_knowing([("x", strange)], Content(layers=("a",))) is None
