"""docs/contexts.md says what the parser and the limits do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskengine.context.model import GIB, MIB, Limits
from taskengine.context.source import Git, Local, NoContext, Oci, Stdin, Tarball, parse_context

TEXT = (Path(__file__).parents[2] / "docs" / "contexts.md").read_text()
FORMS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", TEXT, re.MULTILINE)
KINDS = {"": Git, "file:///srv/app": Tarball, "https://example.com/": Tarball, "oci://": Oci, ".": Local, "-": Stdin,
         "/dev/null": NoContext}  # fmt: skip


@pytest.mark.parametrize(("form", "words"), FORMS)
def test_each_form_in_the_document_is_what_it_says(form: str, words: str) -> None:
    found = parse_context(form)
    expected = KINDS[max((start for start in KINDS if form.startswith(start)), key=len)]
    assert isinstance(found, expected), words
    ref, _, subdir = form.partition("#")[2].partition(":")
    if isinstance(found, Git):
        assert (found.ref, found.subdir) == (ref, subdir)


def test_all_kinds_are_documented() -> None:
    assert {type(parse_context(form)) for form, _ in FORMS} == {Git, Tarball, Oci, Local, Stdin, NoContext}


def test_the_limits_are_those_of_the_document() -> None:
    limits = Limits()
    assert (limits.download, limits.unpacked, limits.entries) == (2 * GIB, 8 * GIB, 500_000)
    assert (limits.ratio, limits.ratio_from, limits.redirects, limits.seconds) == (250, 64 * MIB, 5, 600)
    for said in ("| 2 GiB |", "| 8 GiB, 500,000 files |", "| 250 to 1, from 64 MiB on |", "| 5 |", "| 10 minutes |"):
        assert said in TEXT
