"""The whole way from text to plan: what a file may look like, and where a problem is then shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskengine.errors import InvalidTask, Severity
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import LoadedTask, load_task, render_task


def load(text: str | bytes, **more: object) -> LoadedTask:
    return load_task(text, file="t.yaml", inputs=Inputs(**more))  # type: ignore[arg-type]


def problems(text: str, **more: object) -> list[str]:
    with pytest.raises(InvalidTask) as caught:
        load(text, **more)
    return [f"{problem.code} {problem.location}" for problem in caught.value.problems]


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "~\n", "---\n", "\ufeff", "{}\n", "steps:\n"])
def test_an_empty_file_is_a_task_without_steps(text: str) -> None:
    assert load(text).plan.steps == ()


def test_bytes_and_text_mean_the_same_with_and_without_a_mark() -> None:
    text = "version: v1.1.0\r\nsteps:\r\n  - cmd: x $OS\r\n"
    plans = [load(text).plan, load(text.encode()).plan, load(b"\xef\xbb\xbf" + text.encode()).plan]
    assert plans[0] == plans[1] == plans[2]
    assert plans[0].steps[0].text == "x linux"


def test_all_problems_of_a_file_are_told_at_once_and_in_order() -> None:
    text = """\
version: v1.1.0
stps: 1
steps:
  - id: a
    cmd: bash -c 'x
    wehn: [b]
    timeout: "3"
  - build: -t a
    when: [c]
  - id: c
    push: [x]
"""
    assert problems(text) == [
        "W101 t.yaml:2:1",
        "E401 t.yaml:5:18",
        "W101 t.yaml:6:5",
        "E108 t.yaml:7:14",
        "E412 t.yaml:8:16",
        "E312 t.yaml:9:12",
    ]


def test_a_step_that_is_broken_already_is_not_called_empty_as_well() -> None:
    assert problems("steps:\n  - cmd: [a]\n") == ["E107 t.yaml:2:10"]
    assert problems("steps:\n  -\n") == ["E111 t.yaml:2:4"]


def test_a_problem_that_a_loop_repeats_is_told_once() -> None:
    text = "steps:\n{{ range until 5 }}  - {cmd: x, colour: red}\n{{ end }}"
    assert [problem.code for problem in load(text).warnings] == ["W101"]


def test_a_problem_in_rendered_text_is_shown_at_the_action_that_made_it() -> None:
    text = "# a\nsteps:\n  - cmd: x\n    timeout: {{ .Values.t }}\n    retries: -1\n"
    assert problems(text, set=("t=soon",)) == ["E108 t.yaml:4:14", "E307 t.yaml:5:14"]


def test_a_forward_reference_names_both_places() -> None:
    with pytest.raises(InvalidTask) as caught:
        load("steps:\n  - {id: a, cmd: x, when: [b]}\n  - {id: b, cmd: x}\n")
    (problem,) = caught.value.problems
    assert [str(place) for _, place in problem.related] == ["t.yaml:3:5"]


def test_unknown_properties_are_warnings_and_with_strict_errors() -> None:
    text = "steps:\n  - {cmd: x, wehn: []}\n"
    (warning,) = load(text).warnings
    assert (warning.severity, warning.hint) == (Severity.WARNING, "did you mean 'when'?")
    assert problems(text, strict=True) == ["W101 t.yaml:2:14"]


def test_properties_in_the_wrong_place_are_shown_the_right_one() -> None:
    (step,) = load("steps:\n  - {cmd: x, stepTimeout: 5}\n").warnings
    (task,) = load("entryPoint: x\nsteps: [{cmd: x}]\n").warnings
    assert "belongs to the task" in (step.hint or "")
    assert "belongs to a step" in (task.hint or "")


def test_anchors_and_merges_save_words() -> None:
    text = """\
x-base: &base
  env: [A=1]
  retries: 2
steps:
  - <<: *base
    cmd: x
  - cmd: y
    retries: 0
    <<: *base
"""
    first, second = load(text).plan.steps
    assert (first.env, first.retries) == (("A=1",), 2)
    assert (second.env, second.retries) == (("A=1",), 0)


def test_a_fact_that_is_missing_is_what_broke_the_line() -> None:
    with pytest.raises(InvalidTask) as caught:
        load("version: v1.1.0\nsteps:\n  - build: -t app:$ID .\n")
    (problem,) = caught.value.problems
    assert problem.hint == "$ID is empty here; give --id"


@pytest.mark.parametrize(("written", "hint"), [('"30"', "remove the quotes"), ("5m", "whole seconds: 300"), ("x", "")])
def test_a_wrong_number_says_how_to_write_it(written: str, hint: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        load(f"stepTimeout: {written}\nsteps: []\n")
    assert hint in (caught.value.problems[0].hint or "")


def test_an_empty_entry_of_a_list_is_shown_at_its_own_line() -> None:
    assert problems("steps:\n  - push:\n    - a\n    -\n") == ["E421 t.yaml:4:6"]


def test_a_templated_version_leaves_aliases_off() -> None:
    loaded = load("version: {{ .Values.v }}\nsteps: [{cmd: x $OS}]\n", set=("v=v1.1.0",))
    assert not loaded.aliases
    assert loaded.plan.steps[0].text == "x $OS"
    assert [problem.code for problem in loaded.warnings] == ["W201"]


def test_below_v110_comments_are_rendered_and_without_aliases_they_are_dropped() -> None:
    text = "# {{ .Run.OS }}\nsteps: []\n"
    assert load(text).rendered == "# linux\nsteps: []\n"
    assert render_task(text, file="t", inputs=Inputs(), aliases=False) == "steps: []\n"


def test_a_file_that_renders_to_nothing_is_refused() -> None:
    assert problems("{{ if false }}steps: []{{ end }}") == ["E202 t.yaml:1:1"]


EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "tasks").glob("*/acb.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_are_understood_without_a_warning(path: Path) -> None:
    values = [file for file in sorted(path.parent.glob("*.yaml")) if file.name in ("values.yaml", "staging.yaml")]
    inputs = Inputs(
        facts=RunFacts(id="r7", registry="reg.example.com"),
        base_dir=path.parent,
        values_text=values[0].read_text() if values else None,
        resolve_secrets=lambda specs: {spec.id: "x" for spec in specs},
    )
    assert load_task(path.read_bytes(), file=path.name, inputs=inputs).warnings == ()


def test_reading_a_small_file_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from taskengine.taskspec.load import load_task\n"
        "from taskengine.taskspec.inputs import Inputs\n"
        "load_task('version: v1.1.0\\nsteps: [{cmd: x $ID}]', file='t', inputs=Inputs())\n"
        "heavy = {'networkx', 'jsonschema', 'docker', 'grpc', 'rich', 'requests', 're2', 'cryptography', 'asyncio'}\n"
        "heavy |= {'urllib.request', 'http.client', 'taskengine.template.engine'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"
