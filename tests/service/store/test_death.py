"""A service that is killed at any instant has lost nothing that it acknowledged. Real processes, SIGKILL."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskengine.service.store import queue, runs
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.signals import Signals
from tests.service.support import BOX, enqueue, later, lease, request, worker

ROOT = Path(__file__).parents[3]
_ENQUEUE = """
import sys
from tests.service.support import AT, BOX, request
from taskengine.service.store import queue
from taskengine.service.store.database import Database
database = Database.open(sys.argv[1])
n = 0
while True:
    n += 1
    ask = request(key=f"k{n}", secrets={"set:a": "x"})
    run, _ = database.transact(lambda conn: queue.enqueue(conn, ask, now=AT, box=BOX, fingerprint="f"))
    print(run.id, flush=True)
"""
_APPEND = """
import sys
from pathlib import Path
from tests.service.support import AT, output, started
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import Feeds
from taskengine.service.store.signals import Signals
database = Database.open(sys.argv[1])
feeds = Feeds(database, Path(sys.argv[2]), Signals())
size = feeds.append("w1", "ca1", int(sys.argv[3]), 0, started("ca1", "a", "b"), now=AT)
n = 0
while True:
    n += 1
    size = feeds.append("w1", "ca1", int(sys.argv[3]), size, output("ab"[n % 2], f"{n}\\n" * 50), now=AT)
    print(size, flush=True)
"""


@contextmanager
def killed_after(lines: int, script: str, *arguments: str) -> Iterator[list[str]]:
    """What a process has told by the time that it is killed, in the middle of whatever it does next."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
    )
    assert process.stdout is not None
    try:
        told = [process.stdout.readline().strip() for _ in range(lines)]
    finally:
        process.kill()
        rest = process.stdout.read()  # what it told before it died counts as well
        process.stdout.close()
        process.wait()
    yield [line for line in told + rest.split("\n")[:-1] if line]


@pytest.mark.parametrize("seed", range(2))
def test_every_run_that_was_acknowledged_is_there_and_asking_again_makes_none_twice(
    database: Database, database_url: str, seed: int
) -> None:
    count = random.Random(seed).randrange(5, 40)
    with killed_after(count, _ENQUEUE, database_url) as told:
        assert len(told) >= count
    with database.write() as conn:
        present = {run.id for run in runs.page(conn, top=1000).runs}
        assert set(told) <= present
        assert len(present) <= len(told) + 1, "at most the one that it died in"
        again, new = queue.enqueue(conn, request(key="k1"), now=later(9), box=BOX, fingerprint="f")
        assert (again.id, new) == (told[0], False)


@pytest.mark.parametrize("seed", range(2))
def test_every_byte_of_a_feed_that_was_acknowledged_is_there_and_nothing_else(
    sqlite: Database, tmp_path: Path, seed: int
) -> None:
    with sqlite.write() as conn:
        worker(conn)
        enqueue(conn)
        epoch = lease(conn).epoch
    count = random.Random(seed).randrange(5, 40)
    url = f"sqlite:///{tmp_path}/service.db"
    with killed_after(count, _APPEND, url, str(tmp_path / "runs"), str(epoch)) as told:
        acknowledged = int(told[-1])
    feeds = Feeds(sqlite, tmp_path / "runs", Signals())
    assert feeds.recover(now=later(1)) == []
    size = feeds.state("ca1").size
    assert size >= acknowledged
    assert (tmp_path / "runs" / "ca1" / "1" / "feed").stat().st_size == size
    merged = b"".join(feeds.text("ca1", 1))
    count = len(merged.splitlines()) // 50
    assert merged == b"".join(f"{n}\n".encode() * 50 for n in range(1, count + 1))
    for step, rest in (("a", 0), ("b", 1)):
        mine = b"".join(f"{n}\n".encode() * 50 for n in range(1, count + 1) if n % 2 == rest)
        assert b"".join(feeds.text("ca1", 1, step)) == mine
    with sqlite.read() as conn:
        assert {step.id: step.log_size for step in runs.steps(conn, "ca1")} == {
            step: sum(map(len, feeds.text("ca1", 1, step))) for step in "ab"
        }
        assert queue.held(conn, "w1", "ca1", epoch) is not None
