"""How soon the service starts what is queued, how many trivial runs it makes, how fast a log is followed; its memory.

One engine, one `acr-task serve` with its worker as it comes, beside `acr-task run` on the same engine. When a container
was started is told by the engine.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.measure import ACR_TASK, Figure, command, megabytes, p50_p95, shell, shown, timed
from benchmarks.served import TOKEN, V1, Caller, Served, ended, say
from benchmarks.starts import Starts
from tests.support.engine import OwnEngine, own_engine

#: runs at once, as `acr-task serve` has it without being told
CAPACITY = 2
_TRIVIAL = "version: v1.1.0\nsteps:\n  - cmd: busybox:1 true\n"
#: the kernel's clock in microseconds, in the words of a busybox that knows no `date +%N`
_CLOCK = "adjtimex | grep time.tv_ | tr -dc '0-9\\n' | tr '\\n' ' '; echo"
_LAST = "the last line"


def measure(
    *, count: int = 100, alone: int = 20, loop: int = 20, lines: int = 200, queued: int = 1_000
) -> list[Figure]:
    """`count` runs queued at once, `alone` ones one after the other, `loop` local ones, `lines` of a followed log, and
    `queued` runs that wait."""
    engine = own_engine(registry=False)
    try:
        with tempfile.TemporaryDirectory() as name:
            env = {**os.environ, **engine.env, "PATH": f"/usr/bin:{os.environ['PATH']}"}
            served = Served(Path(name) / "service", env=env, inside=engine.inside, host=engine.sandbox.address)
            with served.start("worker: ready"), Caller(served) as caller:
                time.sleep(3)  # what the start leaves to be done
                idle = served.resident()
                say("runs one by one")
                one_by_one = _alone(engine, caller, alone)
                say(f"{count} runs at once")
                at_once = _at_once(engine, caller, count)
                say("a log that is followed")
                followed = _followed(served, caller, lines)
                after = served.resident()
                each = _waiting(served, caller, queued)
            say("the local loop")
            local = _local_rate(env, Path(name), loop)
            raw = _raw_start(env, alone)
    finally:
        engine.close()
    return [
        *one_by_one,
        Figure(name="an engine's own part in it: `docker run` of the same, until it is started", found=shown(raw)),
        *at_once,
        Figure(name=f"a loop of `acr-task run`, {CAPACITY} at a time", found=f"{local:.2f} runs/s"),
        Figure(
            name="a log that is followed: from the step's write to the client, p50 / p95",
            found=p50_p95(followed),
        ),
        Figure(name="memory (RSS) of the idle service with its worker", found=megabytes(idle), target="< 120 MB"),
        Figure(name=f"the same after {count + alone:,} runs", found=megabytes(after)),
        Figure(name=f"memory for each run that waits, of {queued:,}", found=megabytes(max(0.0, each))),
    ]


# dispatch


def _alone(engine: OwnEngine, caller: Caller, count: int) -> list[Figure]:
    """Each queued when nothing runs: a place is free, so its turn is at once."""
    begun, started = [], []
    with Starts(engine.api) as starts:
        for number in range(count + 1):
            run = caller.post("/runs", {"text": _TRIVIAL})
            first = starts.first(run["runId"])
            done = ended(caller, [run["runId"]])[0]
            if number:  # the first one warms up
                begun.append(_at(done["startTime"]) - _at(done["createTime"]))
                started.append(first.at - _at(done["createTime"]))
    return [
        Figure(
            name="a run queued with a free place: until the worker has begun it, p50 / p95", found=p50_p95(begun),
            target="p95 < 250 ms",
        ),
        Figure(name="the same, until its first step's container is started", found=p50_p95(started)),
    ]  # fmt: skip


def _at_once(engine: OwnEngine, caller: Caller, count: int) -> list[Figure]:
    with Starts(engine.api) as starts:
        names = [caller.post("/runs", {"text": _TRIVIAL})["runId"] for _ in range(count)]
        runs = ended(caller, names)
        first = {name: starts.first(name).at for name in names}
    turns = turns_of(
        [_at(one["createTime"]) for one in runs], [_at(one["startTime"]) for one in runs],
        [_at(one["finishTime"]) for one in runs], CAPACITY,
    )  # fmt: skip
    begun = [_at(one["startTime"]) - turn for one, turn in zip(runs, turns, strict=True)]
    started = [first[one["runId"]] - turn for one, turn in zip(runs, turns, strict=True)]
    total = [first[one["runId"]] - _at(one["createTime"]) for one in runs]
    took = max(_at(one["finishTime"]) for one in runs) - min(_at(one["createTime"]) for one in runs)
    return [
        Figure(
            name=f"{count} runs queued at once: from a run's turn until the worker has begun it, p50 / p95",
            found=p50_p95(begun), target="p95 < 250 ms",
        ),
        Figure(name="the same, until its first step's container is started", found=p50_p95(started)),
        Figure(name="the same, from queueing on (the wait for its turn included)", found=p50_p95(total)),
        Figure(name=f"trivial runs through the service, {CAPACITY} at a time", found=f"{count / took:.2f} runs/s"),
    ]  # fmt: skip


def turns_of(
    created: Sequence[float], started: Sequence[float], finished: Sequence[float], places: int
) -> list[float]:  # fmt: skip
    """When each run's turn was: it was queued, and one of the places was free. Runs take places in the order in which
    they were started; the run that takes one after all `places` were taken needs one more of the others to be over."""
    ends = sorted(finished)
    turns = list(created)
    for rank, index in enumerate(sorted(range(len(started)), key=started.__getitem__)):
        if rank >= places:
            turns[index] = max(created[index], ends[rank - places])
    return turns


def _local_rate(env: Mapping[str, str], folder: Path, count: int) -> float:
    """Runs a second of a shell loop, as many at a time as the service makes."""
    task = folder / "trivial.yaml"
    task.write_text(_TRIVIAL)
    loop = shell(f"seq {count} | xargs -P {CAPACITY} -I@ {ACR_TASK} run {task} /dev/null", env)
    loop()
    return count / timed(loop)


def _raw_start(env: Mapping[str, str], count: int) -> float:
    """The median time of what nobody can do without: a network of its own, a container in it, its start."""
    taken = []
    for number in range(count):
        start = shell(
            f"docker network create bench-{number} && docker run -d --name bench-{number} --network bench-{number} "
            "busybox:1 true", env,
        )  # fmt: skip
        taken.append(timed(start))
        command("sh", "-c", f"docker rm -f bench-{number} && docker network rm bench-{number}", env=env)()
    return statistics.median(taken)


# logs and memory


def _followed(served: Served, caller: Caller, lines: int) -> list[float]:
    """Seconds from each line's writing to its receipt, on one clock."""
    script = f"i=0; while [ $i -lt {lines} ]; do {_CLOCK}; usleep 50000; i=$((i+1)); done; echo {_LAST}"
    text = json.dumps({"version": "v1.1.0", "steps": [{"cmd": f'busybox:1 sh -c "{script}"'.replace("$", "$$")}]})
    run = caller.post("/runs", {"text": text})["runId"]
    found = []
    for said, at in _lines(served, run):
        if said.strip() == _LAST:
            return found
        seconds, microseconds = said.split()
        found.append(at - int(seconds) - int(microseconds) / 1e6)
    raise AssertionError("the log ended before its last line")


def _lines(served: Served, run: str) -> Iterator[tuple[str, float]]:
    """The lines of a run's log as they arrive, each with the time of its receipt."""
    connection = http.client.HTTPConnection(served.host, served.port, timeout=120)
    path = f"{V1}/runs/{run}/logs?follow=true"
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    kind, left = "", ""
    while line := answer.readline():
        at = time.clock_gettime(time.CLOCK_REALTIME)
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and kind == "log":
            *whole, left = (left + json.loads(value)["text"]).split("\n")
            yield from ((one, at) for one in whole)
        elif name == "data" and kind == "end":
            break
    connection.close()


def _waiting(served: Served, caller: Caller, count: int) -> float:
    """Bytes for each of the runs that no worker takes."""
    before = served.resident()
    for _ in range(count):
        caller.post("/runs", {"text": _TRIVIAL, "agentPoolName": "nobody"})
    caller.get("/runs?top=100")  # which says of each where it stands
    return (served.resident() - before) / count


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
