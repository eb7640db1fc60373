"""Pictures of a plan."""

from __future__ import annotations

from taskengine.plan.draw import plan_dot, plan_mermaid, plan_text, seconds
from taskengine.plan.model import Plan
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.load import load_task

TEXT = """\
version: v1.1.0
steps:
  - {id: app, build: -t app ., when: ["-"]}
  - {id: db, cmd: postgres, detach: true, when: ["-"]}
  - {id: test, cmd: "app test --all", when: [app, db], retries: 2}
  - {id: ship, push: [app]}
"""
TIMES = {"app": 12.34, "db": 0.5, "test": 3.0, "ship": 65.0}


def plan() -> Plan:
    return load_task(TEXT, file="t.yaml", inputs=Inputs()).plan


def test_text_has_a_line_for_each_step() -> None:
    assert plan_text(plan()) == (
        "v1.1.0: 4 steps; network acb_default_network\n"
        "  app   build  at once              -t app .\n"
        "  db    cmd    at once              postgres  (detach)\n"
        "  test  cmd    after app, db        app test --all  (retries 2)\n"
        "  ship  push   after the one above  app:latest\n"
    )


def test_text_with_times_marks_the_critical_path() -> None:
    lines = plan_text(plan(), TIMES).splitlines()
    assert [line[0] for line in lines[1:5]] == ["*", " ", "*", "*"]
    assert "12.3 s" in lines[1]
    assert lines[-1] == "critical path: app > test > ship  (1 m 20 s)"


def test_mermaid_has_nodes_edges_and_states() -> None:
    picture = plan_mermaid(plan(), TIMES, {"app": "succeeded", "test": "failed"})
    assert picture.startswith("flowchart TD\n")
    assert '  s0[["app<br/>build, 12.3 s"]]' in picture
    assert "  s0 --> s2\n" in picture
    assert "linkStyle 0,2 stroke-width:3px" in picture
    assert "class s2 failed" in picture


def test_mermaid_takes_the_sting_out_of_ids() -> None:
    text = "steps: [{id: 'a\"<b>#', cmd: x}]"
    assert 's0["a#quot;#lt;b#gt;#35;<br/>cmd"]' in plan_mermaid(load_task(text, file="t", inputs=Inputs()).plan)


def test_dot_has_nodes_and_edges() -> None:
    picture = plan_dot(plan(), TIMES, {"db": "running"})
    assert picture.startswith("digraph task {")
    assert picture.endswith("}\n")
    assert '"app" -> "test" [penwidth=3];' in picture
    assert '"db" -> "test";' in picture
    assert 'color="#bf8700"' in picture


def test_dot_takes_the_sting_out_of_ids() -> None:
    text = "steps: [{id: 'a\"b', cmd: x}]"
    assert '"a\\"b"' in plan_dot(load_task(text, file="t", inputs=Inputs()).plan)


def test_an_empty_plan_can_be_drawn() -> None:
    empty = load_task("", file="t", inputs=Inputs()).plan
    assert plan_text(empty) == "v1.0.0: 0 steps; network acb_default_network\n"
    assert plan_mermaid(empty) == "flowchart TD\n"


def test_durations_are_for_people() -> None:
    assert [seconds(value) for value in (0.004, 9.99, 59.94, 60, 3599, 7265)] == [
        "0.00 s",
        "9.99 s",
        "59.9 s",
        "1 m 00 s",
        "59 m 59 s",
        "2 h 01 m",
    ]
