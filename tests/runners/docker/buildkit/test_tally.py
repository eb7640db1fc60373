"""What was cached, and where a cache ended, is read from the vertexes as real engines tell them."""

from __future__ import annotations

from datetime import UTC, datetime

from runners.docker.buildkit.model import VertexUpdate
from runners.docker.buildkit.tally import Tally, tally

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def done(name: str, *inputs: str, cached: bool = False, error: str = "") -> VertexUpdate:
    return VertexUpdate(digest=name, name=name, inputs=inputs, cached=cached, completed=THEN, error=error)


CHORES = (
    done("[internal] load build definition from Dockerfile"),
    done("[internal] load build context"),
    done("[auth] library/busybox:pull token for registry-1.docker.io"),
    done("[1/3] FROM docker.io/library/busybox:1"),
    done("exporting to image"),
)


def test_only_instructions_that_make_something_are_counted() -> None:
    found = tally((*CHORES, done("[2/3] COPY a /a", cached=True), done("[build 3/3] RUN x", cached=True)))
    assert (found.cached, found.total) == (2, 2)
    assert found.words == "nothing changed: 2 of 2 steps cached"


def test_a_build_of_which_nothing_was_cached_has_nothing_to_say() -> None:
    assert tally((*CHORES, done("[2/2] RUN x"))).words == ""
    assert tally(CHORES).words == ""


def test_where_the_cache_ended_is_the_first_step_of_each_branch_that_ran() -> None:
    found = tally(
        (
            *CHORES,
            done("[build 2/4] COPY a /a", "[1/3] FROM docker.io/library/busybox:1", cached=True),
            done("[build 3/4] RUN x", "[build 2/4] COPY a /a"),
            done("[build 4/4] RUN y", "[build 3/4] RUN x"),
            done("[linux/arm64 2/2] RUN z", "[1/3] FROM docker.io/library/busybox:1"),
        )
    )
    assert found.words == "1 of 4 steps cached"
    assert found.missed == ("[build 3/4] RUN x", "[linux/arm64 2/2] RUN z")


def test_a_step_that_was_never_begun_is_not_counted() -> None:
    waiting = VertexUpdate(digest="w", name="[2/2] RUN x")
    assert tally((waiting,)).total == 0


def test_imports_are_read_missing_or_refused() -> None:
    found = tally(
        (
            done("importing cache manifest from r.io/a:1"),
            done("importing cache manifest from r.io/a:2", error="r.io/a:2: not found"),
            done("importing cache manifest from r.io/a:3", error="unexpected status: 401 Unauthorized"),
        )
    )
    assert [(i.reference, i.is_missing, bool(i.error)) for i in found.imports] == [
        ("r.io/a:1", False, False),
        ("r.io/a:2", True, True),
        ("r.io/a:3", False, True),
    ]


def test_builds_for_several_platforms_are_counted_together() -> None:
    one = tally((done("[2/2] RUN x", cached=True), done("importing cache manifest from r.io/a", error="not found")))
    two = tally((done("[2/2] RUN x"), done("importing cache manifest from r.io/a")))
    both = one + two
    assert (both.cached, both.total, both.missed) == (1, 2, ("[2/2] RUN x",))
    assert [i.error for i in both.imports] == [""]
    assert both + Tally() == both
