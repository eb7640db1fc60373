"""The labels that a Dockerfile sets."""

from __future__ import annotations

import pytest

from taskengine.dockerfile.label import label_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("FROM a\nLABEL a=b\n", {"a"}),
        ('FROM a\nLABEL "a.b"="c d" e=f \\\n  g="h=i"\n', {"a.b", "e", "g"}),
        ("FROM a\nLABEL old way to write it\n", {"old"}),
        ("FROM a\nLABEL 'x.y'=1\nFROM b\nLABEL z=\n", {"x.y", "z"}),
        ("FROM a\nRUN echo LABEL a=b\n# LABEL c=d\n", set()),
        ("", set()),
    ],
)
def test_every_key_is_found(text: str, keys: set[str]) -> None:
    assert label_keys(text) == keys
