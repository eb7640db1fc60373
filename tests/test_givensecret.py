"""Where the secrets of a start come from: the variable, then the file, then systemd's credential."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskengine.errors import InvalidInput
from taskengine.givensecret import given_secret

NAME = "ACR_TASK_SECRET_KEY"


def test_the_variable_goes_before_the_file_and_the_file_before_the_credential(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the file\n")
    (tmp_path / "acr-task.secret-key").write_text("of the credential\n")
    environ = {
        NAME: " of the variable ",
        f"{NAME}_FILE": str(tmp_path / "file"),
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }
    assert given_secret(environ, NAME) == "of the variable"
    del environ[NAME]
    assert given_secret(environ, NAME) == "of the file"
    del environ[f"{NAME}_FILE"]
    assert given_secret(environ, NAME) == "of the credential"
    assert given_secret({}, NAME) == ""


def test_a_credential_need_not_be_there(tmp_path: Path) -> None:
    assert given_secret({"CREDENTIALS_DIRECTORY": str(tmp_path)}, NAME) == ""
    assert given_secret({"CREDENTIALS_DIRECTORY": str(tmp_path / "nowhere")}, NAME) == ""


def test_a_file_that_is_named_has_to_be_there_and_to_be_text(tmp_path: Path) -> None:
    for content in (None, b"\xff\xfe", b"x" * 100_000):
        path = tmp_path / "file"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InvalidInput, match=f"which {NAME}_FILE names, cannot be read") as raised:
            given_secret({f"{NAME}_FILE": str(path)}, NAME)
        assert raised.value.hint


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a directory"):
        given_secret({f"{NAME}_FILE": str(tmp_path)}, NAME)
