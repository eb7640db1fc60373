"""The kill test of triggers: deliveries and timers while the service is killed (`kill -9`) at random; then all counts.

A forge that is patient sends each delivery until it is acknowledged, and some of them once more afterwards. What is
counted has to be nothing: commits that were acknowledged and started no run or more than one, instants of a timer that
were missed or fired twice, events that are not done. Without an engine: the runs wait, and nobody carries them out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import random
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.served import Caller, Served

SENDERS, TIMERS = 4, 3
_SECRET = "the secret of the hook"
_REPOSITORY = "https://git.example.com/team/web"
#: seconds for what is left to be done after the last kill
_SETTLE = 120.0
#: the chance that a delivery which was acknowledged comes once more
_TWICE = 0.2


@dataclass
class Report:
    """What was found. `lost`, `doubled` and `unfinished` have to be nothing."""

    deliveries: int = 0
    again: int = 0
    refused: int = 0
    instants: int = 0
    kills: int = 0
    recoveries: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.unfinished)


def run(seconds: float, chance: random.Random, *, database: str = "", timers: bool = True) -> Report:
    """Deliver for so many seconds, kill meanwhile, let it settle, count. `database` is a URL, SQLite without. With
    `timers` it takes until a whole minute has passed after the last kill."""
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        served = Served(Path(name) / "service", "--no-worker", database=database)
        with served.start():
            with Caller(served) as caller:
                caller.post("/tasks", _commits())
                caller.post("/tasks", _clock())
            began, over = _now(), threading.Event()
            forge = _Forge(served, over, report)
            senders = [forge.sender(random.Random(chance.random())) for _ in range(SENDERS)]
            _kill_until(time.monotonic() + seconds, served, chance, report)
            over.set()
            for thread in senders:
                thread.join()
            ended = _settled(served, report, began, timers=timers)
            _count(served, forge, (began, ended), report)
    return report


class _Forge:
    """Sends deliveries until they are acknowledged, and remembers which were."""

    def __init__(self, served: Served, over: threading.Event, report: Report) -> None:
        self._served, self._over, self._report = served, over, report
        self._lock = threading.Lock()
        self._number = 0
        self.acknowledged: list[str] = []

    def sender(self, chance: random.Random) -> threading.Thread:
        thread = threading.Thread(target=self._send, args=(chance,), name="forge", daemon=True)
        thread.start()
        return thread

    def _send(self, chance: random.Random) -> None:
        while not self._over.is_set():
            with self._lock:
                self._number += 1
                commit = hashlib.sha1(f"commit {self._number}".encode(), usedforsecurity=False).hexdigest()
            while not self._taken(commit):  # what was begun is brought to its end, also when all is over
                time.sleep(chance.uniform(0.05, 0.3))
            with self._lock:
                self.acknowledged.append(commit)
                self._report.deliveries += 1
            if chance.random() < _TWICE and self._taken(commit):
                with self._lock:
                    self._report.again += 1
            time.sleep(chance.uniform(0.0, 0.1))

    def _taken(self, commit: str) -> bool:
        """Whether the service has acknowledged it."""
        body = json.dumps({"repository": _REPOSITORY, "ref": "refs/heads/main", "commit": commit}).encode()
        headers = {
            "Content-Type": "application/json", "Authorization": f"Bearer {_SECRET}", "X-Acr-Task-Delivery": commit,
        }  # fmt: skip
        request = urllib.request.Request(f"{self._served.url}/hooks/generic/commits", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status in (200, 202)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise SystemExit(f"a delivery was refused: {error.code} {error.read()!r}") from error
        except OSError:
            pass  # it was just killed
        with self._lock:
            self._report.refused += 1
        return False


def _kill_until(end: float, served: Served, chance: random.Random, report: Report) -> None:
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.3, 6.0))  # when to kill is what the seed decides
        begin = time.monotonic()
        served.kill()
        time.sleep(chance.choice([0.0, 0.0, chance.uniform(0.0, 2.0)]))
        served.start()
        report.kills += 1
        report.recoveries.append(time.monotonic() - begin)
        print(f"killed; {report.deliveries} deliveries so far", file=sys.stderr, flush=True)


def _settled(served: Served, report: Report, began: datetime, *, timers: bool) -> datetime:
    """The last minute that counts: every event is done, and that minute's timers have fired, so that none is on its
    way. Without `timers`, no minute counts."""
    minute = _now().replace(second=0, microsecond=0) + timedelta(minutes=1)
    end = time.monotonic() + _SETTLE
    with Caller(served) as caller:
        while time.monotonic() < end:
            waiting = caller.get("/events?state=received&top=100")["value"]
            fired = {run["timerTrigger"]["scheduleOccurrence"] for run in _all(caller, "/runs?task=clock")}
            if not waiting and not timers:
                return began
            if not waiting and any(datetime.fromisoformat(one) >= minute for one in fired):
                return minute
            time.sleep(0.5)
        report.unfinished += [f"event {one['number']}: {one['reason']}" for one in waiting]
        if not report.unfinished:
            report.lost.append(f"the timers of {minute} never fired")
    return minute


def _count(served: Served, forge: _Forge, window: tuple[datetime, datetime], report: Report) -> None:
    with Caller(served) as caller:
        built = Counter(run["sourceTrigger"]["commitId"] for run in _all(caller, "/runs?task=commits"))
        fired = Counter(
            (run["timerTrigger"]["timerTriggerName"], datetime.fromisoformat(run["timerTrigger"]["scheduleOccurrence"]))
            for run in _all(caller, "/runs?task=clock")
        )
    wanted = set(forge.acknowledged)
    report.lost += [f"commit {one}" for one in wanted - built.keys()]
    report.doubled += [f"commit {one}: {times} runs" for one, times in built.items() if times > 1]
    began, ended = window
    instants = []
    minute = began.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while minute <= ended:
        instants += [(f"t{number}", minute) for number in range(TIMERS)]
        minute += timedelta(minutes=1)
    report.instants = len(instants)
    report.lost += [f"timer {name} at {at}" for name, at in instants if not fired[name, at]]
    report.doubled += [f"timer {name} at {at}: {times} runs" for (name, at), times in fired.items() if times > 1]


def _all(caller: Caller, path: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while cursor is not None:
        page = caller.get(f"{path}&top=100" + (f"&cursor={cursor}" if cursor else ""))
        yield from page["value"]
        cursor = page["nextCursor"]


def _commits() -> dict[str, Any]:
    trigger = {
        "name": "commits", "sourceTriggerEvents": ["commit"],
        "sourceRepository": {"repositoryUrl": _REPOSITORY, "branch": "main"},
    }  # fmt: skip
    return {"name": "commits", "step": _step(), "trigger": {"sourceTriggers": [trigger]}, "webhookSecret": _SECRET}


def _clock() -> dict[str, Any]:
    timers = [{"name": f"t{number}", "schedule": "* * * * *", "missed": "all"} for number in range(TIMERS)]
    return {"name": "clock", "step": _step(), "trigger": {"timerTriggers": timers}}


def _step() -> dict[str, Any]:
    text = "version: v1.1.0\nsteps:\n  - cmd: busybox:1 true\n"
    return {
        "type": "EncodedTask", "encodedTaskContent": base64.b64encode(text.encode()).decode(),
        "contextPath": f"{_REPOSITORY}#main",
    }  # fmt: skip


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the clock by which the service's timers go


def text_of(report: Report, seed: int, seconds: float) -> str:
    """The report as a page's section."""
    recoveries = sorted(report.recoveries) or [0.0]
    rows = [
        ("deliveries that were acknowledged", f"{report.deliveries:,}"),
        ("of them sent once more", f"{report.again:,}"),
        ("attempts while the service was away", f"{report.refused:,}"),
        ("instants of timers", f"{report.instants:,}"),
        ("killed", f"service {report.kills} times"),
        ("back after a kill", f"median {recoveries[len(recoveries) // 2]:.1f} s, at most {recoveries[-1]:.1f} s"),
        ("lost: acknowledged commits and instants without a run", str(len(report.lost))),
        ("doubled: commits and instants with more than one", str(len(report.doubled))),
        ("events that did not come to an end", str(len(report.unfinished))),
    ]
    made = _now().date().isoformat()
    head = f"Seed {seed}, {made}, {seconds:.0f} s, Linux {platform.release()}, Python {platform.python_version()}.\n\n"
    return head + "| what | found |\n| --- | --- |\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)
