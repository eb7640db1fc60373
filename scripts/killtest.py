"""`make killtest`: runs are queued while service, worker and engine are killed at random; then all is counted.

python -m scripts.killtest [--runs 300 | --triggers 180] [--seed N] [--write docs/reliability.md]

Each run says so many numbered lines in each of its steps, notes each step in a file of its workspace, and shows the
file in its last step. So a lost byte, a step that ran twice within an attempt, and a run that got lost can all be seen.
What is counted has to be nothing: lost runs, doubled steps, lost log bytes, leaked containers, networks and volumes.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts import killtest_triggers
from tests.support.engine import OwnEngine, own_engine
from tests.support.service import Service

STEPS, LINES = 3, 40
_SAY = "i=0; while [ $i -lt {lines} ]; do echo {step} $i; i=$((i+1)); done; echo {step} >> /workspace/steps"
#: seconds without any run's end after which the test gives up
_STUCK = 240.0


@dataclass
class Report:
    """What was found. All but the first three have to be nothing."""

    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    again: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.failed or self.doubled or self.gaps or self.leaked)


def task() -> str:
    text = "version: v1.1.0\nsteps:\n"
    for number in range(STEPS):
        say = _SAY.format(lines=LINES, step=f"s{number}")
        when = f"    when: [s{number - 1}]\n" if number else ""
        text += f"  - id: s{number}\n{when}    cmd: busybox:1 sh -c '{say}'\n"
    return text + f"  - id: last\n    when: [s{STEPS - 1}]\n    cmd: busybox:1 cat /workspace/steps\n"


def run(count: int, chance: random.Random, *, engine_too: bool) -> Report:
    """Queue `count` runs, kill at random until all are over, count."""
    report = Report(runs=count)
    engine = own_engine(registry=False)
    with tempfile.TemporaryDirectory() as name:
        settings = Path(name) / "settings.yaml"
        settings.write_text("leaseSeconds: 12\nheartbeatSeconds: 2\nmaxAttempts: 20\n")
        served = Service(
            engine, Path(name) / "service", "--capacity", "4", "--grace", "0",
            env={"ACR_TASK_SERVER_SETTINGS": str(settings)},
        )  # fmt: skip
        try:
            served.start()
            _queue(served, count)
            _kill_until_over(engine, served, report, chance, engine_too=engine_too)
            _count(engine, served, report)
        finally:
            if served.process is not None and served.process.poll() is None:
                served.kill()
            engine.close()
    return report


def _queue(served: Service, count: int) -> None:
    code = "for n in range(count): api.queue_run({'text': text}, key=f'kill-{n}')"
    served.call(code, count=count, text=task())


def _kill_until_over(
    engine: OwnEngine, served: Service, report: Report, chance: random.Random, *, engine_too: bool
) -> None:
    left, since = -1, time.monotonic()
    while True:
        time.sleep(chance.uniform(0.5, 12.0))  # when to kill is what the seed decides
        now = _unfinished(served)
        if now == 0:
            return
        if now != left:
            left, since = now, time.monotonic()
        if time.monotonic() - since > _STUCK:
            raise SystemExit(f"stuck with {left} runs: {served.said[-20:]}")
        victim = chance.choices(["service and worker", "engine"], [4, 1 if engine_too else 0])[0]
        begin = time.monotonic()
        if victim == "engine":
            engine.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            engine.start()
        else:
            served.kill()
            served.start(ready="serving")
        report.kills[victim] += 1
        report.recoveries.append(time.monotonic() - begin)
        print(f"{victim} killed; {left} runs are left", file=sys.stderr, flush=True)


def _unfinished(served: Service) -> int:
    code = "print(sum(r['status'] in ('Queued', 'Started', 'Running') for r in api.runs()))"
    for _ in range(20):
        try:
            return int(served.call(code))
        except (AssertionError, subprocess.SubprocessError):
            time.sleep(0.5)  # it was just killed
    raise SystemExit(f"the service does not come back: {served.said[-20:]}")


def _count(engine: OwnEngine, served: Service, report: Report) -> None:
    code = (
        "out = []\nfor r in api.runs():\n"
        "    log = b''.join(api.log(r['runId'])).decode()\n"
        "    out.append([r['runId'], r['status'], r['attempt'], log, r.get('runErrorMessage')])\nprint(json.dumps(out))"
    )
    found: list[list[Any]] = json.loads(served.call(code))
    report.lost = [str(report.runs - len(found))] if len(found) != report.runs else []
    expected = Counter(f"s{n} {i}" for n in range(STEPS) for i in range(LINES)) + Counter(f"s{n}" for n in range(STEPS))
    for run_id, status, attempt, log, message in found:
        report.again += attempt - 1
        if status != "Succeeded":
            report.failed.append(f"{run_id}: {status}: {message}")
            continue
        said = Counter(line for line in log.splitlines() if line.startswith("s"))
        if any(said[f"s{n}"] != 1 for n in range(STEPS)):
            report.doubled.append(run_id)
        if said != expected:
            report.gaps.append(
                f"{run_id}: {sum((expected - said).values())} missing, {sum((said - expected).values())} too many"
            )
    for _ in range(40):  # a worker sweeps every quarter of a minute
        report.leaked = _ours(engine)
        if not report.leaked:
            break
        time.sleep(1)
    served.stop()


def _ours(engine: OwnEngine) -> list[str]:
    return [name for names in engine.objects().values() for name in names if name.startswith("acr-task-")]


def text_of(report: Report, seed: int, seconds: float) -> str:
    """The report as a page's section."""
    recoveries = sorted(report.recoveries) or [0.0]
    rows = [
        ("runs", str(report.runs)),
        ("killed", ", ".join(f"{what} {times} times" for what, times in sorted(report.kills.items())) or "nothing"),
        ("back after a kill", f"median {recoveries[len(recoveries) // 2]:.1f} s, at most {recoveries[-1]:.1f} s"),
        ("attempts made anew after an infrastructure error", str(report.again)),
        ("lost runs", str(len(report.lost))),
        ("runs that did not succeed", str(len(report.failed))),
        ("doubled steps", str(len(report.doubled))),
        ("runs with lost or doubled log bytes", str(len(report.gaps))),
        ("leaked containers, networks, volumes", str(len(report.leaked))),
    ]
    made = datetime.now(UTC).date().isoformat()  # noqa: TID251 - a report is dated
    head = f"Seed {seed}, {made}, {seconds:.0f} s, Linux {platform.release()}, Python {platform.python_version()}.\n\n"
    return head + "| what | found |\n| --- | --- |\n" + "".join(f"| {a} | {b} |\n" for a, b in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--no-engine", action="store_true", help="kill the service only")
    parser.add_argument("--triggers", type=float, default=None, metavar="SECONDS", help="deliveries and timers instead")
    parser.add_argument("--write", type=Path, default=None, help="put the result into this page, between its marks")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    begin, chance = time.monotonic(), random.Random(seed)
    if given.triggers is not None:
        fired = killtest_triggers.run(given.triggers, chance)
        text = killtest_triggers.text_of(fired, seed, time.monotonic() - begin)
        wrong, is_clean = [fired.lost, fired.doubled, fired.unfinished], fired.is_clean
    else:
        report = run(given.runs, chance, engine_too=not given.no_engine)
        text = text_of(report, seed, time.monotonic() - begin)
        wrong = [report.lost, report.failed, report.doubled, report.gaps, report.leaked]
        is_clean = report.is_clean
    print(text)
    for what in wrong:
        for one in what[:10]:
            print(one, file=sys.stderr)
    if given.write is not None:
        name = "runs" if given.triggers is None else "triggers"
        given.write.write_text(with_result(given.write.read_text(), name, text))
    return 0 if is_clean else 1


def with_result(page: str, name: str, text: str) -> str:
    """The page with this text in place of the newest result of that name."""
    begin, end = f"<!-- the newest result: {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"the page has no place for the result of {name}")
    return f"{before}{begin}\n{text}\n{end}{after}"


if __name__ == "__main__":
    raise SystemExit(main())
