"""Templates that would never end, or fill the memory, are refused; large honest ones are not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from taskengine.template import Limits, TemplateError, render

_DOUBLING = "".join(
    f'{{{{ define "t{i}" }}}}{{{{ template "t{i + 1}" }}}}{{{{ template "t{i + 1}" }}}}{{{{ end }}}}' for i in range(60)
)
_NESTED = "{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}"
_CYCLE = '{{ $x := dict }}{{ $_ := set $x "a" $x }}'


@pytest.mark.parametrize(
    "template",
    [
        "{{ range 1000000000 }}{{ end }}",
        "{{ range 1000000000 }}x{{ end }}",
        '{{ repeat 1000000000 "x" }}',
        "{{ until 999999999 }}",
        "{{ untilStep 0 999999999 1 | len }}",
        '{{ define "r" }}{{ template "r" }}{{ end }}{{ template "r" }}',
        '{{ define "r" }}{{ template "r" }}{{ template "r" }}{{ end }}{{ template "r" }}',
        _DOUBLING + '{{ define "t60" }}x{{ end }}{{ template "t0" }}',
        '{{ $x := "ab" }}{{ range 100 }}{{ $x = printf "%s%s" $x $x }}{{ end }}',
        '{{ $x := "🚀" }}{{ range 100 }}{{ $x = cat $x $x }}{{ end }}',
        '{{ $x := "\\"" }}{{ range 100 }}{{ $x = quote $x }}{{ end }}',
        _NESTED + "{{ $x }}",
        _NESTED + "{{ toJson $x }}",
        _NESTED + "{{ deepCopy $x | len }}",
        _NESTED + "{{ deepEqual $x (list $x) }}{{ $x }}",
        "{{ $x := list 1 }}{{ range 5000 }}{{ $x = list $x }}{{ end }}{{ $x }}",
        _CYCLE + "{{ $x }}",
        _CYCLE + "{{ toPrettyJson $x }}",
        _CYCLE + "{{ deepCopy $x }}",
        '{{ regexReplaceAll (repeat 500 "(x?)") (repeat 100000 "x") "$1" }}',
        '{{ expandenv (repeat 2000000 "${") }}',
        '{{ indent 1000000 (repeat 100000 "\\n") }}',
        '{{ printf "%1000000d" 1 }}' * 30,
        "{{ range 1000000 }}{{ printf `%100000d` . }}{{ end }}",
        "{{ $b := until 100000 }}{{ uniq $b }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ if true }}" * 3000 + "{{ end }}" * 3000,
        "{{1}}" * 200_000,
    ],
)
def test_a_bomb_is_refused_in_good_time(template: str) -> None:
    began = time.process_time()
    with pytest.raises(TemplateError) as caught:
        render(template, {"Values": {}})
    assert caught.value.kind == "limit"
    # About half a second on an idle machine.
    assert time.process_time() - began < 4


def test_a_bad_pattern_does_not_backtrack() -> None:
    assert render('{{ regexMatch "(a*)*b" (repeat 20000 "a") }}', {}).text == "false"


def test_the_output_is_bounded_even_without_actions() -> None:
    with pytest.raises(TemplateError) as caught:
        render("x" * 11, {}, limits=Limits(output_chars=10))
    assert caught.value.kind == "limit"


def test_values_that_contain_themselves_are_refused_when_printed() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = [loop]
    assert render("{{ len .Values.x }}", {"Values": {"x": loop}}).text == "1"
    with pytest.raises(TemplateError):
        render("{{ .Values.x }}", {"Values": {"x": loop}})


def test_ten_thousand_steps_render() -> None:
    step = "  - id: s{{ .Values.n }}\n    cmd: busybox echo {{ .Run.ID }}\n"
    rendered = render("steps:\n" + step * 10_000, {"Run": {"ID": "r"}, "Values": {"n": 1}})
    assert rendered.text.count("echo r") == 10_000


def test_deep_but_finite_recursion_works() -> None:
    template = '{{ define "r" }}{{ if . }}{{ template "r" (sub . 1 | int) }}{{ end }}{{ end }}{{ template "r" 3000 }}x'
    assert render(template, {}).text == "x"


def test_a_chain_of_a_thousand_else_ifs_works() -> None:
    chain = "{{ if eq .n 0 }}0" + "".join(f"{{{{ else if eq .n {i} }}}}{i}" for i in range(1, 1000)) + "{{ end }}"
    assert render(chain, {"n": 999}).text == "999"


def test_long_messages_are_cut() -> None:
    with pytest.raises(TemplateError) as caught:
        render("{{ fail (repeat 1000000 `x`) }}", {})
    assert len(caught.value.message) <= 510
