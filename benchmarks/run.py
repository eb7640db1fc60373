"""`make bench`: measures everything and writes docs/benchmarks.md.

python -m benchmarks.run [--rounds 5] [--only PART ...] [--row NAME ...] [--write FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import figures, table

HEAD = """\
# Benchmarks

Written by `make bench`; the text below the tables is kept. Every comparison is made in the same run, in turns, on the
same engine; the figures are medians of {rounds} rounds after a warm-up, the ratios medians of the ratios pair by pair.
A timing decides no test.

Measured {date} on {machine}.
"""
MARK = "<!-- below this line nothing is overwritten -->"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section of the page. `measure` takes the number of rounds and returns the section's table, and what is to be
    said of the machine."""

    title: str
    measure: Callable[[int], tuple[str, dict[str, str]]]


def _engine(rounds: int, rows: tuple[str, ...] = ()) -> tuple[str, dict[str, str]]:
    from benchmarks import engine_bench

    results, about = engine_bench.measure(rounds=rounds, rows=rows)
    return table(results), about


def _plan(rounds: int) -> tuple[str, dict[str, str]]:
    from benchmarks import plan_bench, wave_bench

    return table([*plan_bench.measure(rounds=rounds), *wave_bench.measure(rounds=rounds)]), {}


def _service_history(_: int) -> tuple[str, dict[str, str]]:
    from benchmarks import service_history_bench

    return figures(service_history_bench.measure()), {}


def _service_runs(_: int) -> tuple[str, dict[str, str]]:
    from benchmarks import service_runs_bench

    return figures(service_runs_bench.measure()), {}


def _trigger_webhook(_: int) -> tuple[str, dict[str, str]]:
    from benchmarks import trigger_webhook_bench

    return figures(trigger_webhook_bench.measure()), {}


def _trigger_git(_: int) -> tuple[str, dict[str, str]]:
    from benchmarks import trigger_git_bench

    return figures(trigger_git_bench.measure()), {}


def _trigger_wave(_: int) -> tuple[str, dict[str, str]]:
    from benchmarks import trigger_wave_bench

    return figures(trigger_wave_bench.measure()), {}


def _trigger_image(_: int) -> tuple[str, dict[str, str]]:
    from benchmarks import trigger_image_bench

    return figures(trigger_image_bench.measure()), {}


#: in the order of the page
PARTS: dict[str, Part] = {
    "engine": Part(title="On the engine", measure=_engine),
    "plan": Part(title="Without an engine", measure=_plan),
    "service-runs": Part(title="The service: runs", measure=_service_runs),
    "service-history": Part(title="The service: a long history", measure=_service_history),
    "trigger-webhook": Part(title="Triggers: deliveries of forges", measure=_trigger_webhook),
    "trigger-git": Part(title="Triggers: from `git push` to a container", measure=_trigger_git),
    "trigger-image": Part(title="Triggers: images in registries", measure=_trigger_image),
    "trigger-wave": Part(title="Triggers: waves of rebuilds", measure=_trigger_wave),
}


def main() -> None:
    from benchmarks.engine_bench import ROWS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", default=[], choices=list(PARTS), help="may be given again")
    parser.add_argument("--row", action="append", default=[], choices=list(ROWS), help="only this row of the engine's")
    parser.add_argument("--write", type=Path, default=None)
    given = parser.parse_args()
    if given.row and (given.only or given.write is not None):
        parser.error("--row measures some rows of the engine's: not with --only, and no page is written of it")
    if given.row:
        print(_engine(given.rounds, tuple(given.row))[0])
        return
    text = _page(given.only or list(PARTS), given.rounds)
    print(text)
    if given.write is not None:
        old = given.write.read_text() if given.write.exists() else ""
        kept = old.partition(MARK)[2]
        given.write.write_text(f"{text}\n{MARK}{kept or chr(10)}")


def _page(parts: list[str], rounds: int) -> str:
    sections: list[str] = []
    about: dict[str, str] = {}
    for name in parts:
        part, begin = PARTS[name], time.monotonic()
        found, said = part.measure(rounds)
        about |= said
        sections += [f"## {part.title}\n", found, ""]
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    machine = f"{os.cpu_count()} processors, Linux {platform.release()}, Python {platform.python_version()}"
    if about:
        machine += f", Docker Engine {about['engine']}"
    today = datetime.now(UTC).date().isoformat()  # noqa: TID251 - a report is dated
    return "\n".join([HEAD.format(rounds=rounds, date=today, machine=machine), *sections])


if __name__ == "__main__":
    main()
