"""Where a run's files come from, in labels and results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from taskengine.cli.option import TaskOptions
from taskengine.cli.origin import git_of, image_labels
from taskengine.context.model import Fetched

OCI = "org.opencontainers.image."


def test_what_is_not_known_is_not_said() -> None:
    assert (git_of(TaskOptions()), image_labels(TaskOptions(), None)) == ({}, {})


def test_a_commit_its_source_and_its_time_are_labels() -> None:
    made = datetime(2024, 3, 5, 8, 7, tzinfo=timezone(timedelta(hours=2)))
    options = TaskOptions(commit="c0ffee", branch="main", repository="https://git.example.com/app.git")
    assert image_labels(options, Fetched(folder=Path(), committed=made)) == {
        f"{OCI}revision": "c0ffee",
        f"{OCI}source": "https://git.example.com/app.git",
        f"{OCI}created": made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    assert git_of(options) == {"commit": "c0ffee", "branch": "main", "repository": "https://git.example.com/app.git"}


@pytest.mark.parametrize("address", ["file:///home/me/app.git", "/home/me/app"])
def test_a_path_of_this_machine_is_in_no_label(address: str) -> None:
    assert image_labels(TaskOptions(repository=address), None) == {}


def test_a_login_in_an_address_is_nowhere() -> None:
    options = TaskOptions(repository="https://me:s3cret@git.example.com/app.git")
    assert "s3cret" not in str((git_of(options), image_labels(options, None)))
