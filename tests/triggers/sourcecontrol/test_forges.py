"""Each forge's deliveries, shaped as its documentation has them, become the same kind of event, or a reason."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.errors import InvalidInput
from triggers.sourcecontrol import FORGES, forge
from triggers.sourcecontrol.generic import Generic
from triggers.sourcecontrol.model import Forge, Ignored, SourceEvent

PAYLOADS = sorted((Path(__file__).parent / "payloads").glob("*.json"))
SAMPLES = {path.stem: json.loads(path.read_text()) for path in PAYLOADS}


def forge_of(name: str) -> Forge:
    found = forge(name.partition("-")[0])
    assert found is not None
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_a_delivery_is_read_as_its_forge_documents_it(name: str) -> None:
    sample = SAMPLES[name]
    expected = dict(sample["expected"])
    parsed = forge_of(name).parse(sample["headers"], json.dumps(sample["body"]).encode())
    if "ignored" in expected:
        assert parsed == Ignored(reason=expected["ignored"])
        return
    assert isinstance(parsed, tuple)
    assert len(parsed) == expected.pop("count", 1)
    event = parsed[0]
    found = {key: getattr(event, key) for key in expected}
    found |= {"kind": event.kind.value}
    found |= {key: list(value) for key, value in found.items() if isinstance(value, tuple)}
    assert found == expected
    assert event.repositories


def signed(name: str, body: bytes, secret: str) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    basic = base64.b64encode(f"hook:{secret}".encode()).decode()
    return {
        "github": {"x-hub-signature-256": f"sha256={digest}"},
        "gitlab": {"x-gitlab-token": secret},
        "gitea": {"x-gitea-signature": digest},
        "bitbucket": {"x-hub-signature": f"sha256={digest}"},
        "azuredevops": {"authorization": f"Basic {basic}"},
        "generic": {"x-acr-task-signature": f"sha256={digest}"},
    }[name]


@pytest.mark.parametrize("name", FORGES)
def test_only_who_knows_the_secret_is_believed(name: str) -> None:
    found = forge_of(name)
    body = b'{"ref": "refs/heads/main"}'
    assert found.verify(signed(name, body, "s3cret"), body, "s3cret")
    assert not found.verify(signed(name, body, "other"), body, "s3cret")
    assert not found.verify({}, body, "s3cret")
    assert not found.verify(signed(name, body, ""), body, "")  # a task without a secret believes nobody


@pytest.mark.parametrize("name", ["github", "gitea", "bitbucket", "generic"])
def test_a_changed_body_breaks_its_signature(name: str) -> None:
    assert not forge_of(name).verify(signed(name, b"{}", "s3cret"), b"{ }", "s3cret")


@pytest.mark.parametrize("secret", ["s3cret", "whsec_" + base64.b64encode(b"0123456789").decode()])
def test_gitlab_may_sign_id_moment_and_body(secret: str) -> None:
    gitlab, body = forge_of("gitlab"), b"{}"
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    made = base64.b64encode(hmac.new(key, b"msg_1.1700000000." + body, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": f"v1,AAAA v1,{made}"}
    assert gitlab.verify(headers, body, secret)
    assert gitlab.signed_at(headers) == 1_700_000_000
    assert not gitlab.verify(headers | {"webhook-timestamp": "1800000000"}, body, secret)
    assert not gitlab.verify(headers, b"{ }", secret)
    assert gitlab.signed_at(headers | {"webhook-timestamp": "soon"}) == 0
    assert gitlab.signed_at({"x-gitlab-token": secret}) is None


def test_github_may_send_its_body_in_a_form() -> None:
    sample = SAMPLES["github-push"]
    headers = sample["headers"] | {"content-type": "application/x-www-form-urlencoded"}
    body = urlencode({"payload": json.dumps(sample["body"])}).encode()
    plain = json.dumps(sample["body"]).encode()
    assert forge_of("github").parse(headers, body) == forge_of("github").parse(sample["headers"], plain)


def test_a_mapping_says_where_a_generic_body_has_what() -> None:
    mapped = Generic({"ref": "change.0.to", "commit": "change.0.sha", "repository": "repo.url"})
    body = {"change": [{"to": "refs/tags/v2", "sha": "A" * 40}], "repo": {"url": "https://git.example.com/a"}}
    (event,) = mapped.parse({}, json.dumps(body).encode())
    assert isinstance(event, SourceEvent)
    assert (event.tag, event.commit, event.repositories) == ("v2", "a" * 40, ("https://git.example.com/a",))
    with pytest.raises(InvalidInput, match="a mapping has no 'branchh'"):
        Generic({"branchh": "x"})


def test_an_unknown_forge_is_none() -> None:
    assert forge("sourceforge") is None


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def replaced(data: st.DataObject, found: Any) -> Any:
    """The same document with one value, anywhere in it, exchanged for anything."""
    if isinstance(found, dict) and found and data.draw(st.integers(0, 9)):
        key = data.draw(st.sampled_from(sorted(found)))
        return found | {key: replaced(data, found[key])}
    if isinstance(found, list) and found and data.draw(st.integers(0, 9)):
        at = data.draw(st.integers(0, len(found) - 1))
        return [*found[:at], replaced(data, found[at]), *found[at + 1 :]]
    return data.draw(JSON)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from(sorted(SAMPLES)))
def test_a_strange_body_is_invalid_input_and_nothing_else(data: st.DataObject, name: str) -> None:
    sample = SAMPLES[name]
    body = replaced(data, replaced(data, sample["body"]))
    try:
        parsed = forge_of(name).parse(sample["headers"], json.dumps(body).encode())
    except InvalidInput:
        return
    assert isinstance(parsed, Ignored | tuple)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(SAMPLES)), st.booleans())
def test_bytes_that_are_no_json_are_invalid_input(body: bytes, name: str, form: bool) -> None:
    headers = SAMPLES[name]["headers"] | ({"content-type": "application/x-www-form-urlencoded"} if form else {})
    with contextlib.suppress(InvalidInput):
        forge_of(name).parse(headers, body)
    assert not forge_of(name).verify(headers | {"authorization": body.decode("latin-1")}, body, "s3cret")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"\xff\xfe", b"null"])
def test_hostile_json_is_invalid_input(body: bytes) -> None:
    for name in FORGES:
        with contextlib.suppress(InvalidInput):
            assert isinstance(forge_of(name).parse({"x-github-event": "push"}, body), Ignored)
