"""What of a Dockerfile never reaches the engine."""

from __future__ import annotations

from typing import Any

import pytest

from runners.docker.buildkit import BuildFailed, BuildRequest, Empty
from runners.docker.buildkit.guard import refuse_what_cannot_be_built


def judge(text: str, **fields: Any) -> None:
    refuse_what_cannot_be_built(text.encode(), BuildRequest(context=Empty(), **fields))


@pytest.mark.parametrize(
    "dockerfile",
    [
        "",
        "\n\n# only a comment\n",
        "ARG a=1\n",
        "ARG a=1\nARG b=2\n",
        "# FROM scratch\nARG a=1\n",
        "ARG a=1 \\\nFROM scratch\n",
        "ARG a=1 \\\n# a comment between\n\nFROM scratch\n",
        "# escape=`\nARG a=1 `\nFROM scratch\n",
        "\ufeffARG a=1\r\n",
        "arg a=1",
        # not a syntax directive for any builder, as it is not in the first line
        "ARG a=1\n# syntax=docker/dockerfile:1\n",
    ],
)
def test_a_dockerfile_that_would_end_the_engine_is_refused(dockerfile: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        judge(dockerfile)
    assert caught.value.hint


def test_the_refusal_names_the_line() -> None:
    with pytest.raises(BuildFailed, match="sub/Dockerfile:2:") as caught:
        judge("FROM scratch\nFRMO x\n", dockerfile="sub/Dockerfile")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM scratch",
        "  from scratch\n",
        "ARG v=1\r\nFROM a:$v\r\n",
        "# escape=`\nARG a=C:\\\nFROM scratch\n",
        "# syntax=docker/dockerfile:1\n\nFROM scratch",
        "FROM a AS one\nFROM one\nCOPY --from=0 /a /b\n",
    ],
)
def test_a_good_dockerfile_passes(dockerfile: str) -> None:
    judge(dockerfile)


def test_build_arguments_count() -> None:
    judge("ARG V\nFROM a:$V\n", build_args={"V": "1"})
    with pytest.raises(BuildFailed):
        judge("ARG V\nFROM a:$V\n")


def test_a_file_with_a_frontend_of_its_own_is_that_frontends_to_judge() -> None:
    judge("# syntax=example.com/other/language:1\nanything: goes\n")
