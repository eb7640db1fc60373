"""Reading a Dockerfile from disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskengine.dockerfile.scan import check
from taskengine.dockerfile.source import read_dockerfile
from taskengine.errors import InvalidInput


def test_a_missing_file_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "Prod.dockerfile").write_text("FROM a")
    with pytest.raises(InvalidInput, match="there is no Dockerfile") as caught:
        read_dockerfile(tmp_path / "Dockerfile")
    assert "Prod.dockerfile" in (caught.value.hint or "")


def test_a_folder_is_no_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a folder"):
        read_dockerfile(tmp_path)


def test_bytes_that_are_no_text_do_not_stop_the_judgement(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"FROM a\nRUN echo \xff\n")
    assert check(read_dockerfile(tmp_path / "Dockerfile")) == ()
