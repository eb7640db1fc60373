"""Runs as they are listed and shown, on both databases."""

from __future__ import annotations

from itertools import chain

import pytest

from taskengine.errors import InvalidInput, NotFound
from taskengine.runs.model import RunStatus
from taskengine.service.model import RunType
from taskengine.service.store import ending, queue, runs
from taskengine.service.store.database import Database
from taskengine.service.store.runs import Filter
from taskengine.service.store.tables import run_images
from tests.service.support import AT, enqueue, later

DIGEST = "sha256:" + "d" * 64


@pytest.fixture
def history(database: Database) -> Database:
    """ca1 to ca6: two tasks, two owners, three statuses, two with images, one archived."""
    with database.write() as conn:
        for n in range(6):
            enqueue(conn, "ann" if n < 3 else "bob", now=later(n), task="web" if n % 2 else "db-x")
        for n, status in ((1, RunStatus.SUCCEEDED), (2, RunStatus.FAILED), (4, RunStatus.SUCCEEDED)):
            ending.finish(conn, queue.row_of(conn, f"ca{n}"), status, now=later(10))
        image = {"registry": "reg.example", "repository": "team/app", "digest": DIGEST, "position": 0}
        conn.execute(run_images.insert(), [image | {"number": 1, "tag": "v1"}, image | {"number": 4, "tag": "v2"}])
        conn.execute(
            run_images.insert(),
            [image | {"number": 2, "tag": "v1", "repository": "library/app", "registry": "docker.io"}],
        )
        runs.archive(conn, "ca1", True, now=later(11))
    return database


def ids(database: Database, wanted: Filter) -> list[str]:
    with database.read() as conn:
        return [run.id for run in runs.page(conn, wanted).runs]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), "654321"),
        (Filter(task="web"), "642"),
        (Filter(owner="ann"), "321"),
        (Filter(owner="ann", task="web"), "2"),
        (Filter(statuses=(RunStatus.QUEUED,)), "653"),
        (Filter(statuses=(RunStatus.SUCCEEDED, RunStatus.FAILED)), "421"),
        (Filter(statuses=(RunStatus.QUEUED,), task="web"), "6"),
        (Filter(types=(RunType.AUTO_RUN,)), ""),
        (Filter(types=(RunType.QUICK_RUN,), owner="bob"), "654"),
        (Filter(since=later(2), until=later(4)), "543"),
        (Filter(archived=True), "1"),
        (Filter(archived=False, owner="ann"), "32"),
        (Filter(scopes=("w*",)), "642"),
        (Filter(scopes=("db?x", "nothing")), "531"),
        (Filter(scopes=("W*",)), ""),
        (Filter(scopes=("d_-x", "w%b", "[w]eb")), ""),
        (Filter(scopes=("w*",), own="ann"), "642"),
        (Filter(image="reg.example/team/app"), "41"),
        (Filter(image="team/app"), "41"),
        (Filter(image="team/app:v1"), "1"),
        (Filter(image=f"reg.example/team/app@{DIGEST}"), "41"),
        (Filter(image=f"team/app@{DIGEST}", owner="bob"), "4"),
        (Filter(image="team/app", statuses=(RunStatus.SUCCEEDED,)), "41"),
        (Filter(image="team/app", statuses=(RunStatus.FAILED,)), ""),
        (Filter(image="team/app", task="web"), "4"),
        (Filter(image="app"), "2"),
        (Filter(image="other.example/team/app"), ""),
    ],
)  # fmt: skip
def test_a_filter_leaves_what_is_wanted_newest_first(history: Database, wanted: Filter, found: str) -> None:
    assert ids(history, wanted) == [f"ca{digit}" for digit in found]


def test_who_is_bound_to_some_tasks_finds_the_own_runs_that_have_none(history: Database) -> None:
    with history.write() as conn:
        enqueue(conn, "ann", now=later(20))
        enqueue(conn, "bob", now=later(21))
    assert ids(history, Filter(scopes=("w*",), own="ann")) == ["ca7", "ca6", "ca4", "ca2"]
    assert ids(history, Filter(scopes=("*",), own="bob"))[:2] == ["ca8", "ca6"]


@pytest.mark.parametrize(
    "wanted", [Filter(), Filter(task="web"), Filter(image="team/app"), Filter(statuses=(RunStatus.QUEUED,))]
)
def test_pages_join_to_the_whole_list(history: Database, wanted: Filter) -> None:
    pages, cursor = [], None
    while cursor is not None or not pages:
        with history.write() as conn:
            page = runs.page(conn, wanted, top=2, cursor=cursor)
            enqueue(conn, "new", now=AT)  # what comes meanwhile belongs to no later page
        pages.append([run.id for run in page.runs])
        cursor = page.cursor
    assert all(len(page) <= 2 for page in pages)
    listed = [name for name in chain(*pages) if int(name[2:], 36) <= 6]
    assert listed == [name for name in ids(history, wanted) if int(name[2:], 36) <= 6]


def test_a_cursor_that_no_page_gave_is_refused(history: Database) -> None:
    for cursor in ("x", "-1", "9" * 30, "1 OR 1", "٣"):
        with history.read() as conn, pytest.raises(InvalidInput, match="cursor"):
            runs.page(conn, cursor=cursor)


def test_an_image_that_is_no_reference_is_refused(history: Database) -> None:
    with history.read() as conn, pytest.raises(InvalidInput, match="no image reference"):
        runs.page(conn, Filter(image="a b"))


def test_a_run_is_shown_with_its_images(history: Database) -> None:
    with history.read() as conn:
        run = runs.get(conn, "ca4")
        assert run.images == ({"registry": "reg.example", "repository": "team/app", "tag": "v2", "digest": DIGEST},)
        with pytest.raises(NotFound):
            runs.get(conn, "ca99")
        with pytest.raises(NotFound):
            runs.archive(conn, "ca99", True, now=AT)


@pytest.mark.parametrize(
    "wanted",
    [Filter(), Filter(owner="ann"), Filter(task="web", archived=True), Filter(since=AT, types=(RunType.AUTO_RUN,))],
)
def test_a_page_is_found_in_an_index_alone(sqlite: Database, wanted: Filter) -> None:
    """What makes lists fast with a long history: the rows, which are long, are read for the page only."""
    statements: list[str] = []
    with sqlite.read() as conn:
        from sqlalchemy import event

        event.listen(conn, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))
        runs.page(conn, wanted)
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[0][0]}", statements[0][1]).all()
    assert "USING COVERING INDEX" in plan[0].detail
    assert not any("TEMP B-TREE" in row.detail for row in plan)
