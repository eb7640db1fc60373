"""What one base image with 10,000 dependents costs to plan and to carry out, without any run."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.measure import Result, timed

#: tasks of each level; those of a level stand on three images of the one above, so that there are diamonds everywhere
LEVELS = (10, 190, 2_800, 7_000)


def images(levels: tuple[int, ...] = LEVELS) -> list[tuple[str, tuple[str, ...]]]:
    """Tasks and the images that they stand on. The first level stands on `base`, every tenth of the others, too."""
    found: list[tuple[str, tuple[str, ...]]] = []
    above: list[str] = []
    for level, count in enumerate(levels):
        names = [f"registry.example.com/l{level}/app-{i}:1" for i in range(count)]
        for i, name in enumerate(names):
            bases = [above[(i * 7 + j * 3) % len(above)] for j in range(3)] if above else []
            found.append((name, (*bases, *(["base"] if not above or i % 10 == 0 else []))))
        above = names
    return found


def measure(*, rounds: int) -> list[Result]:
    from triggers.imagegraph import ImageGraph, TaskImages
    from triggers.waves import MemberState, Wave, plan_wave

    tasks = [TaskImages(task=name, makes=(name,), uses=uses) for name, uses in images()]
    opened = datetime(2026, 1, 1, tzinfo=UTC)

    def plan() -> None:
        found = plan_wave(ImageGraph.of(tasks), ["base"])
        if len(found.members) != sum(LEVELS) or found.levels != len(LEVELS):
            raise AssertionError("the plan is not the one that it should be")

    def carry_out() -> None:
        wave = Wave(plan_wave(ImageGraph.of(tasks), ["base"]), opened)
        started, running = 0, list(wave.begin().start)
        while running:
            started += 1
            running += wave.ended(running.pop(), MemberState.CHANGED).start
        if started != sum(LEVELS):
            raise AssertionError("not every dependent was started exactly once")

    return [
        Result(
            name="10,000 dependents of one image, 4 levels with diamonds: the plan",
            ours=tuple(timed(plan) for _ in range(rounds + 1))[1:],
            target="< 3 s",
        ),
        Result(
            name="the same, and every rebuild started and ended once",
            ours=tuple(timed(carry_out) for _ in range(rounds + 1))[1:],
        ),
    ]
