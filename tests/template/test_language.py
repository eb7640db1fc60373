"""The language itself: trimming, scopes, control, calls, and every kind of refusal."""

from __future__ import annotations

from typing import Any

import pytest

from taskengine.template import TemplateError, render

_DATA: dict[str, Any] = {
    "Run": {"ID": "r1"},
    "Values": {
        "name": "widget",
        "n": 3,
        "nul": None,
        "on": True,
        "list": ["a", "b"],
        "m": {"k": {"deep": 1}, 1: "one"},
    },
}


def _text(template: str) -> str:
    return render(template, _DATA).text


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # Trimming and comments
        ("a \n{{- 1 -}}\n b", "a1b"),
        ("a {{- /* c */ -}} b", "ab"),
        ("a {{/* c */}} b", "a  b"),
        ("a {{- /* {{ x }} */}} b", "a b"),
        ("{{ 1 -}}   {{- 2 }}", "12"),
        ("x{{ -1 }}", "x-1"),
        ("{{-1}}", "-1"),
        ("{{- 1}}", "1"),
        ("a\t\r\n{{- 1 }}", "a1"),
        ("{{\n1\n}}", "1"),
        # Constants
        ("{{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 017 }} {{ 1_000 }} {{ 1e3 }} {{ 'a' }} {{ '\\n' }} {{ .5 }}", "31 3 15 15 1000 1000 97 10 0.5"),
        ('{{ "a\\tb\\"" }}{{ `r\\n` }}', 'a\tb"r\\n'),
        ('{{ "\\u00e9\\x41\\101" }}', "éAA"),
        ('{{ "\\xe2\\x82\\xac" }}', "€"),
        ("{{ true }} {{ false }}", "true false"),
        # Variables and scopes
        ("{{ $x := 1 }}{{ $x }}{{ $x = 2 }}{{ $x }}", "12"),
        ("{{ with $x := 5 }}{{ $x }}{{ . }}{{ end }}", "55"),
        ("{{ if $x := 0 }}a{{ else }}{{ $x }}{{ end }}", "0"),
        ("{{ range $i, $e := .Values.list }}{{ $i }}{{ $e }}{{ end }}", "0a1b"),
        ("{{ $i := 9 }}{{ $e := 9 }}{{ range $i, $e = .Values.list }}{{ end }}{{ $i }}{{ $e }}", "1b"),
        ("{{ $s := 0 }}{{ range list 1 2 3 }}{{ $s = add $s . }}{{ end }}{{ $s }}", "6"),
        ("{{ range .Values.list }}{{ $.Run.ID }}{{ end }}", "r1r1"),
        ("{{ $x := .Values.nope }}[{{ $x }}][{{ $x.y }}][{{ $x.y.z }}]", "[][][]"),
        ("[{{ (.Values.nope).x }}]", "[]"),
        ("{{ $v := .Values }}{{ $v.m.k.deep }}", "1"),
        # Control
        ("{{ if 0 }}a{{ else if 1 }}b{{ else }}c{{ end }}", "b"),
        ("{{ if 0 }}a{{ else if 0 }}b{{ else if 0 }}c{{ else }}d{{ end }}", "d"),
        ("{{ with .Values.nope }}a{{ else }}{{ .Run.ID }}{{ end }}", "r1"),
        ("{{ range list 1 2 3 4 }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}", "12"),
        ("{{ range list 1 2 3 }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "13"),
        ("{{ range list 1 2 }}{{ range list 3 4 }}{{ break }}{{ end }}{{ . }}{{ end }}", "12"),
        ("{{ range 0 }}x{{ else }}none{{ end }}{{ range -2 }}x{{ else }}none{{ end }}", "nonenone"),
        ("{{ range add 1 1 }}{{ . }}{{ end }}", "01"),
        ("{{ range $k, $v := .Values.m }}{{ $k }};{{ end }}", "1;k;"),
        ("{{ range default nil nil }}x{{ else }}e{{ end }}", "e"),
        # Templates
        ('{{ define "t" }}{{ $ }}{{ . }}{{ end }}{{ template "t" 7 }}', "77"),
        ('{{ template "t" . }}{{ define "t" }}{{ .Run.ID }}{{ end }}', "r1"),
        ('{{ define "t" }}a{{ end }}{{ define "t" }} {{ end }}{{ template "t" }}', "a"),
        ('{{ define "t" }}[{{ .x }}{{ .x.y }}]{{ end }}{{ template "t" }}', "[]"),
        ('{{ define "f" }}{{ if . }}{{ . }}{{ template "f" (sub . 1 | int) }}{{ end }}{{ end }}{{ template "f" 3 }}', "321"),
        ('{{ block "b" 1 }}{{ . }}{{ end }}{{ template "b" 2 }}', "12"),
        # Calls
        ('{{ "b" | printf "%s%s" "a" }}', "ab"),
        ("{{ (1) }}{{ (add 1 (mul 2 3)) }}", "17"),
        ('{{ len (print "ab" "c") }}', "3"),
        ("{{ .Values.name | len | add 1 }}", "7"),
        ('{{ "x" | }}', "x"),
        ("{{ and }}", None),
        ("{{ 1 | and 0 }}{{ 1 | or 0 }}{{ and 1 nil }}", "01"),
        ("{{ or nil 0 }}{{ and true .Values.name }}{{ or (eq 1 2) .Values.name }}", "0widgetwidget"),
        ("{{ and false (fail `never`) }}{{ or 1 (fail `never`) }}", "false1"),
        ("{{ not nil }}{{ not .Values.nope }}{{ not 1 }}", "truetruefalse"),
        ("{{ index .Values.m `k` `deep` }} {{ index .Values.list 1 }} {{ index .Values.m 1 }} {{ index .Values `x` }}", "1 b one "),
        ('{{ index "abc" 1 }}', "98"),
        ('{{ index .Values "list" 0 }}{{ index .Values }}', None),
        ("{{ len nil }}", None),
        # Comparison
        ("{{ eq 1 1 }} {{ eq 1 2 1 }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt 2 1 }} {{ ge 1 2 }}", "true true true true true true false"),
        ("{{ eq (add 1 1) 2 }} {{ lt 1 (add 1 1) }}", "true true"),
        ('{{ lt "a" "b" }} {{ eq "a" "a" }} {{ eq true true }} {{ eq 1.5 1.5 }}', "true true true true"),
        ('{{ eq nil nil }} {{ eq .Values.nope "a" }} {{ eq "a" .Values.nope }} {{ ne .Values.nul nil }}', "true false false false"),
        ("{{ eq (list) nil }} {{ eq (rest (list)) nil }}", "false true"),
        ("{{ eq (index `a` 0) 97 }}", "true"),
        # What looks odd and is right
        ("{{`{{`}} {{`}}`}}", "{{ }}"),
        ('{{ print "}}" }}', "}}"),
        ("{{ .Values.name }}{{ .Values.nul }}{{ .nope }}", "widget"),
        ("}} { {", "}} { {"),
        ("{{ $ := 5 }}{{ $ }}", "5"),
        ("{{ . | len }}", "2"),
        ("{{ now.Year }}", None),
    ],
)  # fmt: skip
def test_templates_mean_what_they_mean_in_go(template: str, expected: str | None) -> None:
    if expected is not None:
        assert _text(template) == expected


