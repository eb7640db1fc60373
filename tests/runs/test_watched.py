"""Which images a task watches."""

from __future__ import annotations

from dataclasses import replace

from taskengine.plan.model import Plan
from taskengine.registry.reference import ImageReference
from taskengine.runs.dependency import of_image
from taskengine.runs.model import Dependency, DependencyType, RunRecord, RunStatus, StepRecord, StepStatus
from taskengine.runs.watched import Unwatched, Watch, Watched, watched
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def plan_of(text: str) -> Plan:
    return load_task(text, file="acb.yaml", inputs=Inputs(facts=RunFacts(id="r"))).plan


PLAN = plan_of("""
steps:
  - {id: b, build: -t r.io/app:1 .}
  - {id: t, cmd: r.io/test:1 run}
  - {id: own, cmd: r.io/app:1}
""")


def image(name: str, kind: str = "runtime", digest: str = A) -> Dependency:
    return of_image(ImageReference.parse(name), DependencyType(kind), digest=digest, platform="linux/amd64")


def run(**steps: tuple[str, tuple[Dependency, ...]]) -> RunRecord:
    """`run(b=("build", dependencies))`"""
    records = tuple(
        StepRecord(id=name, type=kind, status=StepStatus.SUCCEEDED, attempts=1, exit_code=0, dependencies=dependencies)
        for name, (kind, dependencies) in steps.items()
    )
    return RunRecord(id="r", status=RunStatus.SUCCEEDED, steps=records)


def names(found: Watched) -> list[tuple[str, str, str | None]]:
    return [(d.type.value, d.reference, d.digest) for d in found.images]


BUILT = run(b=("build", (image("r.io/base:1"), image("r.io/go:1", "buildtime"), image("r.io/front:1", "syntax"))))


def test_before_its_first_run_nobody_knows_what_a_build_stands_on() -> None:
    assert watched(PLAN, []) == Watched(unknown=("b",))


def test_runtime_watches_the_base_alone() -> None:
    assert names(watched(PLAN, [BUILT])) == [("runtime", "r.io/base:1", A)]


def test_all_watches_whatever_the_steps_stand_on() -> None:
    found = watched(PLAN, [BUILT], Watch.ALL)
    assert names(found) == [
        ("runtime", "r.io/base:1", A),
        ("buildtime", "r.io/go:1", A),
        ("syntax", "r.io/front:1", A),
        ("cmd", "r.io/test:1", None),
    ]
    assert found.unwatched == (Unwatched(reference="r.io/app:1", reason="the task builds it itself"),)


def test_the_newest_run_that_tells_counts() -> None:
    failed = RunRecord(id="r", status=RunStatus.FAILED, steps=(StepRecord(id="b", type="build", status=StepStatus.FAILED, attempts=1, exit_code=1),))  # fmt: skip
    newer = run(b=("build", (image("r.io/base:2", digest=B),)))
    assert names(watched(PLAN, [failed, newer, BUILT])) == [("runtime", "r.io/base:2", B)]


def test_a_build_from_nothing_watches_nothing_and_is_known() -> None:
    assert watched(PLAN, [run(b=("build", ())), BUILT]) == Watched()


def test_a_command_has_the_digest_of_its_last_run_unless_the_task_names_another_image_now() -> None:
    ran = run(b=("build", ()), t=("cmd", (image("r.io/test:1", "cmd"),)))
    moved = run(b=("build", ()), t=("cmd", (image("r.io/old:1", "cmd"),)))
    assert names(watched(PLAN, [ran], Watch.ALL)) == [("cmd", "r.io/test:1", A)]
    assert names(watched(PLAN, [moved], Watch.ALL)) == [("cmd", "r.io/test:1", None)]


def test_what_cannot_change_or_is_nowhere_is_not_watched_and_said() -> None:
    pinned = image(f"r.io/base:1@{A}")
    local = replace(image("here:1", "runtime"), digest=None, local=True)
    found = watched(PLAN, [run(b=("build", (pinned, local)))])
    assert found.images == ()
    assert [(entry.reference, entry.reason.split()[-1]) for entry in found.unwatched] == [
        (f"r.io/base:1@{A}", "change"),
        ("here:1", "it"),
    ]


def test_a_step_that_is_no_longer_in_the_task_is_forgotten() -> None:
    plan = Plan(version="v1.1.0", steps=PLAN.steps[1:2])
    assert watched(plan, [BUILT], Watch.ALL).images == (
        of_image(ImageReference.parse("r.io/test:1"), DependencyType.CMD),
    )


def test_one_image_of_two_steps_is_watched_once_for_its_weightiest_use() -> None:
    text = "steps:\n  - {id: b, build: -t r.io/app:1 .}\n  - {id: c, build: -t r.io/app:2 .}\n"
    plan = plan_of(text)
    record = run(b=("build", (image("r.io/x:1", "buildtime"),)), c=("build", (image("r.io/x:1"),)))
    assert names(watched(plan, [record], Watch.ALL)) == [("runtime", "r.io/x:1", A)]
