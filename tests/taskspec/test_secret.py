"""Secrets are found before the rest is rendered, got, and kept out of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from taskengine.errors import InvalidInput, InvalidTask, Unreachable
from taskengine.secrets.providers import Failure, UnresolvedSecrets
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.load import load_task
from taskengine.taskspec.model import SecretSpec

SECTION = "secrets:\n  - id: token\n    keyvault: https://v/{{ .Values.which }}\n"
STEP = "steps:\n  - cmd: x {{ .Secrets.token | upper }}\n"


class Provider:
    """Answers with the address in capitals, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[SecretSpec] = []

    def __call__(self, specs: Sequence[SecretSpec]) -> Mapping[str, str]:
        self.asked += specs
        return {spec.id: f"value of {spec.keyvault}" for spec in specs}


def test_a_value_that_is_given_is_used_and_nobody_is_asked() -> None:
    provider = Provider()
    inputs = Inputs(secret_values={"token": b"abc"}, resolve_secrets=provider)
    loaded = load_task(SECTION + STEP, file="t", inputs=inputs)
    assert loaded.plan.steps[0].text == "x ABC"
    assert loaded.secrets == {"token": "abc"}
    assert not provider.asked


def test_a_provider_is_asked_with_the_rendered_address() -> None:
    provider = Provider()
    loaded = load_task(SECTION + STEP, file="t", inputs=Inputs(set=("which=one",), resolve_secrets=provider))
    assert [spec.keyvault for spec in provider.asked] == ["https://v/one"]
    assert loaded.secrets["token"] == "value of https://v/one"


@pytest.mark.parametrize(
    "text",
    [
        "{{ if true }}\n" + SECTION + "{{ end }}\n" + STEP,
        "{{ $s := .Values.which }}\nsecrets:\n- id: token\n  keyvault: https://v/{{ $s }}\n" + STEP,
        STEP + SECTION,
        '{"secrets": [{"id": "token", "keyvault": "https://v/{{ .Values.which }}"}], "steps": [{"cmd": "x"}]}',
    ],
)
def test_the_section_is_found_wherever_it_stands(text: str) -> None:
    provider = Provider()
    text = text.replace(" | upper", "")
    load_task(text, file="t", inputs=Inputs(set=("which=one",), resolve_secrets=provider))
    assert [spec.keyvault for spec in provider.asked] == ["https://v/one"]


def test_aliases_count_in_the_section() -> None:
    provider = Provider()
    text = "version: v1.1.0\nalias:\n  values: {v: https://v}\nsecrets:\n  - {id: token, keyvault: $v/x}\n" + STEP
    load_task(text, file="t", inputs=Inputs(resolve_secrets=provider))
    assert [spec.keyvault for spec in provider.asked] == ["https://v/x"]


def test_a_secret_that_nobody_knows_is_the_only_problem() -> None:
    with pytest.raises(InvalidTask) as caught:
        load_task(SECTION + STEP, file="t", inputs=Inputs(resolve_secrets=lambda _: {}))
    assert [problem.code for problem in caught.value.problems] == ["E506"]


def test_what_a_provider_refuses_is_a_problem_of_the_file() -> None:
    def refuse(_: Sequence[SecretSpec]) -> Mapping[str, str]:
        raise InvalidInput("no such secret", hint="look at the name")

    with pytest.raises(InvalidTask) as caught:
        load_task(SECTION + STEP, file="t", inputs=Inputs(resolve_secrets=refuse))
    assert caught.value.problems[0].hint == "look at the name"


def test_a_store_that_cannot_be_reached_is_no_fault_of_the_file() -> None:
    def fail(_: Sequence[SecretSpec]) -> Mapping[str, str]:
        raise Unreachable("the vault does not answer")

    with pytest.raises(Unreachable):
        load_task(SECTION + STEP, file="t", inputs=Inputs(resolve_secrets=fail))


def test_values_of_secrets_are_taken_out_of_messages() -> None:
    text = "steps:\n  - id: a\n    cmd: x\n    when: ['{{ .Values.s }}']\n"
    with pytest.raises(InvalidTask) as caught:
        load_task(text, file="t", inputs=Inputs(set_secret=("s=hunter22",)))
    (problem,) = caught.value.problems
    assert "***" in problem.message
    assert "hunter22" not in repr(problem)


def test_the_values_of_set_secret_are_to_be_masked() -> None:
    assert load_task("steps: []", file="t", inputs=Inputs(set_secret=("a=b=c",))).secrets == {"a": "b=c"}


def test_each_secret_without_a_value_is_reported_at_its_own_line() -> None:
    def fail(specs: Sequence[SecretSpec]) -> dict[str, str]:
        raise UnresolvedSecrets(tuple(Failure(id=s.id, error=InvalidInput(f"no {s.id}", hint="h")) for s in specs))

    text = "version: v1.1.0\nsecrets:\n  - id: token\n    keyvault: env://A\n  - id: b\n    keyvault: env://B\n" + STEP
    with pytest.raises(InvalidTask) as caught:
        load_task(text, file="t", inputs=Inputs(resolve_secrets=fail))
    found = [(p.message, p.hint, p.location.line if p.location else 0) for p in caught.value.problems]
    assert found == [("secret 'token': no token", "h", 4), ("secret 'b': no b", "h", 6)]
