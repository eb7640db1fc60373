"""graph and simulate on task files, as a person or a script meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome

Cli = Callable[..., Outcome]


def task(name: str, dockerfile: str, *, build: str = "") -> None:
    Path(name).mkdir()
    Path(name, "Dockerfile").write_text(dockerfile)
    Path(f"{name}.yaml").write_text(
        f"version: v1.1.0\nsteps:\n  - id: image\n    build: {build} -t $Registry/{name}:1 {name}\n"
        f'  - push: ["$Registry/{name}:1"]\n  - cmd: busybox:1 true\n'
    )


@pytest.fixture(autouse=True)
def _tasks(cli: Cli) -> None:
    task("top", "FROM alpine:3\n")
    task("left", "ARG BASE\nFROM $BASE\n", build="--build-arg BASE=r.example.com/top:1")
    task("right", "FROM golang:1 AS b\nFROM r.example.com/top:1\nCOPY --from=b /x /x\n")
    task("bottom", "FROM r.example.com/left:1 AS l\nFROM r.example.com/right:1\nCOPY --from=l /x /x\n")


FILES = ("top.yaml", "left.yaml", "right.yaml", "bottom.yaml")
HERE = ("--registry", "r.example.com")


def test_the_graph_is_shown_for_people(cli: Cli) -> None:
    outcome = cli("graph", *HERE, "top.yaml", "left.yaml")
    assert outcome == Outcome(
        0,
        "top\n  on      alpine:3\n  makes   r.example.com/top:1\n\n"
        "left\n  on      r.example.com/top:1  (made by top)\n  makes   r.example.com/left:1\n",
        "",
    )


def test_the_graph_is_data_for_a_program(cli: Cli) -> None:
    found = json.loads(cli("graph", *HERE, "--all", "-o", "json", "right.yaml").out)
    assert found["tasks"] == [
        {
            "name": "right",
            "uses": ["r.example.com/top:1", "docker.io/library/golang:1", "docker.io/library/busybox:1"],
            "makes": ["r.example.com/right:1"],
            "unknown": [],
            "unwatched": [],
        }
    ]


def test_the_graph_is_drawn(cli: Cli) -> None:
    assert cli("graph", *HERE, "-o", "mermaid", "top.yaml").out == (
        'flowchart LR\n  i0(["alpine:3"])\n  i1(["r.example.com/top:1"])\n  t0["top"]\n  i0 --> t0\n  t0 ==> i1\n'
    )
    dot = cli("graph", *HERE, "-o", "dot", "top.yaml").out
    assert dot.startswith("digraph images {")
    assert "  t0 -> i1 [style=bold];\n}" in dot


def test_a_changed_image_rebuilds_all_that_stand_on_it_in_order(cli: Cli) -> None:
    outcome = cli("simulate", *HERE, "--image", "alpine:3", *FILES, "-o", "json")
    members = json.loads(outcome.out)["members"]
    assert [(one["task"], one["parents"]) for one in members] == [
        ("top", []),
        ("left", ["top"]),
        ("right", ["top"]),
        ("bottom", ["right"]),
    ]


def test_with_all_that_steps_stand_on_the_order_is_another(cli: Cli) -> None:
    outcome = cli("simulate", *HERE, "--all", "--image", "golang:1@sha256:" + "1" * 64, *FILES)
    assert outcome.out == (
        "LEVEL  TASK    WAITS FOR  STANDS ON\n"
        "0      right              docker.io/library/golang:1\n"
        "1      bottom  right\n"
    )


def test_an_image_that_nobody_stands_on_rebuilds_nothing(cli: Cli) -> None:
    assert cli("simulate", *HERE, "--image", "debian:12", *FILES) == Outcome(0, "", "no task would be rebuilt\n")


def test_tasks_that_stand_on_each_other_are_said(cli: Cli) -> None:
    Path("top/Dockerfile").write_text("FROM r.example.com/left:1\n")
    outcome = cli("simulate", *HERE, "--image", "r.example.com/left:1", "top.yaml", "left.yaml")
    assert "these tasks stand on each other, each is rebuilt once: top, left" in outcome.err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("https://github.com/o/r.git", "its context is not a folder here"),
        ("-f ../Dockerfile .", "its Dockerfile is outside of the context"),
        ("nowhere", "there is no Dockerfile"),
    ],
)
def test_a_build_that_cannot_be_read_stays_open(cli: Cli, line: str, reason: str) -> None:
    Path("x.yaml").write_text(f"steps:\n  - id: image\n    build: -t a:1 {line}\n")
    outcome = cli("graph", "x.yaml")
    assert outcome.code == 0
    assert "unknown what the build image stands on" in outcome.out
    assert "x.yaml: step image: " in outcome.err
    assert reason in outcome.err


def test_an_image_by_its_digest_is_not_watched_and_says_why(cli: Cli) -> None:
    Path("top/Dockerfile").write_text("FROM alpine:3@sha256:" + "1" * 64 + "\n")
    assert "it is named by its digest and cannot change" in cli("graph", "top.yaml").out


def test_files_of_one_name_are_told_apart_by_their_folders(cli: Cli) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "task.yaml").write_text("steps:\n  - cmd: busybox:1\n")
    assert [
        one["name"] for one in json.loads(cli("graph", "a/task.yaml", "b/task.yaml", "-o", "json").out)["tasks"]
    ] == [
        "a/task.yaml",
        "b/task.yaml",
    ]
    again = cli("graph", "a/task.yaml", "a/task.yaml")
    assert (again.code, "a/task.yaml is given twice" in again.err) == (2, True)


def test_what_is_no_image_is_refused(cli: Cli) -> None:
    assert cli("simulate", "--image", "A B", "top.yaml").code == 2
