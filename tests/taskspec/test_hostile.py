"""Files that mean harm are refused soon and with little memory. The limits here are generous: machines differ."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taskengine.errors import InvalidTask
from taskengine.taskspec.inputs import Inputs, RunFacts
from taskengine.taskspec.load import load_task

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(12)
)
HOSTILE = {
    "bomb": BOMB,
    "bomb in steps": "x: &x [" + "a," * 5000 + "]\nsteps:\n" + "  - {cmd: y, env: *x}\n" * 5000,
    "merge bomb": "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)),
    "deep flow": "[" * 100_000,
    "deep braces": "{a: " * 100_000,
    "deep block": "".join(" " * i + "a:\n" for i in range(2000)),
    "deep list": "- " * 100_000,
    "fifty megabytes": "steps: []\n#" + "x" * 50_000_000,
    "fifty megabytes of bytes": b"\x00\x01\x02\x03" * 12_500_000,
    "many values": "- a\n" * 2_000_000,
    "many keys": "".join(f"k{i}: v\n" for i in range(500_000)),
    "many anchors": "".join(f"k{i}: &k{i} v\n" for i in range(300_000)),
    "endless template": 'steps: []\n{{ define "t" }}{{ template "t" }}{{ end }}{{ template "t" }}',
    "loop in loop": "{{ range until 100000 }}{{ range until 100000 }}x{{ end }}{{ end }}",
    "loops over text": '{{ range $i := until 100000 }}{{ repeat 100000 "x" }}{{ end }}',
    "long number": "steps:\n  - cmd: x\n    timeout: " + "9" * 1_000_000,
    "long quote": "steps:\n  - cmd: '" + "''" * 1_000_000,
    "quotes in cmd": "steps:\n  - cmd: |\n      x " + "'\"" * 1_000_000,
    "alias storm": "version: v1.1.0\nalias:\n  values: {a: '" + "x" * 10_000 + "'}\nsteps: [{cmd: x " + "$a" * 100_000,
    "dollars": "version: v1.1.0\nx: " + "$" * 4_000_000,
    "wrong names": "steps:\n  - cmd: x\n" + "".join(f"    prop{i}x: y\n" for i in range(20_000)),
    "wrong needs": "steps:\n" + "".join(f"  - {{id: s{i}, cmd: x, when: [nope{i}]}}\n" for i in range(5000)),
}


def measure(text: str | bytes) -> tuple[str, float]:
    begin = time.process_time()
    try:
        load_task(text, file="t.yaml", inputs=Inputs(facts=RunFacts(id="r")))
        outcome = "accepted"
    except InvalidTask:
        outcome = "refused"
    return outcome, time.process_time() - begin


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_soon(name: str) -> None:
    outcome, seconds = measure(HOSTILE[name])
    assert outcome == ("accepted" if name == "wrong names" else "refused")  # unknown names are warnings
    assert seconds < 3


@pytest.mark.parametrize("name", ["bomb", "bomb in steps", "many values", "alias storm", "loops over text"])
def test_hostile_text_is_refused_with_little_memory(name: str) -> None:
    code = (
        "import resource, sys\n"
        "from tests.taskspec.test_hostile import HOSTILE, measure\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"measure(HOSTILE[{name!r}])\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(answer.stdout) < 200


WORDS = st.sampled_from(
    [
        "version: v1.1.0\n", "steps:\n", "  - cmd: x\n", "    when: [a]\n", "  - id: a\n", "    build: -t a .\n",
        "alias:\n", "  values: {a: b}\n", "secrets:\n", "  - id: s\n", "    keyvault: https://v\n", "$a", "$$",
        "{{ .Run.ID }}", "{{ .Values.x }}", "{{ if", "}}", "'", '"', "\\", ": ", "- ", "&a", "*a", "<<: *a\n", "|\n",
        ">\n", "#", "\t", "\n", " ", "[", "]", "{", "}", "---\n", "env: [A=1]\n", "volumes:\n", "networks:\n", "!!int",
        "~", "\r\n", "\ufeff", "é", "\x85", "\u2028", "0x", "1e3", "%",
    ]
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=25).map("".join), st.binary(max_size=80)))
@example("version: v1.1.0\nalias: {values: {? [a] : b}}\n")
@example("? a\n: b\n")
@example("\ud800")
@example("a: !!binary x\nsteps: !!binary [x]\n")
@example("<<: 1\n")
@example("steps: [{<<: [1, {cmd: x}]}]\n")
@example('"\\ud800": x\n')
def test_any_text_is_understood_or_refused_and_nothing_else(text: str | bytes) -> None:
    try:
        loaded = load_task(text, file="t.yaml", inputs=Inputs())
    except InvalidTask as invalid:
        found = [(problem.code, problem.message) for problem in invalid.problems]
    else:
        found = [(step.id, step.type.value) for step in loaded.plan.steps] or [("empty", "task")]
    assert found
    assert all(first and second for first, second in found)
