"""Uploads over the API: in pieces, resumed, checked before a run can name them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from taskengine.service.model import Role
from taskengine.service.settings import ServerSettings
from tests.service.api.support import TEXT, Api, Hand

DATA = bytes(range(256)) * 100


def announced(api: Api, data: bytes = DATA, **more: Any) -> str:
    body = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}
    answer = api.developer.post("/uploads", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def sent(api: Api, upload: str, data: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.developer.call("PUT", f"/uploads/{upload}", content=data, headers=named)


def test_an_upload_goes_up_in_pieces_and_becomes_a_runs_context(api: Api) -> None:
    upload = announced(api)
    assert sent(api, upload, DATA[:1000]).json()["received"] == 1000
    answer = sent(api, upload, DATA[1000:], Content_Range=f"bytes 1000-{len(DATA) - 1}/{len(DATA)}")
    assert (answer.status_code, answer.headers["upload-offset"]) == (200, str(len(DATA)))
    assert api.developer.post(f"/uploads/{upload}/commit").json()["state"] == "ready"
    answer = api.developer.post("/runs", {"text": TEXT, "context": f"upload:{upload}"})
    assert answer.status_code == 201, answer.text
    hand = Hand(api)
    leased = hand.lease()
    assert leased is not None
    path = f"/workers/{hand.id}/runs/{leased['run']}/context"
    assert api.worker.get(f"{path}?epoch={leased['epoch']}").content == DATA
    assert api.worker.get(f"{path}?epoch=99").status_code == 410


def test_a_piece_for_another_place_is_told_where_to_go_on(api: Api) -> None:
    upload = announced(api)
    sent(api, upload, DATA[:1000])
    answer = sent(api, upload, DATA[500:], Upload_Offset="500")
    assert (answer.status_code, answer.headers["upload-offset"]) == (409, "1000")
    assert api.developer.get(f"/uploads/{upload}").headers["upload-offset"] == "1000"
    assert sent(api, upload, DATA[1000:], Upload_Offset="1000").status_code == 200


def test_a_run_cannot_name_what_was_not_checked(api: Api) -> None:
    upload = announced(api)
    sent(api, upload, DATA)
    answer = api.developer.post("/runs", {"text": TEXT, "context": f"upload:{upload}"})
    assert (answer.status_code, "not complete" in answer.json()["detail"]) == (422, True)


def test_bytes_that_are_not_those_announced_are_refused_and_can_be_sent_anew(api: Api) -> None:
    upload = announced(api)
    sent(api, upload, DATA[::-1])
    answer = api.developer.post(f"/uploads/{upload}/commit")
    assert (answer.status_code, "sha256" in answer.json()["detail"]) == (422, True)
    sent(api, upload, DATA)
    assert api.developer.post(f"/uploads/{upload}/commit").status_code == 200
    assert api.developer.post(f"/uploads/{upload}/commit").status_code == 200


def test_a_half_sent_upload_is_not_committed(api: Api) -> None:
    upload = announced(api)
    sent(api, upload, DATA[:1000])
    assert api.developer.post(f"/uploads/{upload}/commit").status_code == 409


def test_more_than_was_announced_is_refused(api: Api) -> None:
    assert sent(api, announced(api), DATA + b"more").status_code == 422


def test_an_upload_is_its_owners_own(api: Api) -> None:
    upload = announced(api)
    other = api.caller(Role.DEVELOPER, name="other")
    assert other.get(f"/uploads/{upload}").status_code == 404
    assert other.call("PUT", f"/uploads/{upload}", content=b"x").status_code == 404
    assert other.post(f"/uploads/{upload}/commit").status_code == 404


class TestLimits:
    @pytest.fixture
    def settings(self) -> ServerSettings:
        return ServerSettings(largest_upload=1000, largest_chunk=500, largest_body=300)

    def test_an_upload_that_is_too_large_is_refused_before_it_is_sent(self, api: Api) -> None:
        answer = api.developer.post("/uploads", {"size": 1001, "sha256": "a" * 64})
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")

    def test_a_piece_that_is_too_large_is_refused(self, api: Api) -> None:
        upload = announced(api, DATA[:1000])
        answer = sent(api, upload, DATA[:501])
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")

    def test_a_body_that_is_too_large_is_refused_with_or_without_its_length(self, api: Api) -> None:
        body = b'{"text": "' + b"x" * 400 + b'"}'
        headers = {"Content-Type": "application/json"}
        assert api.developer.call("POST", "/runs", content=body, headers=headers).status_code == 413
        pieces = (body[i : i + 50] for i in range(0, len(body), 50))
        answer = api.developer.call("POST", "/runs", content=pieces, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
