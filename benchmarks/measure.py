"""Times two ways of doing a thing in turns, so that a machine that is busy for a while is busy for both."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: the command of the environment that measures
ACR_TASK = Path(sys.executable).with_name("acr-task")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the report. Times are seconds; `target` is the largest (or smallest) ratio that was asked for."""

    name: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()
    ours_is: str = ""
    theirs_is: str = ""
    target: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios pair by pair."""
        if not self.theirs:
            return None
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the report that compares nothing: what was found, in words, and the target that was asked for."""

    name: str
    found: str
    target: str = ""


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that `part` of all are not above (nearest rank). There has to be at least one."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(part * len(ranked)) - 1)]


def timed(action: Callable[[], object]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int, warm_up: int = 1
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Both times of every round, ours first in the even ones and last in the odd ones."""
    pairs = []
    for number in range(rounds + warm_up):
        if number % 2:
            b, a = timed(theirs), timed(ours)
        else:
            a, b = timed(ours), timed(theirs)
        if number >= warm_up:
            pairs.append((a, b))
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def command(*args: str | Path, env: Mapping[str, str], cwd: Path | None = None) -> Callable[[], object]:
    """A command as an action; its output is thrown away and a failure is an error."""

    # an installed program has its bytecode; a checkout where Python may write none compiles all of it in every process
    measured = {name: value for name, value in env.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> None:
        done = subprocess.run(args, env=measured, cwd=cwd, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{args[0]} {args[1]} failed: {done.stderr.decode(errors='replace')[-2000:]}")

    return run


def shell(script: str, env: Mapping[str, str]) -> Callable[[], object]:
    return command("sh", "-ec", script, env=env)


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    lines = ["| what | ours | compared with | ratio | target |", "| --- | --- | --- | --- | --- |"]
    for r in results:
        theirs = f"{shown(statistics.median(r.theirs))} {r.theirs_is}".strip() if r.theirs else r.theirs_is or "-"
        ratio = f"{r.ratio:.2f}" if r.ratio is not None else "-"
        ours = f"{shown(r.median)} {r.ours_is}".strip()
        lines.append(f"| {r.name} | {ours} | {theirs} | {ratio} | {r.target or '-'} |")
    return "\n".join(lines)


def figures(found: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| what | found | target |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {one.name} | {one.found} | {one.target or '-'} |" for one in found)])


def shown(value: float) -> str:
    """Seconds, for people."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def p50_p95(seconds: Sequence[float]) -> str:
    """The 50th and the 95th percentile of times, for people."""
    return f"{shown(percentile(seconds, 0.5))} / {shown(percentile(seconds, 0.95))}"


def megabytes(count: float) -> str:
    """Bytes, for people."""
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
