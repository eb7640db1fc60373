"""The examples of docs/caches.md and docs/platforms.md are what the program does."""

from __future__ import annotations

import re
from pathlib import Path

from runners.docker.buildkit import BuildFailed
from runners.docker.buildkit.tally import Tally
from runners.docker.parts import part_tag
from runners.docker.platforms import explained, local_name
from taskengine.plan.cachetarget import cache_source, cache_target
from tests.runners.docker.test_platforms import CROSS

DOCS = Path(__file__).parents[2] / "docs"
CACHES = (DOCS / "caches.md").read_text(encoding="utf-8")
PLATFORMS = (DOCS / "platforms.md").read_text(encoding="utf-8")


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_sentences_about_caches_are_the_programs() -> None:
    assert Tally(cached=8, total=8).words in CACHES
    assert Tally(cached=3, total=8).words in CACHES
    assert part_tag("cache_quickrun_app", "build") in CACHES


def test_the_options_of_the_table_are_understood() -> None:
    written = re.findall(r"--cache-(from|to) (type=[a-z]+(?:,[^`\s]+)?)`", CACHES)
    assert len(written) == 3
    for kind, text in written:
        (cache_source if kind == "from" else cache_target)(text.replace("NAME", "r.io/a:c"))


def test_the_dockerfile_of_the_page_is_the_one_that_the_tests_build() -> None:
    assert f"```dockerfile\n{CROSS}```" in PLATFORMS


def test_names_and_words_of_platforms_are_the_programs() -> None:
    assert local_name("r.io/app:1", "linux/arm64").removeprefix("r.io/") in PLATFORMS
    assert part_tag("1", "linux/arm64") in PLATFORMS
    failed = BuildFailed("x", vertex="[2/2] RUN make", log=("exec format error",))
    told = explained(failed, "linux/arm64", ("linux/amd64",))
    assert flat(f"{told.message} hint: {told.hint}") in flat(PLATFORMS)
