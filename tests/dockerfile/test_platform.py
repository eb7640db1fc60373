"""Platforms and their aliases."""

from __future__ import annotations

import pytest

from taskengine.dockerfile.platform import Platform
from taskengine.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("arm64", "linux/arm64"),
        ("windows", "windows/amd64"),
        ("windows(10.0.17763)/amd64", "windows/amd64"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/made-up", "linux/made-up"),
    ],
)
def test_a_platform_has_one_spelling(text: str, platform: str) -> None:
    assert str(Platform.parse(text)) == platform


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "nonsense", "linux/*", "linux/amd64\n"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Platform.parse(text)
