"""What images a Dockerfile needs, by the rules of a builder; the neighbourhood of the public conformance cases."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.dockerfile.scan import Scan, check, scan, scan_json
from taskengine.errors import InvalidInput, InvalidTask, Severity


def summary(found: Scan) -> tuple[str | None, list[str], list[str]]:
    runtime = found.runtime.familiar if found.runtime else None
    return runtime, [image.familiar for image in found.buildtime], [image.familiar for image in found.unused]


def scanned(text: str, **wanted: Any) -> tuple[str | None, list[str], list[str]]:
    return summary(scan(text, **wanted))


def refused(text: str, **wanted: Any) -> list[tuple[str, int, int]]:
    with pytest.raises(InvalidTask) as caught:
        scan(text, **wanted)
    places = [(p.code, p.location) for p in caught.value.problems]
    return [(code, place.line, place.column) if place else (code, 0, 0) for code, place in places]


# Variables in FROM


@pytest.mark.parametrize(
    ("text", "arguments", "runtime"),
    [
        ("ARG V=1\nFROM b:$V", {}, "b:1"),
        ("ARG V=1\nFROM b:$V", {"V": "2"}, "b:2"),
        ("ARG V=1\nFROM b:${V}", {"V": ""}, None),
        ("ARG V\nFROM b:${V:-3}", {"V": ""}, "b:3"),
        ("ARG V\nFROM b:$V", {"V": "2"}, "b:2"),
        ("ARG V=1 W=$V.0\nFROM b:$W", {}, "b:1.0"),
        ("ARG V=1\nARG W=${V}.0\nFROM b:$W", {"V": "2"}, "b:2.0"),
        ("ARG W=$V\nARG V=1\nFROM b:1$W", {}, "b:1"),
        ("ARG V=1\nARG V=2\nFROM b:$V", {}, "b:2"),
        ("ARG V=1\nARG V\nFROM b:$V", {}, "b:1"),
        ("FROM b:1$V", {"V": "2"}, "b:1"),
        ("FROM a AS x\nARG V=2\nFROM b:1$V", {}, "b:1"),
        ("ARG IMG='b:1'\nFROM \"$IMG\"", {}, "b:1"),
        ('ARG V="a/b"\nFROM b:${V##*/}', {}, "b:b"),
        ("ARG R=reg.example.com/\nFROM ${R}b", {}, "reg.example.com/b:latest"),
        ("ARG R=reg.example.com/\nFROM ${R}b", {"R": ""}, "b:latest"),
        ("ARG B=scratch\nFROM $B", {}, None),
        ("FROM b:$TARGETARCH", {}, "b:amd64"),
        ("FROM b:$TARGETARCH$TARGETVARIANT", {"TARGETARCH": "mine"}, "b:mine"),
        ("ARG TARGETOS\nFROM b:$TARGETOS-$BUILDARCH", {}, "b:linux-amd64"),
        ("ARG v=1\nARG V=2\nFROM b:$v", {}, "b:1"),
        ("# escape=`\nARG V=1\nFROM `\n b:$V", {}, "b:1"),
    ],
)
def test_only_args_above_the_first_from_and_platforms_count(
    text: str, arguments: dict[str, str], runtime: str | None
) -> None:
    if text.endswith("${V}"):
        assert refused(text, build_args=arguments) == [("E708", 2, 6)]
    else:
        assert scanned(text, build_args=arguments)[0] == runtime


def test_platform_variables_follow_the_platform() -> None:
    text = "FROM b:$TARGETARCH-$TARGETVARIANT-$BUILDARCH"
    assert scanned(text, platform="linux/arm/7")[0] == "b:arm-v7-amd64"
    assert scanned("FROM b:1$TARGETVARIANT", platform="aarch64")[0] == "b:1"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ARG V\nFROM b:$V", "give it one with --build-arg V=..."),
        ("FROM a AS x\nARG V=1\nFROM b:$V", "declare ARG V above the first one"),
        ("FROM a AS x\nENV V=1\nFROM b:$V", "ENV V does not count in a FROM"),
        ("ARG VERSION=1\nFROM b:$VERSON", "did you mean VERSION?"),
        ("FROM b:$V", "put ARG V above the first FROM"),
        ("FROM a AS Build\nFROM Build", "did you mean the stage build?"),
    ],
)
def test_a_base_without_its_value_says_where_to_put_it(text: str, hint: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        scan(text)
    (problem,) = caught.value.problems
    assert problem.code == "E708"
    assert hint in (problem.hint or "")
    assert problem.source_line in text.splitlines()


def test_doubling_variables_are_refused_before_they_fill_the_memory() -> None:
    text = "ARG A=xxxxxxxxxxxxxxxx\n" + "ARG A=$A$A\n" * 60 + "FROM b:$A"
    assert refused(text)[0][0] == "E707"


# Stages


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM a AS x\nFROM b\nCOPY --from=X / /", ("b:latest", ["a:latest"], [])),
        ("FROM a\nFROM b\nCOPY --from=0 / /", ("b:latest", ["a:latest"], [])),
        ("FROM a\nFROM b\nCOPY --from=img:1 / /", ("b:latest", ["img:1"], ["a:latest"])),
        ("FROM b\nCOPY --from=scratch / /", ("b:latest", [], [])),
        ("FROM b\nADD --chown=1 x /", ("b:latest", [], [])),
        ("FROM b\nCOPY --from= x /", ("b:latest", [], [])),
        ("FROM b\nCOPY --from=b:latest / /", ("b:latest", [], [])),
        ("FROM b\nCOPY --from=docker.io/library/c / /\nCOPY --from=c / /", ("b:latest", ["c:latest"], [])),
        ("FROM a AS x\nFROM x AS y\nFROM c\nCOPY --from=y / /", ("c:latest", ["a:latest"], [])),
        ("FROM a AS x\nCOPY --from=i / /\nFROM b AS y\nFROM y", ("b:latest", [], ["a:latest", "i:latest"])),
        ("FROM a AS x\nFROM b AS x\nFROM x", ("b:latest", [], ["a:latest"])),
        ("FROM x AS x\nFROM x", ("x:latest", [], [])),
        ("FROM a AS scratch\nFROM scratch", ("a:latest", [], [])),
        ("FROM scratch AS x\nFROM x", (None, [], [])),
        ("FROM scratch:1", ("scratch:1", [], [])),
        ("FROM a AS x\nONBUILD COPY --from=i / /\nFROM x", ("a:latest", ["i:latest"], [])),
        ("FROM a AS x\nONBUILD COPY --from=i / /", ("a:latest", [], [])),
        ("FROM b\nRUN --mount=from=i,target=/x y", ("b:latest", ["i:latest"], [])),
        (
            "FROM b\nRUN --mount=type=cache,FROM=i,target=/x --mount=from=j y",
            ("b:latest", ["i:latest", "j:latest"], []),
        ),
        ("FROM b\nRUN --mount='type=bind,\"from=i\",target=/x' y", ("b:latest", ["i:latest"], [])),
        ("FROM b\nRUN --mount=type=tmpfs,from=i,target=/x y", ("b:latest", [], [])),
        ("FROM b\nRUN --mount=type=cache,target=/x --mount=type=secret,id=s y", ("b:latest", [], [])),
        ("FROM a AS x\nFROM b\nRUN --mount=from=X,target=/x y", ("b:latest", ["a:latest"], [])),
        ("FROM b\nRUN <<EOF\nFROM c\nCOPY --from=d / /\nEOF", ("b:latest", [], [])),
        ("FROM b\nRUN echo \\\n# FROM c\nFROM d", ("b:latest", [], [])),
        ("FROM --platform=$BUILDPLATFORM a AS x\nFROM b\nCOPY --from=x / /", ("b:latest", ["a:latest"], [])),
        ("FROM alpine\nFROM docker.io/library/alpine:latest", ("alpine:latest", [], [])),
    ],
)
def test_stages_are_followed_as_a_builder_follows_them(
    text: str, found: tuple[str | None, list[str], list[str]]
) -> None:
    assert scanned(text) == found


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("", ("c:latest", ["b:latest"], ["a:latest"])),
        ("TWO", ("b:latest", [], ["a:latest"])),
        ("0", ("a:latest", [], [])),
        ("three", ("c:latest", ["b:latest"], ["a:latest"])),
    ],
)
def test_the_target_is_a_name_in_any_case_or_a_number(
    target: str, found: tuple[str | None, list[str], list[str]]
) -> None:
    assert scanned("FROM a AS One\nFROM b AS two\nFROM c AS three\nCOPY --from=two / /", target=target) == found


def test_a_target_that_is_not_there_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InvalidTask) as caught:
        scan("FROM a AS build\nFROM b", target="biuld")
    assert caught.value.problems[0].hint == "did you mean build?"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM a\nCOPY --from=1 / /", ("E709", 2, 6)),
        ("FROM a\nCOPY --from=-1 / /", ("E709", 2, 6)),
        ("FROM a\nCOPY --from=0 / /", ("E709", 1, 1)),
        ("FROM a AS x\nCOPY --from=y / /\nFROM x AS y", ("E709", 1, 1)),
        ("FROM a\nCOPY --from=B / /", ("E708", 2, 13)),
        ("FROM a AS 1x", ("E709", 1, 11)),
        ("FROM a AS a/b", ("E709", 1, 11)),
        ("FROM A:1 AS x\nFROM b", ("E708", 1, 6)),
        ("FROM --platform= a", ("", 0, 0)),
        ("FROM --platform=$N a", ("E710", 1, 6)),
        ("FROM --platform=a/b/c/d a", ("E710", 1, 6)),
        ("FROM --platform=nonsense a", ("E710", 1, 6)),
        ("FROM ''", ("E708", 1, 6)),
        ("FROM ${V:?which}", ("E707", 1, 6)),
        ("ARG V='x\nFROM a", ("E707", 1, 5)),
        ("# syntax=a b\n# syntax=c\nFROM a", ("E705", 2, 1)),
        ("# syntax=A:1\nFROM a", ("E705", 1, 10)),
    ],
)
def test_what_a_builder_refuses_is_refused_at_its_place(text: str, problem: tuple[str, int, int]) -> None:
    if problem[0]:
        assert refused(text)[0] == problem
    else:
        assert scanned(text)[0] == "a:latest"


@pytest.mark.parametrize(
    "text",
    [
        "ARG T=1\nFROM a\nCOPY --from=b:$T / /",
        "ARG T=1\nFROM a\nRUN --mount=from=b:${T},target=/x y",
        "FROM b AS x\nCOPY --from=z / /\nFROM c AS z\nFROM a\nCOPY --from=x / /",
    ],
)
def test_a_scan_only_warns_of_what_hides_no_base_but_a_check_refuses_it(text: str) -> None:
    assert [warning.code for warning in scan(text).warnings] == ["W702"]
    assert [(p.code, p.severity) for p in check(text)] == [("E709", Severity.ERROR)]


def test_every_problem_of_a_file_is_told_at_once() -> None:
    text = "FORM a\nFROM A\nRUN --mont=x y\nEXPOSE\nCOPY x\n"
    assert [code for code, _, _ in refused(text)] == ["E702", "E708", "E704", "E703", "E703"]


# The answer


def test_the_front_end_is_told_apart_from_the_images() -> None:
    found = scan_json(scan("# syntax=docker/dockerfile:1.7 --foo\nFROM a"))
    assert found["syntax"]["reference"] == "docker/dockerfile:1.7"
    assert found["buildtime"] == []
    assert scan_json(scan("FROM a"))["syntax"] is None
    assert scan("FROM a", build_args={"BUILDKIT_SYNTAX": "x/y"}).syntax


def test_an_image_is_printed_as_it_was_written() -> None:
    found = scan_json(scan("FROM library/tool AS x\nFROM library/base\nCOPY --from=x / /", tags=["reg.io:1/out"]))
    assert found["runtime"]["reference"] == "library/base:latest"
    assert found["buildtime"][0]["reference"] == "tool:latest"
    assert found["buildtime"][0]["repository"] == "library/tool"
    assert found["images"] == [
        {"registry": "reg.io:1", "repository": "out", "tag": "latest", "digest": "", "reference": "reg.io:1/out:latest"}
    ]


def test_scratch_is_no_image() -> None:
    assert scan_json(scan("FROM scratch"))["runtime"] is None


def test_the_stages_tell_their_platforms_and_whether_they_are_needed() -> None:
    stages = scan("FROM --platform=$BUILDPLATFORM a AS x\nFROM b AS y\nFROM x").stages
    assert [(s.name, s.platform, s.is_needed) for s in stages] == [
        ("x", "linux/amd64", True),
        ("y", "", False),
        ("", "", True),
    ]


def test_a_bad_tag_or_platform_of_the_user_is_refused() -> None:
    with pytest.raises(InvalidInput):
        scan("FROM a", tags=["Out:1"])
    with pytest.raises(InvalidInput):
        scan("FROM a", platform="a/b/c/d")


# Hostile input


def took(text: str) -> float:
    begin = time.perf_counter()
    check(text)
    return time.perf_counter() - begin


@pytest.mark.parametrize(
    "line",
    [
        "FROM a AS b\n",
        "FROM b AS b\n",
        "NOPE\n",
        "FROM A$N\n",
        "RUN a \\\n\n",
        "RUN <<A\n",
        "FROM a AS b\nONBUILD COPY --from=i / /\nFROM b\n",
        "FROM a\nCOPY --from=0 / /\n",
        'RUN --mount=a,b,"c" x\n',
        "# escape=\\\n",
        "ARG A=$A${B:-${C#*}}\n",
        'CMD ["' + "[" * 500 + '"]\n',
    ],
)
def test_a_large_file_is_judged_in_seconds(line: str) -> None:
    assert took("FROM a AS b\n" + line * (200_000 // len(line))) < 5


def test_deep_nesting_is_no_danger() -> None:
    assert check("FROM a\nCMD " + "[" * 60_000) == ()
    assert [problem.code for problem in check("FROM " + "${A:-" * 5000)] == ["E707"]
    assert [problem.code for problem in check("FROM a\n" + "ONBUILD " * 5000)] == ["E703"]


INSTRUCTIONS = st.sampled_from(
    [
        "FROM ",
        "ARG ",
        "COPY --from=",
        "RUN --mount=from=",
        "ONBUILD ",
        "CMD [",
        "# escape=`\n",
        "# syntax=",
        "RUN <<E\n",
        "ENV ",
    ]
)
PIECES = st.one_of(INSTRUCTIONS, st.sampled_from(list("ab $V{}:-\\`\"'\n\n\r\t,=/@0#")), st.text(max_size=5))


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=40), st.dictionaries(st.sampled_from(["a", "b", "V"]), st.text(max_size=5)))
def test_any_text_is_scanned_or_refused_with_problems(pieces: list[str], arguments: dict[str, str]) -> None:
    text = "".join(pieces)
    problems = check(text, build_args=arguments)
    try:
        scan(text, build_args=arguments)
    except InvalidTask:
        assert any(problem.severity is Severity.ERROR for problem in problems)
