"""`make bench`: measures everything and writes docs/benchmarks.md.

python -m benchmarks.run [--rounds 5] [--only plan|engine] [--row NAME ...] [--write FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import engine_bench, plan_bench, wave_bench
from benchmarks.measure import Result, table

HEAD = """\
# Benchmarks

Written by `make bench`; the text below the tables is kept. Every comparison is made in the same run, in turns, on the
same engine; the figures are medians of {rounds} rounds after a warm-up, the ratios medians of the ratios pair by pair.
A timing decides no test.

Measured {date} on {machine}.
"""
MARK = "<!-- below this line nothing is overwritten -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["plan", "engine"])
    parser.add_argument(
        "--row", action="append", default=[], choices=list(engine_bench.ROWS), help="only this row of the engine's"
    )
    parser.add_argument("--write", type=Path, default=None)
    given = parser.parse_args()
    if given.row and (given.only == "plan" or given.write is not None):
        parser.error("--row measures some rows of the engine's: not with --only plan, and no page is written of it")
    plan: list[Result] = []
    if given.only != "engine" and not given.row:
        plan = [*plan_bench.measure(rounds=given.rounds), *wave_bench.measure(rounds=given.rounds)]
    engine, about = ([], {}) if given.only == "plan" else engine_bench.measure(rounds=given.rounds, rows=given.row)
    text = _page(plan, engine, about, given.rounds)
    print(text)
    if given.write is not None:
        old = given.write.read_text() if given.write.exists() else ""
        kept = old.partition(MARK)[2]
        given.write.write_text(f"{text}\n{MARK}{kept or chr(10)}")


def _page(plan: list[Result], engine: list[Result], about: dict[str, str], rounds: int) -> str:
    machine = f"{os.cpu_count()} processors, Linux {platform.release()}, Python {platform.python_version()}"
    if about:
        machine += f", Docker Engine {about['engine']}"
    today = datetime.now(UTC).date().isoformat()  # noqa: TID251 - a report is dated
    parts = [HEAD.format(rounds=rounds, date=today, machine=machine)]
    if engine:
        parts += ["## On the engine\n", table(engine), ""]
    if plan:
        parts += ["## Without an engine\n", table(plan), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