@pytest.mark.parametrize(
    ("template", "offset"),
    [
        ("{{", 0),
        ("ab{{ 1", 2),
        ("{{ 1 }", 0),
        ("{{ (1 }}", 6),
        ("{{ 1) }}", 4),
        ("{{ () }}", 4),
        ("{{ | upper }}", 3),
        ("{{ upper || lower }}", 10),
        ('{{ "a }}', 3),
        ("{{ `a }}", 3),
        ("{{ 'ab' }}", 3),
        ("{{ '' }}", 3),
        ('{{ "\\q" }}', 3),
        ('{{ "\\u12" }}', 3),
        ("{{ 1a }}", 3),
        ("{{ 089 }}", 3),
        ("{{ 99999999999999999999 }}", 3),
        ("{{ 18446744073709551615 }}", 3),
        ("{{ 1__0 }}", 3),
        ("{{ .a-b }}", 5),
        ("{{ a.b }}", 3),
        ("{{ nil }}", 3),
        ("{{ nil.x }}", 3),
        ('{{ "a".x }}', 3),
        ("{{ 1.x }}", 3),
        ("{{ $x }}", 3),
        ("{{ $x := $x }}", 9),
        ("{{ $x:=1 }}{{ $x+1 }}", 16),
        ("{{ $a, $b := 1 }}", 3),
        ("{{ range $a, $b, $c := . }}{{ end }}", 13),
        ("{{ range $a, 1 := . }}{{ end }}", 9),
        ("{{ if true }}", 0),
        ("{{ if }}{{ end }}", 6),
        ("{{ end }}", 0),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", 20),
        ("{{ range 1 }}{{ else if 1 }}{{ end }}", 21),
        ("{{ if 1 }}{{ else with 1 }}{{ end }}", 18),
        ("{{ range 1 }}{{ else }}{{ break }}{{ end }}", 23),
        ("{{ continue }}", 0),
        ("{{ break 1 }}", 9),
        ('{{ range 1 }}{{ block "b" . }}{{ break }}{{ end }}{{ end }}', 30),
        ("{{ end 1 }}", 7),
        ("{{ define x }}{{ end }}", 10),
        ('{{ define "x" . }}{{ end }}', 14),
        ('{{ define "x" }}', 0),
        ('{{ define "x" }}{{ else }}{{ end }}', 16),
        ('{{ define "x" }}a{{ end }}{{ define "x" }}b{{ end }}', 26),
        ('{{ block "x" }}{{ end }}', 13),
        ("{{ template x }}", 12),
        ("{{ template }}", 12),
        ("{{ /* a */ }}", 3),
        ("{{/* a */ }}", 7),
        ("{{- /* a */}", 9),
        ("{{ 1 | 2 }}", 7),
        ('{{ "a" | .Values.name }}', 9),
        ("{{ 1 | nil }}", 7),
        ("{{ 1 2 }}", 3),
        ("{{ true 1 }}", 3),
        ("{{ upper | lower }}", 3),
        ("{{ \"a\"\"b\" }}", 6),
        ("{{ $x 1 }}", 3),
        ("{{ é }}", 3),
        ("{{ # }}", 3),
        ("{{ \x00 }}", 3),
        ("{{ x := 1 }}", 3),
        ("{{ = 1 }}", 3),
        ("{{ , }}", 3),
        ("{{{ 1 }}}", 2),
    ],
)  # fmt: skip
def test_what_is_no_template_is_refused_at_its_place(template: str, offset: int) -> None:
    with pytest.raises(TemplateError) as caught:
        _text(template)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "action",
    [
        ".Values.nope.x", ".Values.name.x", ".Values.n.x", ".Values.list.x", ".Values.nul.x", '.Run.ID "x"', ".Run 1",
        '"a" | (upper)', "eq 1", 'eq 1 "1"', "eq 1 1.0", "eq true 1", "eq (list) (list)", "eq (dict) (list)",
        "eq (dict) (dict)", "eq (list) 1", "lt nil 1", "lt true false", "lt 1 1.5", 'lt 1 "a"', "lt (list) (list)",
        "len 1", "len nil", "len true", "index", "index nil 1", 'index .Values.list "a"',
        "index .Values.list 2", "index .Values.list -1", "index .Values.list nil", "index .Values 1", "index 1 2",
        "index .Values.list 0 0 0", 'index "abc" 3', "call", "call nil", "call 1", "and", "or", "not", "not 1 2",
        "printf", "printf 1", "upper", "upper 1", "upper nil", "upper .Values.nope", ".Values.nope | upper",
        "upper .Values.n", 'upper "a" "b"', 'repeat "a" 2', 'repeat 1.5 "a"', 'repeat -1 "a"', 'repeat (int64 2) "a"',
        'repeat true "a"', "until (add 1 2)", "until 1.5", 'until "3"', "ternary 1 2 3", "ternary 1 2",
        "ternary 1 2 nil", 'set nil "a" 1', 'set (split "," "a") "a" 1', 'hasKey (list) "a"', "hasKey .Values.nope `a`",
        "hasKey 1 `a`", 'htmlDateInZone "x"', 'date_modify "1h" "x"', 'date_modify "1h" nil', "unixEpoch 5",
        "round 1.5", "fail", "genCA 1 2", 'derivePassword -1 "long" "a" "b" "c"', "semver 1", "nope", "get . `a`",
        "toYaml .", "fromJson `1`", "seq 1", "durationRound 1", "htpasswd `a` `b`", "dig `a` .", "mustToJson 1",
        "first nil", 'first "abc"', "last 1", "rest nil", "initial (dict)", "append nil 1", 'prepend "a" 1',
        "reverse 1", 'uniq "a"', "compact nil", "without nil 1", 'has 1 "a"', "slice nil", 'slice "abc" 1',
        "slice (list 1 2) 2 1", "slice (list 1 2) -1", "concat 1", "concat nil", "div 1 0", "mod 1 `x`",
        'substr 5 6 "abc"', 'substr -1 9 "abc"', 'substr -1 -1 "abc"', 'substr 2 1 "abc"', 'trunc -1 "abc"',
        'indent -1 "a"', 'regexFind "(" "a"', 'regexFindAll "(" "a" -1', 'regexReplaceAll "[" "a" "b"',
        'regexSplit "a{2,1}" "a" -1', 'regexReplaceAllLiteral "(?=a)" "a" "b"', "range 1.5", 'semverCompare "a" "1.2.3"',
        'semverCompare ">1" "x"', 'semver ""', 'urlParse ":x"', 'urlParse "http://[::1"', 'urlParse "http://a:b/"',
        'urlParse "%zz"', 'urlJoin (dict "host" 1)', 'fail "x"', 'template "nope"', "12345678901234567890",
        "$.Run.ID.x", '(dict "a" 1).a.b', "(1).x", "now.Nope", "now.Year 1", "(now).Format", '(semver "1.2.3").Nope',
        'getHostByName "example.com"', "wrap `a` `b`", "add1", "sub 1", "max", "quote 1 | repeat", "splitn `,` `a` `b`",
    ],
)  # fmt: skip
def test_what_go_refuses_is_refused(action: str) -> None:
    with pytest.raises(TemplateError) as caught:
        _text("{{ " + action + " }}")
    assert caught.value.message
    assert 0 <= caught.value.offset <= len(action) + 6


def test_an_unknown_function_comes_with_a_proposal() -> None:
    with pytest.raises(TemplateError) as caught:
        _text("{{ uper .Run.ID }}")
    assert caught.value.kind == "parse"
    assert "upper" in (caught.value.hint or "")


def test_a_value_that_is_not_set_is_named_in_the_error() -> None:
    with pytest.raises(TemplateError) as caught:
        _text("{{ .Values.nope.deeper }}")
    assert caught.value.kind == "execute"
    assert ".Values.nope is not set" in caught.value.message


def test_templates_do_not_change_the_callers_data() -> None:
    data = {"Values": {"a": 1, "m": {"x": 1}}}
    render('{{ $_ := set .Values "b" 2 }}{{ $_ := set .Values.m "y" 2 }}', data)
    assert data == {"Values": {"a": 1, "m": {"x": 1}}}


@pytest.mark.parametrize(
    "action", ["range .s }}{{ end", "call .s", "eq (list .s) (list .s)", "upper (list .s)", "len (semver .s)"]
)
def test_errors_name_types_and_not_values_which_may_be_secret(action: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render("{{ " + action + " }}", {"s": "hunter2"})
    assert "hunter2" not in caught.value.message + (caught.value.hint or "")
