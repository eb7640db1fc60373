from __future__ import annotations

import pytest

from runners.docker.buildkit.failure import exit_code_of, hint_for, plain, sounds_lost
from runners.docker.buildkit.locate import line_of


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("executor failed running [/bin/sh -c exit 9]: exit code: 9", 9),
        ('process "/bin/sh -c echo exit code: 1; exit 9" did not complete successfully: exit code: 9', 9),
        ('"/x" not found: not found', None),
    ],
)
def test_the_exit_code_is_read_in_both_wordings(message: str, code: int | None) -> None:
    assert exit_code_of(message) == code


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: x",
            "dockerfile parse error line 2: x",
        ),
        ('failed to compute cache key: "/nix" not found: not found', '"/nix" not found'),
        (
            'failed to compute cache key: failed to calculate checksum of ref 1-2-3::abc: "/nix": not found',
            '"/nix": not found',
        ),
        ("rpc error: code = Unknown desc = failed to solve: x", "x"),
    ],
)
def test_an_error_is_told_without_the_engines_wrappings(message: str, text: str) -> None:
    assert plain(message) == text


def test_a_missing_file_and_a_missing_login_come_with_a_hint() -> None:
    assert "dockerignore" in (hint_for('"/nix": not found') or "")
    assert "log in" in (hint_for("no basic auth credentials") or "")


@pytest.mark.parametrize("text", ["no active session for x", "error reading from server: EOF", "transport is closing"])
def test_a_lost_session_is_told_from_a_failed_build(text: str) -> None:
    assert sounds_lost(text)
    assert not sounds_lost("executor failed running [x]: exit code: 1")


DOCKERFILE = b"""ARG V=1
FROM base:$V AS one
COPY a \\
  /b
RUN echo one && \\
    exit 1
FROM one
RUN exit 2
COPY $V/x y
RUN exit 2
FROM --platform=linux/amd64 other:1
COPY --from=reg.example.com/tools:1 a b
"""


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"message": "", "vertex": "[one 3/3] RUN echo one &&     exit 1"}, 5),
        ({"message": "", "vertex": "[one 2/3] COPY a   /b"}, 3),
        ({"message": "", "vertex": "[stage-1 3/4] COPY 7/x y"}, 9),
        ({"message": "", "vertex": "[stage-1 2/4] RUN exit 2"}, None),  # it stands there twice
        ({"message": "dockerfile parse error on line 7: x", "vertex": ""}, 7),
        ({"message": "", "vertex": "x", "source": b'{"ranges":[{"start":{"line":8},"end":{"line":8}}]}'}, 8),
        ({"message": "", "vertex": "[one internal] load metadata for docker.io/library/base:7"}, 2),
        ({"message": "", "vertex": "[internal] load metadata for docker.io/library/base:7"}, 2),
        ({"message": "", "vertex": "[internal] load metadata for docker.io/library/other:1"}, 11),
        ({"message": "", "vertex": "[internal] load metadata for reg.example.com/tools:1"}, 12),
        ({"message": "", "vertex": "[internal] load metadata for docker.io/docker/dockerfile:1"}, None),
        ({"message": "", "vertex": "exporting to image", "source": b"\x0a\x00"}, None),
    ],
)
def test_a_failure_is_found_in_the_dockerfile(fields: dict[str, object], line: int | None) -> None:
    assert line_of(DOCKERFILE, **fields) == line  # type: ignore[arg-type]
