from __future__ import annotations

import pytest

from runners.docker.buildkit import BuildFailed
from runners.docker.buildkit.guard import refuse_without_from


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
    ],
)
def test_a_dockerfile_that_would_end_the_engine_is_refused(dockerfile: str) -> None:
    with pytest.raises(BuildFailed):
        refuse_without_from(dockerfile.encode())


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM scratch",
        "  from scratch\n",
        "ARG v=1\r\nFROM a:$v\r\n",
        "# escape=`\nARG a=C:\\\nFROM scratch\n",
        "# syntax=docker/dockerfile:1\n\nFROM scratch",
        "RUN true\n",  # BuildKit says itself what is wrong with it
        b"FROM scratch\nLABEL a=\xff".decode("latin-1"),
    ],
)
def test_any_other_dockerfile_is_left_to_buildkit(dockerfile: str) -> None:
    refuse_without_from(dockerfile.encode())
