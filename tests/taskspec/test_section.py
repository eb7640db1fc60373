"""A task file before it can be parsed: version and sections by their lines."""

from __future__ import annotations

import pytest

from taskengine.taskspec.section import content_lines, find_version, flow_section, section_lines


@pytest.mark.parametrize(
    ("text", "version", "aliases"),
    [
        ("version: v1.1.0\n", "v1.1.0", True),
        ("version: V1.1.0\n", "V1.1.0", True),
        ("version: 'v1.1.0'\n", "v1.1.0", True),
        ('version: "v1.1.0" # c\n', "v1.1.0", True),
        ("version: v1.1.0 # pinned\n", "v1.1.0", True),
        ("version: v1.0.0 # not v1.1.0\n", "v1.0.0", False),
        ("version : v1.1.0\n", "v1.1.0", True),
        ('"version": v1.1.0\n', "v1.1.0", True),
        ("version: !!str v1.1.0\n", "v1.1.0", True),
        ("version: &v v1.1.0\n", "v1.1.0", True),
        ("version:\n  v1.1.0\nsteps: []\n", "v1.1.0", True),
        ("version: v1.1.0\r\nsteps: []\r\n", "v1.1.0", True),
        ("# c\n\nsteps: []\nversion: v1.1.0", "v1.1.0", True),
        ("---\nversion: v1.1.0\n", "v1.1.0", True),
        ("%YAML 1.1\n---\nversion: v1.1.0\n", "v1.1.0", True),
        ("steps: []\n---\nversion: v1.1.0\n", None, False),
        ("version: v1.0.0\nversion: v1.1.0\n", "v1.1.0", True),
        ("a:\n  version: v1.1.0\n", None, False),
        ("versions: v1.1.0\n", None, False),
        ("version:\nsteps: []\n", None, False),
        ("version: {{ .Values.v }}\n", "{{ .Values.v }}", False),
        ("version: '{{ .Values.v }}'\n", "{{ .Values.v }}", False),
        ('{"version": "v1.1.0", "steps": []}', "v1.1.0", True),
        ("\n# c\n{version: v1.1.0,\n steps: []}", "v1.1.0", True),
        ('{"steps": [{"version": "v1.1.0"}]}', None, False),
        ("{{ if true }}\nversion: v1.1.0\n{{ end }}\n", "v1.1.0", True),
        ("", None, False),
        ("{", None, False),
    ],
)
def test_the_version_is_found_before_anything_is_rendered(text: str, version: str | None, aliases: bool) -> None:
    found = find_version(text)
    assert (found.text if found else None) == version
    assert (found.aliases if found else False) is aliases


def test_lines_that_begin_with_a_number_sign_are_no_content() -> None:
    assert content_lines("a\n# b\n  # c\nd # e\r\nf") == [(0, "a"), (12, "d # e"), (19, "f")]


def test_a_section_is_all_its_lines_each_time_it_occurs() -> None:
    lines = content_lines("a: 1\nalias:\n  x: y\n\n  z: w\nb: 2\n'alias' : {}\nc: 3\n")
    section, rest = section_lines(lines, "alias")
    assert [line for _, line in section] == ["alias:", "  x: y", "", "  z: w", "'alias' : {}"]
    assert [line for _, line in rest] == ["a: 1", "b: 2", "c: 3"]


def test_a_section_in_braces_is_found_by_yaml() -> None:
    text = '{"version": "v1.1.0", "alias": {"values": {"a": "b"}}, "steps": []}'
    found = flow_section(text, "alias")
    assert found is not None
    value, cut = found
    assert text[value.start : value.end] == '{"values": {"a": "b"}}'
    assert text[: cut.start] + text[cut.end :] == '{"version": "v1.1.0", "steps": []}'
    assert flow_section(text, "secrets") is None
    assert flow_section("{", "alias") is None
