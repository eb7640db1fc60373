"""A command line as the text of a task file."""

from __future__ import annotations

import shlex

import pytest
import yaml

from taskengine.errors import InvalidInput
from taskengine.taskspec.quick import QuickBuild, build_task, cmd_task, with_registry


def test_cmd_becomes_one_step_whose_image_decides_the_working_directory() -> None:
    task = yaml.safe_load(cmd_task("$Registry/app:1 run --now", timeout=90))
    assert task == {
        "version": "v1.1.0",
        "steps": [
            {"id": "cmd", "cmd": "$Registry/app:1 run --now", "disableWorkingDirectoryOverride": True, "timeout": 90}
        ],
    }


@pytest.mark.parametrize("line", ["a: b # c", "'q' \"d\" \\", "- x", "{{ .Run.ID }}", "| x", "a\nb"])
def test_cmd_keeps_every_character(line: str) -> None:
    assert yaml.safe_load(cmd_task(line))["steps"][0]["cmd"] == line


@pytest.mark.parametrize("line", ["", "  \n "])
def test_an_empty_cmd_is_refused(line: str) -> None:
    with pytest.raises(InvalidInput):
        cmd_task(line)


def test_a_build_with_names_is_built_and_pushed() -> None:
    task = yaml.safe_load(build_task(QuickBuild(tags=("r.example.com/a:1", "r.example.com/a:{{.Run.ID}}"))))
    build, push = task["steps"]
    assert shlex.split(build["build"]) == ["-t", "r.example.com/a:1", "-t", "r.example.com/a:{{.Run.ID}}", "."]
    assert push["push"] == ["r.example.com/a:1", "r.example.com/a:{{.Run.ID}}"]
    assert push["when"] == ["build"]


def test_a_build_without_names_is_not_pushed() -> None:
    assert len(yaml.safe_load(build_task(QuickBuild()))["steps"]) == 1


def test_build_arguments_keep_every_character() -> None:
    arg = 'A=it\'s "x" $HOME `id` \\ #'
    line = yaml.safe_load(build_task(QuickBuild(build_args=(arg,))))["steps"][0]["build"]
    assert shlex.split(line) == ["--build-arg", arg, "."]


def test_a_build_argument_is_no_template() -> None:
    line = yaml.safe_load(build_task(QuickBuild(build_args=("A={{x}}",))))["steps"][0]["build"]
    assert line == """--build-arg 'A={{"{{"}}x}}' ."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app:1", "r.example.com/app:1"),
        ("team/app", "r.example.com/team/app"),
        ("other.example.com/app", "other.example.com/app"),
        ("localhost/app", "localhost/app"),
        ("host:5000/app", "host:5000/app"),
        ("{{.Run.Registry}}/app", "{{.Run.Registry}}/app"),
        ("app:{{.Run.ID}}", "r.example.com/app:{{.Run.ID}}"),
    ],
)
def test_names_without_a_registry_get_the_one_given(name: str, expected: str) -> None:
    assert with_registry(name, "r.example.com") == expected
    assert with_registry(name, "") == name
