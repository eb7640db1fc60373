"""Every code of `codes.py`, with a file that has that problem and the place where it must be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taskengine.errors import InvalidTask, Problem
from taskengine.plan.policy import breaches
from taskengine.taskspec.codes import CODES
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task


@dataclass(frozen=True)
class Wrong:
    code: str
    text: str | bytes
    #: line:column, "" for a problem that has no place in a file
    at: str
    inputs: Inputs = field(default_factory=Inputs)
    file: str = "task.yaml"

    def __str__(self) -> str:
        return f"{self.code} {self.at or '-'}"


def step(*lines: str) -> str:
    """A file with one step; its lines begin at line 2, column 5."""
    return "steps:\n  - " + "\n    ".join(lines) + "\n"


V11 = "version: v1.1.0\n"
ONE = "steps: [{cmd: x}]\n"
VOLUME = "volumes:\n  - name: v\n    secret: {a: YQ==}\n"

PLACES = [
    Wrong("E101", "x" * (8 << 20) + "x", "1:1"),
    Wrong("E102", b"steps:\n  - cmd: \xff\n", "2:10"),
    Wrong("E102", b"\xff\xfes\0t\0", "1:1"),
    Wrong("E102", "steps:\n - cmd: a\0b", "2:10"),
    Wrong("E103", "steps:\n\t- cmd: x\n", "2:1"),
    Wrong("E103", "steps:\n  - cmd: busybox echo key: value\n", "2:26"),
    Wrong("E103", 'steps:\n  - cmd: "busybox\n', "2:10"),
    Wrong("E104", "a: " + "[" * 80, "1:67"),
    Wrong("E105", "a: &a [" + "x," * 600 + "]\nb: [" + "*a," * 1000 + "]\n", "2:1997"),
    Wrong("E106", step("cmd: *nope"), "2:10"),
    Wrong("E106", "a: &a [*a]\n", "1:8"),
    Wrong("E107", step("cmd: [a, b]"), "2:10"),
    Wrong("E107", step("cmd: x", "env: A=1"), "3:10"),
    Wrong("E107", "steps:\n  - x\n", "2:5"),
    Wrong("E107", V11 + "alias: nothing\n" + ONE, "2:8"),
    Wrong("E108", step("cmd: x", 'timeout: "30"'), "3:14"),
    Wrong("E109", step("cmd: x", 'keep: "true"'), "3:11"),
    Wrong("E110", "- cmd: x\n", "1:1"),
    Wrong("E111", "steps:\n  - cmd: x\n  -\n", "3:4"),
    Wrong("E112", step("cmd: x", "? [a]\n    : b"), "3:7"),
    Wrong("E201", step("cmd: x {{ nofunction }}"), "2:15"),
    Wrong("E201", V11 + "alias:\n  values:\n    a: '{{ nofunction }}'\n" + ONE, "4:12"),
    Wrong("E202", "{{ if false }}x{{ end }}", "1:1"),
    Wrong("E203", step("cmd: x"), "2:22"),  # the text is replaced in the test
    Wrong("E210", V11 + "alias:\n  values:\n    my-name: x\n" + ONE, "4:5"),
    Wrong("E211", V11 + "alias:\n  directive: '@@'\n" + ONE, "3:14"),
    Wrong("E211", V11 + "alias:\n  directive: x\n" + ONE, "3:14"),
    Wrong("E212", V11 + "alias:\n  src: [nowhere.yaml]\n" + ONE, "3:9"),
    Wrong("E213", V11 + "alias:\n  src: [deep.yaml]\n" + ONE, "3:3", file="deep.yaml"),
    Wrong("E220", ONE, "", Inputs(set=("novalue",))),
    Wrong("E221", ONE, "1:1", Inputs(values_text="[a]"), file="values.yaml"),
    Wrong("E301", "version: v9\n" + ONE, "1:10"),
    Wrong("E302", "steps:\n  - {id: a, cmd: x}\n  - {id: a, cmd: x}\n", "3:10"),
    Wrong("E303", step("id: a b", "cmd: x"), "2:9"),
    Wrong("E304", step("id: acb_root", "cmd: x"), "2:9"),
    Wrong("E305", step("id: a"), "2:5"),
    Wrong("E306", step("cmd: x", "build: ."), "3:12"),
    Wrong("E307", step("cmd: x", "retries: -1"), "3:14"),
    Wrong("E308", step("build: .", "cache: maybe"), "3:12"),
    Wrong("E309", step("cmd: x", "cpus: lots"), "3:11"),
    Wrong("E309", step("cmd: x", "ports: ['80:80', abc]"), "3:22"),
    Wrong("E309", step("cmd: x", "expose: [abc]"), "3:14"),
    Wrong("E310", "steps:\n  - {id: a, cmd: x}\n  - {cmd: x, when: ['-', a]}\n", "3:21"),
    Wrong("E311", step("id: a", "cmd: x", "when: [a]"), "4:12"),
    Wrong("E312", "steps:\n  - {id: a, cmd: x, when: [b]}\n  - {id: b, cmd: x}\n", "2:28"),
    Wrong("E313", step("cmd: x", "when: [nobody]"), "3:12"),
    Wrong("E314", "steps:\n  - {id: a, cmd: x}\n  - {cmd: x, when: ['']}\n", "3:21"),
    Wrong("E315", step('id: "a\\e[2Jb"', "cmd: x"), "2:9"),
    Wrong("E315", step('id: "a\\u202eb"', "cmd: x"), "2:9"),
    Wrong("E320", "networks:\n  - driver: bridge\n" + ONE, "2:5"),
    Wrong("E330", "volumes:\n  - name: a/b\n    secret: {a: YQ==}\n" + ONE, "2:11"),
    Wrong("E331", "volumes:\n  - name: v\n" + ONE, "2:5"),
    Wrong("E332", VOLUME + "  - name: v\n    secret: {a: YQ==}\n" + ONE, "4:11"),
    Wrong("E333", "volumes:\n  - name: v\n    secret: {../a: YQ==}\n" + ONE, "3:13"),
    Wrong("E340", VOLUME + step("cmd: x", "volumeMounts: [{name: v}]"), "6:20"),
    Wrong("E341", VOLUME + step("cmd: x", "volumeMounts: [{name: w, mountPath: /m}]"), "6:20"),
    Wrong(
        "E342",
        VOLUME + step("cmd: x", "volumeMounts:", "- {name: v, mountPath: /m}", "- {name: v, mountPath: /m}"),
        "8:7",
    ),
    Wrong("E343", VOLUME + step("push: [x]", "volumeMounts: [{name: v, mountPath: /m}]"), "6:19"),
    Wrong("E350", "env: [JUSTNAME]\n" + ONE, "1:7"),
    Wrong("E350", "env: [A=1]\n" + step("cmd: x", "env: [B=1, JUSTNAME]"), "4:16"),
    Wrong("E351", "env: ['=v']\n" + ONE, "1:7"),
    Wrong("E401", step("cmd: busybox echo 'oops"), "2:23"),
    Wrong("E402", step("cmd: -t -i"), "2:10"),
    Wrong("E403", step("cmd: --prvileged busybox"), "2:10"),
    Wrong("E404", step("cmd: -v /a:/a --name me busybox"), "2:19"),
    Wrong("E405", step("cmd: --tty=maybe busybox"), "2:10"),
    Wrong("E405", step("cmd: -t -m lots busybox"), "2:16"),
    Wrong("E405", step("build: --shm-size lots ."), "2:23"),
    Wrong("E412", step("build: -t x"), "2:16"),
    Wrong("E413", step("build: -t x . ./other"), "2:19"),
    Wrong("E414", step("build: -t x --pulll ."), "2:17"),
    Wrong("E421", step("push: [a, 'b c']"), "2:15"),
    Wrong("E422", step("cmd: BusyBox:1"), "2:10"),
    Wrong("E422", step("build: -t Foo/BAR ."), "2:12"),
    Wrong("E422", step("push: [a, Foo/BAR]"), "2:15"),
    Wrong("E501", "secrets:\n  - keyvault: https://v/s\n" + ONE, "2:5"),
    Wrong("E502", "secrets:\n  - id: a b\n    keyvault: https://v/s\n" + ONE, "2:9"),
    Wrong("E503", "secrets:\n" + "  - id: a\n    keyvault: https://v/s\n" * 2 + ONE, "4:9"),
    Wrong("E504", "secrets:\n  - id: a\n" + ONE, "2:5"),
    Wrong("E505", "secrets:\n  - id: a\n    keyvault: https://v/s\n    clientID: me\n" + ONE, "4:15"),
    Wrong("E506", "secrets:\n  - id: a\n    keyvault: https://v/s\n" + ONE, "3:15"),
    Wrong(
        "E507",
        "secrets:\n  - id: a\n    keyvault: https://v/s\n" + ONE,
        "2:5",
        Inputs(secret_values={"a": b"\xff\xfe"}),
    ),
    Wrong("W101", step("cmd: x", "wehn: [a]"), "3:5"),
    Wrong("W102", step("cmd: x", "cmd: y"), "3:5"),
    Wrong("W103", ONE + "---\n" + ONE, "2:1"),
    Wrong("W201", "version: {{ .Values.v }}\n" + ONE, "1:10", Inputs(set=("v=v1.0.0",))),
    Wrong("W301", "version: v1.0.0\n", "1:1"),
    Wrong("W302", step("push: [x]", "entryPoint: sh"), "3:17"),
    Wrong("W303", "networks:\n  - name: n\n  - name: n\n" + ONE, "3:5"),
    Wrong("W305", "env: ['A=1,B=2']\n" + ONE, "1:7"),
    Wrong("W306", VOLUME + step("cmd: x", "volumeMounts: [{name: v, mountPath: m}]"), "6:20"),
    Wrong("W307", "volumes:\n  - name: v\n    secret: {a: '%%%'}\n" + ONE, "3:13"),
    Wrong("W308", step("cmd: x", "timeout: -3"), "3:14"),
    Wrong("W308", "stepTimeout: -3\n" + ONE, "1:14"),
    Wrong("W401", step("cmd: busybox echo one; echo two"), "2:26"),
    Wrong("W403", V11 + step("push: [a, $Registry/b]"), "3:24"),
    Wrong("W404", step("push: [a, $Registry/b]"), "2:15"),
    Wrong("W404", step("cmd: 'app:{{ .Run.ID }}'"), "2:10"),
    Wrong("W402", step("build: -t x .", "cache: enabled"), "3:12"),
]

#: what a task that was granted nothing may not do: problems of its plan, shown where the step begins
NOT_GRANTED = [
    Wrong("E601", step("cmd: --privileged x"), "2:5"),
    Wrong("E602", step("cmd: docker ps"), "2:5"),
    Wrong("E603", step("cmd: x", "network: others"), "2:5"),
    Wrong("E604", step("cmd: x", "ports: ['80:80']"), "2:5"),
    Wrong("E605", step("cmd: -v /etc:/etc x"), "2:5"),
    Wrong("E606", step("cmd: x", "isolation: hyperv"), "2:5"),
    Wrong("E607", step("cmd: x") + "  - push: [elsewhere.example/x]\n", "3:5"),
]


def problems_of(wrong: Wrong, folder: Path) -> tuple[Problem, ...]:
    (folder / "deep.yaml").write_text("a: b\nc:\n  {d: e}\n")
    inputs = wrong.inputs
    inputs = Inputs(
        base_dir=folder,
        set=inputs.set,
        values_text=inputs.values_text,
        secret_values=inputs.secret_values,
        facts=inputs.facts,
    )
    text = wrong.text
    if wrong.code == "E203":
        inputs = Inputs(facts=RunFacts(commit="x" * 100_000), base_dir=folder)
        text = "a:\n{{ range until 100 }}{{ $.Run.Commit }}{{ end }}"
    try:
        return load_task(text, file="task.yaml", inputs=inputs).warnings
    except InvalidTask as invalid:
        return invalid.problems


@pytest.mark.parametrize("wrong", PLACES, ids=str)
def test_a_problem_is_shown_at_its_place_in_the_authors_file(wrong: Wrong, tmp_path: Path) -> None:
    found = [problem for problem in problems_of(wrong, tmp_path) if problem.code == wrong.code]
    assert found, f"{wrong.code} was not found"
    at = found[0].location
    assert (f"{at.line}:{at.column}" if at else "") == wrong.at
    assert at is None or at.file == wrong.file


@pytest.mark.parametrize("wrong", NOT_GRANTED, ids=str)
def test_what_was_not_granted_is_shown_at_its_step(wrong: Wrong) -> None:
    loaded = load_task(wrong.text, file="task.yaml", inputs=wrong.inputs)
    (problem,) = breaches(loaded.plan, (), ("own.example",))
    assert problem.code == wrong.code
    assert str(problem.location) == f"task.yaml:{wrong.at}"


def test_all_template_mistakes_of_a_file_are_told_at_their_places(tmp_path: Path) -> None:
    text = "steps:\n  - cmd: x {{ nofunction }}\n  - cmd: y {{ .Run.ID }}\n  - cmd: z {{ .Values.my-key }}\n"
    found = problems_of(Wrong("E201", text, ""), tmp_path)
    assert [str(problem.location) for problem in found] == ["task.yaml:2:15", "task.yaml:4:25"]


@pytest.mark.parametrize("wrong", PLACES, ids=str)
def test_a_problem_quotes_its_line(wrong: Wrong, tmp_path: Path) -> None:
    for problem in problems_of(wrong, tmp_path):
        if problem.location and problem.location.file == "task.yaml" and wrong.code not in ("E101", "E102", "E203"):
            assert isinstance(wrong.text, str)
            assert problem.source_line == (wrong.text.splitlines() or [""])[problem.location.line - 1]


@pytest.mark.parametrize(
    "image",
    ["x", "localhost:5000/a/b", "a@sha256:" + "0" * 64, "MyRegistry.azurecr.io/a:V1", "sha256:" + "0" * 64, "0" * 64],
)
def test_a_name_that_an_engine_takes_is_no_error(image: str) -> None:
    load_task(step(f"cmd: {image}"), file="task.yaml", inputs=Inputs())


@pytest.mark.parametrize("timeout", ["timeout: 0", "timeout: 5"])
def test_a_time_limit_of_zero_is_the_default_without_a_word(timeout: str) -> None:
    assert load_task(step("cmd: x", timeout), file="task.yaml", inputs=Inputs()).warnings == ()


def test_every_code_has_a_test_of_its_place() -> None:
    assert {wrong.code for wrong in [*PLACES, *NOT_GRANTED]} == set(CODES)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_every_code_is_explained(code) -> None:  # type: ignore[no-untyped-def]
    assert code.title
    assert code.explanation.endswith(".")
    assert code.mend.endswith(".")
