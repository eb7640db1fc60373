from __future__ import annotations

import pytest

from runners.docker.buildkit.ignore import IgnoreMatcher, parse_lines
from taskengine.errors import InvalidInput

# pattern, path, whether Docker keeps the path out of the context
ONE_PATTERN = [
    ("node_modules", "node_modules", True),
    ("node_modules", "node_modules/a/b.js", True),
    ("node_modules", "web/node_modules", False),
    ("node_modules/", "node_modules/a", True),
    ("./build", "build/out", True),
    ("a/../b", "b", True),
    ("/top", "top", False),  # a leading slash goes away when the file is read, see below
    ("*", "anything", True),
    ("*", "any/thing", True),
    ("*.pyc", "a.pyc", True),
    ("*.pyc", "pkg/a.pyc", False),
    ("*/*.pyc", "pkg/a.pyc", True),
    ("*/*.pyc", "pkg/sub/a.pyc", False),
    ("**/*.pyc", "a.pyc", True),
    ("**/*.pyc", "pkg/sub/a.pyc", True),
    ("**", "a/b/c", True),
    ("**/", "a", True),
    ("**/**", "a/b", True),
    ("docs/**", "docs", False),
    ("docs/**", "docs/a/b.md", True),
    ("**/docs", "docs", True),
    ("**/docs", "a/docs/b.md", True),
    ("**/docs/*", "a/docs/b.md", True),
    ("**/docs/**", "a/docs/b/c.md", True),
    ("**log", "catalog", True),  # ends with
    ("**/.env", "app.env", False),
    ("**/.env", "app/.env", True),
    ("a**/*.txt", "a/b/c.txt", True),
    ("a**/*.txt", "ab/c.txt", True),
    ("te?t", "test", True),
    ("te?t", "te/t", False),
    ("te?t", "te☺t", True),
    ("v[0-9]", "v7", True),
    ("v[0-9]", "vx", False),
    ("v[^0-9]", "vx", True),
    ("[a-ζ]x", "αx", True),
    ("[\\]x]", "]", True),
    ("[\\-x]", "-", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "axb", False),
    ("a.b", "axb", False),
    ("a(b|c)+{1}$", "a(b|c)+{1}$", True),
    (".*", ".git/config", True),
    ("..", "a", False),
    (".", "a", False),
]


@pytest.mark.parametrize(("pattern", "path", "ignored"), ONE_PATTERN)
def test_a_pattern_matches_as_in_docker(pattern: str, path: str, ignored: bool) -> None:
    assert IgnoreMatcher([pattern]).matches(path) is ignored


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        (["docs", "!docs/README.md"], "docs/README.md", False),
        (["docs", "!docs/README.md"], "docs/other.md", True),
        (["!README.md", "*.md"], "README.md", True),
        (["*.md", "!README.md"], "README.md", False),
        (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True),
        (["**", "!src"], "src/a/b.c", False),
        (["**", "!src", "src/a"], "src/a/b.c", True),
        (["*", "!a/*/c"], "a/b/c", False),
        (["a", "!a/b", "a/b/c"], "a/b/c/d", True),
        (["a/b", "!a"], "a/b/c", True),  # the folder a was never out, so there is nothing to take back
        (["", "  ", " x "], "x", True),
    ],
)
def test_the_last_matching_pattern_decides(patterns: list[str], path: str, ignored: bool) -> None:
    assert IgnoreMatcher(patterns).matches(path) is ignored


@pytest.mark.parametrize("pattern", ["!", "[", "a[", "[^", "[]a]", "[-x]", "[x-]", "[a-b-c]", "\\", "a/[b"])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        IgnoreMatcher([pattern])


def test_an_ignore_file_loses_comments_blanks_and_its_byte_order_mark() -> None:
    text = "\ufeff# first\nnode_modules/\r\n\n  spaced  \n /top\n!./a/../b\n #not a comment\n//x\n"
    assert parse_lines(text) == ("node_modules", "spaced", "top", "!b", "#not a comment", "x")


def test_a_walk_step_by_step_gives_what_whole_paths_give() -> None:
    patterns = ["**", "!src/**/*.c", "src/gen", "!src/gen/keep.c"]
    matcher, marks = IgnoreMatcher(patterns), 0
    steps = []
    for path in ("src", "src/gen", "src/gen/keep.c"):
        matched, marks = matcher.step(path, marks)
        steps.append(matched)
    assert steps == [matcher.matches(p) for p in ("src", "src/gen", "src/gen/keep.c")] == [True, True, False]


@pytest.mark.parametrize(
    ("exception", "folder", "reaches"),
    [
        ("!keep/this", "node_modules", False),
        ("!node_modules/keep", "node_modules", True),
        ("!node_modules/*/keep", "node_modules/a", True),
        ("!node_modules/*/keep", "node_modules/a/b", False),
        ("!node_modules", "node_modules", False),
        ("!**/keep", "node_modules", True),
        ("!node_*/x", "node_modules", True),
        ("![ab]/x", "c", False),
    ],
)
def test_an_ignored_folder_is_entered_only_where_an_exception_can_reach(
    exception: str, folder: str, reaches: bool
) -> None:
    assert IgnoreMatcher(["*", exception]).may_except_below(folder) is reaches
