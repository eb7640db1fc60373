"""Outgoing webhooks: signed, tried again, given up, replayed; and never sent into the service's own network."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from taskengine.ambient import Ambient
from taskengine.errors import InvalidInput
from taskengine.service import outgoing
from taskengine.service.delivery import SIGNATURE, check_address, deliver_due, send, sign
from taskengine.service.settings import ServerSettings
from taskengine.service.store import hooks
from tests.service.api.support import TEXT, Api


class Receiver:
    """Takes what is posted; answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers), body))
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", "http://169.254.169.254/")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook?x=1"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def api(tmp_path, request) -> Iterator[Api]:  # type: ignore[no-untyped-def]
    made = Api(tmp_path, ServerSettings(hooks_to_private_addresses=True))
    yield made
    made.close()


def later(api: Api, seconds: float) -> None:
    real = api.services.ambient
    moment = real.now() + timedelta(seconds=seconds)
    api.services.ambient = Ambient(now=lambda: moment, monotonic=real.monotonic, new_id=real.new_id)


def test_a_change_is_told_as_a_signed_cloud_event(api: Api, receiver: Receiver) -> None:
    made = api.operator.post("/hooks", {"url": receiver.url, "events": ["run.queued"]}).json()
    run = api.developer.post("/runs", {"text": TEXT}).json()["runId"]
    assert deliver_due(api.services) == 1
    headers, body = receiver.got[0]
    event = json.loads(body)
    assert (event["specversion"], event["type"], event["subject"]) == ("1.0", "acr-task.run.queued", f"runs/{run}")
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert headers[SIGNATURE] == sign(made["secret"], body)
    assert "secret" not in api.operator.get(f"/hooks/{made['id']}").json()
    (delivery,) = api.operator.get(f"/hooks/{made['id']}/deliveries").json()["value"]
    assert (delivery["state"], delivery["status"], delivery["attempts"]) == ("delivered", 200, 1)
    assert deliver_due(api.services) == 0


def test_what_fails_is_tried_again_given_up_and_replayed(api: Api, receiver: Receiver) -> None:
    hook = api.operator.post("/hooks", {"url": receiver.url, "events": ["run.queued"]}).json()["id"]
    api.developer.post("/runs", {"text": TEXT})
    receiver.status = 500
    for _ in range(len(hooks.PAUSES) + 1):
        assert deliver_due(api.services) == 1
        assert deliver_due(api.services) == 0
        later(api, 13 * 3600)
    (dead,) = api.operator.get(f"/hooks/{hook}/deliveries?state=dead").json()["value"]
    assert (dead["status"], dead["error"]) == (500, "the answer was 500")
    receiver.status = 204
    api.operator.post(f"/hooks/{hook}/deliveries/{dead['number']}/replay")
    assert deliver_due(api.services) == 1
    assert api.operator.get(f"/hooks/{hook}/deliveries").json()["value"][0]["state"] == "delivered"


def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "look_up", lambda _: ["127.0.0.2", "127.0.0.1"])  # it listens on the second alone
    assert send(receiver.url, "s", {"id": "1"}, private=True) == 200
    monkeypatch.setattr(outgoing, "look_up", lambda _: ["127.0.0.1", "127.0.0.2"])
    assert send(receiver.url, "s", {"id": "2"}, private=True) == 200
    monkeypatch.setattr(outgoing, "look_up", lambda _: ["127.0.0.2"])
    with pytest.raises(ConnectionRefusedError):
        send(receiver.url, "s", {"id": "3"}, private=True)


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.status = 302
    assert send(receiver.url, "x", {}, private=True) == 302
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost:9000/x", "http://[::1]/", "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/", "http://192.168.1.1/", "http://[::ffff:127.0.0.1]/", "http://0/", "http://2130706433/",
        "http://[fe80::1]/", "http://100.100.100.200/", "http://0x7f.1/",
    ],
)  # fmt: skip
def test_an_address_of_the_services_own_network_is_refused_unless_allowed(url: str) -> None:
    with pytest.raises(InvalidInput, match="of this machine or its network"):
        check_address(url, private=False)
    check_address(url, private=True)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://", "http://a:b@example.com/", "http://x:99999/", "nonsense"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_address(url, private=True)


def test_a_name_is_judged_again_when_it_is_sent_to(api: Api, receiver: Receiver) -> None:
    hook = api.operator.post("/hooks", {"url": receiver.url, "events": ["run.queued"]}).json()["id"]
    api.services.settings = replace(api.services.settings, hooks_to_private_addresses=False)
    api.developer.post("/runs", {"text": TEXT})
    deliver_due(api.services)
    assert receiver.got == []
    (delivery,) = api.operator.get(f"/hooks/{hook}/deliveries").json()["value"]
    assert "of this machine or its network" in delivery["error"]


def test_hooks_are_changed_and_removed(api: Api, receiver: Receiver) -> None:
    hook = api.operator.post("/hooks", {"url": receiver.url, "secret": "a secret of my own"}).json()
    assert "secret" not in hook
    changed = api.operator.patch(f"/hooks/{hook['id']}", {"enabled": False, "tasks": ["app-*"]}).json()
    assert (changed["enabled"], changed["tasks"]) == (False, ["app-*"])
    assert api.operator.delete(f"/hooks/{hook['id']}").status_code == 204
    assert api.operator.get(f"/hooks/{hook['id']}").status_code == 404
