"""What was typed becomes data, or a helpful error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskengine.cli import option
from taskengine.errors import InvalidInput


def test_a_value_is_all_behind_the_first_equals_sign() -> None:
    assert option.pair("--set", "a=b=c,d") == ("a", "b=c,d")


@pytest.mark.parametrize("text", ["novalue", "=value", " =x"])
def test_a_pair_without_a_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        option.pair("--set-secret", text)
    assert text.strip() not in caught.value.message


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), ("1m30", 90)]
)
def test_a_duration_is_whole_seconds(text: str, seconds: int) -> None:
    assert option.duration("--timeout", text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "m", "1x", "1.5h", "٣"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        option.duration("--timeout", text)


def test_a_date_without_an_offset_is_utc() -> None:
    assert option.date("--date", "2024-03-05T06:07:08") == datetime(2024, 3, 5, 6, 7, 8, tzinfo=UTC)


def test_a_date_keeps_its_offset() -> None:
    assert option.date("--date", "2024-03-05T06:07:08+02:00").utcoffset() == timedelta(hours=2)


def test_a_date_that_is_none_says_how_to_write_one() -> None:
    with pytest.raises(InvalidInput) as caught:
        option.date("--date", "yesterday")
    assert caught.value.hint is not None
    assert "2024-03-05T06:07:08Z" in caught.value.hint


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7", "windows/amd64"])
def test_platforms_are_os_arch_and_variant(text: str) -> None:
    assert option.platform(text) == text


@pytest.mark.parametrize("text", ["linux", "a/b/c/d", "linux//v8", "linux/am d", ""])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        option.platform(text)


def test_an_agent_is_the_users_own_or_the_one_that_is_named(tmp_path: Path) -> None:
    own, key = tmp_path / "agent", tmp_path / "key"
    for path in (own, key):
        path.touch()
    environ = {"SSH_AUTH_SOCK": str(own)}
    assert option.ssh_agents(["default", f"other={key}"], environ) == {"default": str(own), "other": str(key)}


@pytest.mark.parametrize(
    ("text", "message"),
    [("default", "no SSH agent is running"), ("a=/nonexistent", "does not exist"), ("a b", "no id"), ("=x", "no id")],
)
def test_an_agent_that_is_not_there_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        option.ssh_agents([text], {})
