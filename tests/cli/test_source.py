"""Which file and which context a command line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskengine.cli.source import folder_of, locate, read_file, read_task
from taskengine.errors import InvalidInput


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ctx").mkdir()


def test_a_files_own_folder_is_its_context() -> None:
    assert locate("ctx/task.yaml", None) == ("ctx/task.yaml", "ctx")


def test_a_folder_alone_means_its_acb_yaml() -> None:
    assert locate("ctx", None) == ("ctx/acb.yaml", "ctx")


def test_a_file_is_looked_up_in_the_context_first() -> None:
    Path("task.yaml").touch()
    Path("ctx/task.yaml").touch()
    assert locate("task.yaml", "ctx") == ("ctx/task.yaml", "ctx")


def test_a_file_that_is_not_in_the_context_is_looked_up_here() -> None:
    Path("task.yaml").touch()
    assert locate("task.yaml", "ctx") == ("task.yaml", "ctx")


def test_a_file_named_before_its_context_is_looked_up_here_first() -> None:
    Path("task.yaml").touch()
    Path("ctx/task.yaml").touch()
    assert locate("task.yaml", "ctx", context_first=False) == ("task.yaml", "ctx")
    Path("task.yaml").unlink()
    assert locate("task.yaml", "ctx", context_first=False) == ("ctx/task.yaml", "ctx")


def test_dev_null_is_no_context() -> None:
    Path("task.yaml").touch()
    assert locate("task.yaml", "/dev/null") == ("task.yaml", None)


def test_standard_input_has_no_folder() -> None:
    assert locate("-", None) == ("-", None)


def test_a_context_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        folder_of("nowhere")


def test_a_file_as_context_says_how_to_name_the_task() -> None:
    Path("app.txt").touch()
    with pytest.raises(InvalidInput, match="not a folder"):
        folder_of("app.txt")


def test_a_missing_file_suggests_its_neighbour() -> None:
    Path("task.yaml").touch()
    with pytest.raises(InvalidInput) as caught:
        read_task("tesk.yaml")
    assert caught.value.hint == "did you mean task.yaml?"


def test_a_missing_acb_yaml_names_the_files_that_there_are() -> None:
    Path("ctx/task.yaml").touch()
    with pytest.raises(InvalidInput) as caught:
        read_task("ctx/acb.yaml")
    assert caught.value.hint == "a folder's own task is acb.yaml; name another one: ctx/task.yaml"


def test_a_folder_with_nothing_but_a_dockerfile_is_to_be_built() -> None:
    Path("ctx/Dockerfile").touch()
    with pytest.raises(InvalidInput) as caught:
        read_task("ctx/acb.yaml")
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("acr-task build ctx")


@pytest.mark.parametrize("text", ["FROM a\n", "# syntax=x\n\nARG A=1\nfrom $A\n", "#x\r\nFROM a"])
def test_a_dockerfile_is_no_task_file(text: str) -> None:
    Path("D").write_text(text, newline="")
    with pytest.raises(InvalidInput, match="D is a Dockerfile"):
        read_task("D")
    assert read_file("D") == (text.encode(), "D")


@pytest.mark.parametrize(
    "text", ["", "#FROM a\nsteps: []\n", "FROM: a\n", "from\n", "\n" * 100_000 + " ", "ARG " * 50_000]
)
def test_everything_else_may_be_one(text: str) -> None:
    Path("t.yaml").write_text(text)
    assert read_task("t.yaml") == (text.encode(), "t.yaml")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="empty"):
        locate("", None)


def test_an_address_that_is_no_context_is_refused_without_its_login() -> None:
    with pytest.raises(InvalidInput) as caught:
        folder_of("https://user:token@example.com/app.zip")
    assert "token" not in caught.value.message


def test_a_folder_goes_before_an_address_of_the_same_name() -> None:
    Path("github.com/team/app").mkdir(parents=True)
    assert folder_of("github.com/team/app") == "github.com/team/app"


def test_file_and_context_cannot_both_be_standard_input() -> None:
    with pytest.raises(InvalidInput, match="both"):
        locate("-", "-")
