"""How soon a forge's delivery is acknowledged, how many a second, and whether one that was is ever lost.

Each delivery is GitHub's word of a push that the task wants, so that each becomes a run. The service is killed
(`kill -9`) while deliveries arrive; every one that it has answered with 202 has to be there when it is back, and to
have become one run.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.hammer import Outcome, flat_out, paced, post
from benchmarks.measure import Figure, percentile, shown
from benchmarks.served import Caller, Served, databases, rows, say
from benchmarks.service_history_bench import task_text

_SECRET = "the secret of the hook"
_REPOSITORY = "https://github.com/octo/web"
#: events that a service works on at once
_AT_ONCE = 20
#: bytes of one delivery; GitHub's are about as long
_SIZE = 8_000


def measure(
    *, rate: float = 100, count: int = 2_000, seconds: float = 10, only: tuple[str, ...] = ("SQLite", "PostgreSQL")
) -> list[Figure]:
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as name, databases(Path(name), only=only) as urls:
        for kind, url in urls.items():
            say(f"deliveries, {kind}")
            found += _of_one(kind, Path(name) / kind, url, rate, count, seconds)
    return found


def _of_one(kind: str, folder: Path, url: str, rate: float, count: int, seconds: float) -> list[Figure]:
    with Served(folder, "--no-worker", database=url).start() as served:
        with Caller(served) as caller:
            caller.post("/tasks", _task())
        steady = paced(served.host, served.port, deliveries("steady"), rate=rate, count=count)
        _all_taken(steady)
        burst = flat_out(served.host, served.port, deliveries("burst"), seconds=seconds, at_the_end=served.kill)
        _all_taken(burst)
        kept = _kept(url)
        lost = sum(name not in kept for name in (*steady.accepted, *burst.accepted))
        worked_off = _work_off(served, url)
        runs, events = _runs(url), len(kept)
    ms = f"{shown(percentile(steady.latencies, 0.5))} / {shown(percentile(steady.latencies, 0.99))}"
    return [
        Figure(name=f"a delivery's 202 at {rate:g} a second, p50 / p99, {kind}", found=ms, target="p99 < 50 ms"),
        Figure(
            name=f"deliveries a second, each durable before its 202, {kind}", found=f"{burst.rate:,.0f}",
            target=">= 500" if kind == "SQLite" else "",
        ),
        Figure(
            name=f"lost of {len(steady.accepted) + len(burst.accepted):,} acknowledged, with a `kill -9`, {kind}",
            found=f"{lost}", target="0",
        ),
        Figure(name=f"runs of {events:,} events, {kind}", found=f"{runs:,}", target="one each"),
        Figure(name=f"events worked off a second after that, {kind}", found=f"{worked_off:,.0f}"),
    ]  # fmt: skip


def _work_off(served: Served, url: str) -> float:
    """Events that the service works on a second when it comes back. Those that the killed one was at are given out anew
    only after a while: they are waited for, and not counted."""
    before = _waiting(url)
    served.start()
    begin = time.perf_counter()
    while (left := _waiting(url)) > _AT_ONCE:
        time.sleep(0.2)
    rate = (before - left) / (time.perf_counter() - begin)
    while _waiting(url):
        time.sleep(0.2)
    return rate


def _all_taken(outcome: Outcome) -> None:
    if outcome.other:
        raise AssertionError(f"{len(outcome.other)} deliveries were not taken: {outcome.other[0]!r}")


def deliveries(series: str) -> Callable[[int], tuple[str, bytes]]:
    """Makes the numbered delivery of a series: its name, and its request in bytes."""
    head, tail = _body(series).split(b"COMMIT-OF-THE-PUSH")

    def make(number: int) -> tuple[str, bytes]:
        name = f"{series}-{number}"
        body = head + hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest().encode() + tail
        signature = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = (
            ("Content-Type", "application/json"), ("User-Agent", "GitHub-Hookshot/bench"), ("X-GitHub-Event", "push"),
            ("X-GitHub-Delivery", name), ("X-Hub-Signature-256", f"sha256={signature}"),
        )  # fmt: skip
        return name, post("/hooks/github/web", headers, body)

    return make


def _body(series: str) -> bytes:
    body: dict[str, Any] = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": "COMMIT-OF-THE-PUSH",
        "created": False, "deleted": False, "forced": False,
        "repository": {"id": 1, "name": "web", "full_name": "octo/web", "html_url": _REPOSITORY},
        "pusher": {"name": "ann", "email": "ann@example.com"},
        "sender": {"login": "ann", "id": 2},
        "commits": [], "head_commit": {"id": "1" * 40, "message": f"a commit of {series}", "author": {"name": "ann"}},
    }  # fmt: skip
    addresses = {
        f"{name}_url": f"https://api.github.com/repos/octo/web/{name}{{/sha}}" for name in map(str, range(1000))
    }
    for name, address in addresses.items():
        body["repository"][name] = address
        if len(body["repository"]) * 66 > _SIZE:
            break
    return json.dumps(body).encode()


def _task() -> dict[str, Any]:
    return {
        "name": "web",
        "step": {
            "type": "EncodedTask", "encodedTaskContent": task_text(("build",)), "contextPath": f"{_REPOSITORY}#main",
        },
        "trigger": {
            "sourceTriggers": [
                {
                    "name": "commits", "sourceTriggerEvents": ["commit"],
                    "sourceRepository": {"repositoryUrl": _REPOSITORY, "branch": "main"},
                }
            ]
        },
        "webhookSecret": _SECRET,
    }  # fmt: skip


# the database, as it is


def _kept(url: str) -> set[str]:
    return {json.loads(row[0])["x-github-delivery"] for row in rows(url, "SELECT headers FROM events")}


def _waiting(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM events WHERE state = 'received'")[0][0])


def _runs(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM runs")[0][0])
