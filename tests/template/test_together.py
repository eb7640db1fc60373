"""Every mistake of a template at once, and none that is only the echo of another."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.template import TemplateError, render

_DATA: dict[str, Any] = {"Run": {"ID": "r1"}, "Values": {"name": "widget", "list": ["a", "b"]}}


def refused(template: str) -> list[tuple[int, str]]:
    """Line and message of each problem."""
    with pytest.raises(TemplateError) as caught:
        render(template, _DATA)
    found = (caught.value, *caught.value.others)
    return [(template.count("\n", 0, error.offset) + 1, error.message) for error in found]


def lines(template: str) -> list[int]:
    return [line for line, _ in refused(template)]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # what can be seen without data
        ("{{ nope }}\n{{ .Run.ID }}\n{{ nix 1 }}", [1, 3]),
        ("{{ .Values.my-key }}\n{{ .Values.other-key }}\n{{ 1x }}", [1, 2, 3]),
        ("{{ if .Values.my-key }}\na\n{{ else if nope }}\n{{ end }}\n{{ nix }}", [1, 3, 5]),
        ("{{ $x := nope }}\n{{ $x }}\n{{ $y }}", [1, 3]),
        ("{{ range $i, $e := nope }}{{ $i }}{{ $e }}{{ end }}\n{{ $i }}", [1, 2]),
        ('{{ define "a" nope }}{{ $q }}{{ end }}\n{{ nix }}', [1, 1, 2]),
        ('{{ define "a" }}1{{ end }}\n{{ define "a" }}2{{ end }}\n{{ nope }}', [2, 3]),
        ('{{ with nope }}{{ template 1 }}\n{{ end }}{{ "\\q" }}', [1, 1, 2]),
        ("{{ break }}\n{{ nope }}", [1, 2]),
        # what comes out when it is carried out
        ("{{ .Run.ID.x }}\n{{ .Values.name.y }}\n{{ .Run.ID }}", [1, 2]),
        ("{{ if .Run.ID.x }}{{ end }}\n{{ add .Values.list 1 | atoi }}\n{{ .Run.ID.y }}", [1, 2, 3]),
        ("{{ range .Values.list }}\n{{ .x }}{{ end }}\n{{ .Run.ID.y }}", [2, 3]),
        ('{{ define "a" }}{{ .x }}{{ end }}{{ template "a" "t" }}\n{{ template "a" "u" }}{{ .Run.ID.y }}', [1, 2]),
        ('{{ template "none" }}\n{{ template "nil" }}', [1, 2]),
    ],
)
def test_mistakes_in_several_places_are_told_together(template: str, expected: list[int]) -> None:
    assert lines(template) == expected


@pytest.mark.parametrize(
    "template",
    [
        # a misspelt block: its end and its else are not to blame
        "{{ iff .Run.ID }}\n{{ else }}\n{{ end }}",
        "{{ foreach .Values.list }}\n{{ break }}{{ end }}",
        "{{ if nope }}\n{{ range .Values.list }}",
        # braces that swallow what follows
        "{{ .Run.ID }\n{{ $x := 1 }}\n{{ $x }}",
        "{{ .Run.ID }\n{{ if .Run.ID }}\n{{ end }}",
        # a string that does not end may swallow anything
        '{{ print "a }}\n{{ nope }}',
        # what was not assigned is not known
        "{{ $x := .Run.ID.x }}\n{{ $x.y.z }}{{ add $x 1 }}",
        '{{ $x := "a" }}{{ if .Run.ID.x }}\n{{ $x = list }}{{ end }}{{ range $x }}{{ end }}',
        '{{ set .Values "a" .Run.ID.x }}\n{{ .Values.a.b.c }}',
        # guards
        '{{ if not .Values.nil }}{{ fail "give nil" }}{{ end }}\n{{ .Values.nil | b64enc }}',
        "{{ range .Values.list }}{{ if .x }}{{ continue }}{{ end }}\n{{ .y }}{{ end }}",
        "{{ end }}\n{{ end }}\n{{ else }}",
    ],
)
def test_an_echo_of_a_mistake_is_not_told(template: str) -> None:
    assert lines(template) == [1]


def test_mistakes_come_in_the_order_of_the_text() -> None:
    template = '{{ define "a" }}{{ .x }}{{ end }}\n{{ .Run.ID.y }}\n{{ template "a" "t" }}'
    assert lines(template) == [1, 2]


def test_a_thousand_mistakes_are_not_all_told() -> None:
    assert len(lines("{{ nope }}\n" * 1000)) == 50
    assert len(lines("{{ .Run.ID.x }}\n" * 1000)) == 50


def test_work_without_end_is_told_beside_the_mistakes_before_it() -> None:
    found = refused("{{ .Run.ID.x }}\n{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}")
    assert [line for line, _ in found] == [1, 2]
