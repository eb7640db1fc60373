"""What is refused before any engine sees it: the form of every instruction, and a file without FROM above all."""

from __future__ import annotations

import pytest

from taskengine.dockerfile.problem import CODES
from taskengine.dockerfile.scan import check
from taskengine.errors import Severity


def errors(text: str) -> list[str]:
    return [problem.code for problem in check(text) if problem.severity is Severity.ERROR]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "   \n\t\n",
        "# only\n# comments\n",
        "ARG a=1\n",
        "ARG a=1\nARG b\n",
        "# syntax=docker/dockerfile:1\nARG a=1",
        "# syntax=somebody/else\nARG a=1",
        "RUN x\n",
        "ENV a=1\nFROM x",
        "\ufeff",
        "ARG a=1 \\\nFROM x",
        "# escape=`\nARG a=1 `\nFROM x",
    ],
)
def test_a_file_without_from_never_passes(text: str) -> None:
    assert "E701" in errors(text)


@pytest.mark.parametrize(
    "text",
    [
        "# check=skip=all\n# escape=`\nARG a=1 \\\nFROM x",
        "ARG a=1 \\\\\nFROM x",
    ],
)
def test_a_file_in_which_an_older_builder_sees_no_from_never_passes(text: str) -> None:
    assert "E701" in errors(text)


def test_no_number_of_warnings_hides_an_error() -> None:
    assert errors("ARG a \\\n\n b\n" * 500) == ["E701"]


@pytest.mark.parametrize(
    "line",
    [
        "RUN",
        "RUN x",
        'RUN ["a"]',
        "RUN --network=none --security=insecure --mount=type=ssh,required x",
        "CMD",
        "ENTRYPOINT []",
        "COPY a b",
        "COPY --chmod=755 --link --parents=true --exclude=a --exclude=b a b c/",
        "COPY <<EOF /x\nEOF",
        "ADD --checksum=sha256:x --keep-git-dir=false https://x /y",
        "ENV a b c",
        "ENV a=1 b='2 3'",
        "LABEL a.b=c",
        "LABEL a b",
        "ARG a b=1",
        "EXPOSE 80 443/tcp",
        "USER a",
        "VOLUME /a /b",
        'VOLUME ["/a"]',
        "WORKDIR /a b",
        "STOPSIGNAL 9",
        'SHELL ["a", "-c"]',
        "HEALTHCHECK NONE",
        "HEALTHCHECK none",
        "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD x",
        "MAINTAINER me",
        "ONBUILD RUN x",
        "ONBUILD NOPE x",
        "RUN cat <<EOF\nEOF",
    ],
)
def test_what_a_builder_accepts_is_accepted(line: str) -> None:
    assert check(f"FROM x\n{line}\n") == ()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("FORM y", "E702"),
        ("RUNX y", "E702"),
        ("apt-get update", "E702"),
        ("FROM", "E703"),
        ("FROM a b", "E703"),
        ("FROM a AS", "E703"),
        ("FROM a # b", "E703"),
        ("FROM a AS b c", "E703"),
        ("FROM a --platform=x", "E703"),
        ("FROM --platform linux/amd64", "E704"),
        ("FROM --plattform=x a", "E704"),
        ("COPY a", "E703"),
        ("COPY", "E703"),
        ("ADD a", "E703"),
        ("COPY a <<EOF\nEOF", "E703"),
        ("COPY --from a b c", "E704"),
        ("COPY --from=a --from=b c d", "E704"),
        ("COPY --link=maybe a b", "E704"),
        ("ADD --from=x a b", "E704"),
        ("RUN --mount x", "E704"),
        ("RUN --mount=type=nope x", "E704"),
        ("RUN --mount= x", "E704"),
        ('RUN --mount=a"b x', None),
        ("RUN --mount=type=secret,from=a x", "E704"),
        ("ENV", "E703"),
        ("ENV a", "E703"),
        ("ENV a=1 b", "E703"),
        ("ENV =1", "E703"),
        ("LABEL", "E703"),
        ("ARG", "E703"),
        ("ARG =1", "E703"),
        ("EXPOSE", "E703"),
        ("USER", "E703"),
        ("VOLUME", "E703"),
        ('VOLUME [""]', "E703"),
        ("WORKDIR", "E703"),
        ("STOPSIGNAL", "E703"),
        ("MAINTAINER", "E703"),
        ("SHELL", "E703"),
        ("SHELL sh -c", "E703"),
        ("SHELL []", "E703"),
        ("CMD [1]", "E703"),
        ("HEALTHCHECK", "E703"),
        ("HEALTHCHECK NONE x", "E703"),
        ("HEALTHCHECK CMD", "E703"),
        ("HEALTHCHECK x", "E703"),
        ("HEALTHCHECK --interval=x CMD y", "E704"),
        ("HEALTHCHECK --retries=-1 CMD y", "E704"),
        ("ONBUILD", "E703"),
        ("ONBUILD FROM x", "E703"),
        ("ONBUILD ONBUILD RUN x", "E703"),
        ("USER --x=1 a", "E704"),
        ("RUN <<EOF", "E706"),
    ],
)
def test_what_a_builder_refuses_is_refused(line: str, code: str | None) -> None:
    found = errors(f"FROM x\n{line}\n")
    assert found[:1] == ([code] if code else [])


def test_an_unknown_instruction_suggests_a_known_one() -> None:
    (problem,) = check("FROM x\n  RUM y")
    assert (problem.message, problem.hint) == ("unknown instruction 'RUM'", "did you mean RUN?")
    assert str(problem.location) == "Dockerfile:2:3"
    assert problem.source_line == "  RUM y"


def test_a_front_end_of_its_own_may_know_more_than_we_do() -> None:
    assert errors("# syntax=somebody/else\nFROM x\nINCLUDE y") == []
    assert errors("# syntax=docker/dockerfile:9\nFROM x\nINCLUDE y") == ["E702"]
    assert errors("# syntax=docker/dockerfile:9\nFROM x\nRUN --new=1 y") == []
    assert errors("FROM x\nRUN --new=1 y") == ["E704"]


def test_a_mount_key_that_is_not_known_is_a_warning() -> None:
    assert [problem.code for problem in check("FROM x\nRUN --mount=tgt=/x y")] == ["W703"]


def test_every_code_is_explained() -> None:
    assert all(code[0] in "EW" and text for code, text in CODES.items())
