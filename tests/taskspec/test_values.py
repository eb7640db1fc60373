"""What templates see."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from taskengine.errors import InvalidTask
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import render_task
from taskengine.taskspec.values import go_json, shell_quoted


def render(text: str, **more: object) -> str:
    return render_task(text, file="t.yaml", inputs=Inputs(**more))  # type: ignore[arg-type]


def test_run_facts_have_the_names_of_acr_tasks() -> None:
    east = timezone(timedelta(hours=2))
    facts = RunFacts(id="r7", registry="corp.azurecr.io", date=datetime(2024, 3, 5, 8, 7, 8, tzinfo=east))
    text = "{{.Run.ID}} {{.Build.ID}} {{.Run.Registry}} {{.Run.RegistryName}} {{.Run.Date}} {{.Run.OS}}"
    assert render(text, facts=facts) == "r7 r7 corp.azurecr.io corp 20240305-060708z linux"


def test_set_wins_over_the_values_file_and_is_always_text() -> None:
    text = "{{ .Values.a }} {{ .Values.b }} {{ kindOf .Values.b }} {{ kindOf .Values.c }}"
    assert render(text, values_text="a: 1\nb: 2\nc: 3\n", set=("b=7",)) == "1 7 string int"


def test_set_secret_wins_over_set() -> None:
    assert render("{{ .Values.a }}", set=("a=1",), set_secret=("a=2=3",)) == "2=3"


@pytest.mark.parametrize("text", ["novalue", "=x"])
def test_set_needs_a_name_and_a_value(text: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        render("x", set=(text,))
    assert caught.value.problems[0].code == "E220"


def test_a_wrong_set_secret_is_not_repeated() -> None:
    with pytest.raises(InvalidTask) as caught:
        render("x", set_secret=("hunter2",))
    assert "hunter2" not in caught.value.problems[0].message


def test_merges_and_anchors_of_a_values_file_count() -> None:
    values = "base: &b {x: 1, y: 1}\nm: {<<: *b, y: 2}\n"
    assert render("{{ .Values.m.x }}{{ .Values.m.y }}", values_text=values) == "12"


def test_a_tag_of_a_values_file_says_what_a_value_is() -> None:
    values = "a: !!float 1\nb: !!int 0x10\nc: !!str 5\nd: !!bool yes\ne: !!null ~\nf: !!float '2'\n"
    kinds = render("{{ range .Values }}{{ kindOf . }} {{ end }}", values_text=values)
    assert kinds == "float64 int string bool invalid float64 "
    assert render("{{ .Values.a }} {{ .Values.b }}", values_text=values) == "1 16"


@pytest.mark.parametrize("value", ["!!int 3.0", "!!int x", "!!float x", "!!bool 1", "!!null x"])
def test_a_value_that_is_not_what_its_tag_says_is_refused_at_its_place(value: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        render("x", values_text=f"ok: 1\nm:\n  a: {value}\n")
    (problem,) = caught.value.problems
    assert (problem.code, problem.location.line if problem.location else 0) == ("E221", 3)


@pytest.mark.parametrize("values", ["", "\ufeff", "# nothing\n", "~\n"])
def test_an_empty_values_file_is_no_values(values: str) -> None:
    assert render("[{{ .Values.a }}]", values_text=values) == "[]"


def test_a_wrong_values_file_is_told_with_its_own_place() -> None:
    with pytest.raises(InvalidTask) as caught:
        render("x", values_text="a: [\n", values_file="my.yaml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.location.file if problem.location else None) == ("E221", "my.yaml")


def test_values_and_run_come_as_json_for_a_shell() -> None:
    text = "{{ .ValuesJSON }}"
    assert render(text, values_text="b: it's\na: [1, 0.5, true, ~]\n") == (
        '\'{"a":[1,0.5,true,null],"b":"it\'"\'"\'s"}\''
    )
    assert render("{{ .RunJSON }}", facts=RunFacts(id="r7")).startswith('\'{"Architecture":"amd64","Branch":')


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1.0, "1"),
        (0.5, "0.5"),
        (100.0, "100"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-7"),
        (-2.5, "-2.5"),
        ("<a&b>\u2028é", '"\\u003ca\\u0026b\\u003e\\u2028é"'),
        ({"b": 1, "a": [None, True]}, '{"a":[null,true],"b":1}'),
        (float("nan"), "null"),
    ],
)
def test_json_is_written_as_go_writes_it(value: object, wanted: str) -> None:
    assert go_json(value) == wanted


@pytest.mark.parametrize(("text", "wanted"), [("", "''"), ("a-b_c=1", "a-b_c=1"), ("a b", "'a b'"), ("é", "'é'")])
def test_text_becomes_one_shell_word(text: str, wanted: str) -> None:
    assert shell_quoted(text) == wanted
