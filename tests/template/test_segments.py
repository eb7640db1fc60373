"""Every piece of the output knows where it came from, whatever the template is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskengine.template import Limits, Rendered, Segment, TemplateError, render
from taskengine.template.functions import catalog

_DATA: dict[str, Any] = {
    "Run": {"ID": "r1"},
    "Values": {"a": "x", "n": 3, "f": 1.5, "nul": None, "list": [1, "b", None, [2]], "m": {"k": "v", True: 1, "é": {}}},
}
_LIMITS = Limits(output_chars=40_000, operations=3_000, depth=20)


def _tiles(template: str, rendered: Rendered) -> None:
    at = 0
    for segment in rendered.segments:
        assert segment.out == at
        assert segment.length > 0
        piece = rendered.text[at : at + segment.length]
        if segment.verbatim:
            assert template[segment.src : segment.src + segment.length] == piece
        else:
            assert template.startswith("{{", segment.src)
        at += segment.length
    assert at == len(rendered.text)


@pytest.mark.parametrize(
    "template",
    [
        "plain",
        "",
        "a {{ .Run.ID }} b\n",
        "a \n {{- .Run.ID -}} \n b",
        "{{ range .Values.list }}- {{ . }}\n{{ end }}",
        '{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" 1 }}{{ template "t" 2 }}',
        "é{{/* c */}}😀{{ .Values.nope }}{{ upper `é` }}",
        '{{ trunc 1 "é" }}{{ trunc 1 "é" }}',
    ],
)
def test_segments_cover_the_output_without_gaps(template: str) -> None:
    _tiles(template, render(template, _DATA))


def test_text_is_verbatim_and_values_point_at_their_action() -> None:
    rendered = render("id: {{ .Run.ID }}!", _DATA)
    assert rendered.text == "id: r1!"
    assert rendered.segments == (Segment(0, 4, 0, True), Segment(4, 2, 4, False), Segment(6, 1, 17, True))


_NAMES = st.sampled_from(sorted(catalog.names() - {"genPrivateKey", "genCA", "genSelfSignedCert", "derivePassword"}))
_OPERANDS = st.sampled_from(
    [
        ".", "$", "nil", "1", "-1", "0", "2.5", "1i", '"a"', '""', "`%d%s`", '"\\xff"', "true", ".Values", ".Values.list",
        ".Values.m", ".Values.nope", ".Values.nul", "(list 1 2)", '(dict "a" 1)', "(until 3)", '(split "," "a,b")', "now",
        '(semver "1.2.3")', "(add 1 2)", "9223372036854775807", "$x", "'a'", '"🚀"', "(rest (list))", "(index `a` 0)",
    ]
)  # fmt: skip
_CALLS = st.builds(lambda name, args: " ".join([name, *args]), _NAMES, st.lists(_OPERANDS, max_size=4))
_PIPES = st.lists(st.one_of(_CALLS, _OPERANDS), min_size=1, max_size=3).map(" | ".join)
_WORDS = st.sampled_from(
    [
        "{{", "}}", "{{- ", " -}}", "{{ end }}", "{{ else }}", "{{ range ", "{{ if ", "{{ with ", "{{ break }}", "{{/*",
        "*/}}", "{{ define `t` }}", "{{ template `t` . }}", "{{ block `t` . }}", "{{ $x := 1 }}", "{{ $x = ", "|", ".",
        "(", ")", '"', "`", "\\", " ", "\n", "a", "é", "1", "$", "$x", ":=", ",", "{{ continue }}", "{{ else if 1 }}",
    ]
)  # fmt: skip
_ACTIONS = _PIPES.map(lambda pipe: "{{ " + pipe + " }}")
_BLOCKS = st.builds(
    lambda word, pipe, body: f"{{{{ {word} {pipe} }}}}{body}{{{{ else }}}}-{{{{ end }}}}",
    st.sampled_from(["if", "with", "range", "range $i, $e :=", "range $x =", "with $y :="]), _PIPES, _ACTIONS,
)  # fmt: skip
_SENSIBLE = st.lists(st.one_of(_ACTIONS, _BLOCKS, st.text(max_size=3)), max_size=4).map(
    lambda parts: "{{ $x := 1 }}" + "".join(parts)
)
_WILD = st.lists(st.one_of(_WORDS, _ACTIONS, st.text(max_size=4)), max_size=12).map("".join)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.one_of(_SENSIBLE, _WILD, st.text(alphabet='{}- ./*$()|"`\\n1a:=,', max_size=40)))
def test_any_text_renders_with_covering_segments_or_is_refused(template: str) -> None:
    refused: TemplateError | None = None
    try:
        _tiles(template, render(template, _DATA, limits=_LIMITS))
    except TemplateError as error:
        refused = error
    assert refused is None or (0 <= refused.offset <= len(template) and refused.message)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text())
def test_text_without_actions_is_left_alone(text: str) -> None:
    if "{{" not in text:
        assert render(text, {}).text == text
