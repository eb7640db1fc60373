"""Logs over the API: as text, by step, followed through broken connections, by hundreds at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from anyio import CapacityLimiter

from taskengine.service.api.logs import follow_run
from taskengine.service.caller import Caller
from taskengine.service.model import Role
from tests.service.api.support import TEXT, Api, Hand, begun, ended, said

ADMIN = Caller(id="x", name="admin", role=Role.ADMIN)


class Carried:
    """A run in a worker's hands."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.run = api.developer.post("/runs", {"text": TEXT}).json()["runId"]
        self.hand = Hand(api)
        leased = self.hand.lease()
        assert leased is not None
        self.epoch = leased["epoch"]
        self.size = 0

    def send(self, data: bytes) -> None:
        answer = self.hand.append(self.run, self.epoch, self.size, data)
        assert answer.status_code == 204, answer.text
        self.size += len(data)


def events(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, id and data of each event of a stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in lines:
            found.append((lines["event"], lines["id"], json.loads(lines["data"])))
    return found


def full(api: Api) -> Carried:
    carried = Carried(api)
    carried.send(begun(api, carried.run, "one", "two"))
    carried.send(said(api, "one", b"first\n") + said(api, "two", b"second\n", 2))
    carried.send(said(api, "one", b"\xff\xfe"))
    carried.send(ended(api, carried.run))
    return carried


def test_the_text_is_every_steps_output_as_it_came_or_one_steps(api: Api) -> None:
    run = full(api).run
    whole = api.reader.get(f"/runs/{run}/logs")
    assert whole.content == b"first\nsecond\n\xff\xfe"
    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert api.reader.get(f"/runs/{run}/logs?step=one").content == b"first\n\xff\xfe"
    assert api.reader.get(f"/runs/{run}/logs?step=none").content == b""


def test_a_run_that_waits_has_an_empty_log(api: Api) -> None:
    run = api.developer.post("/runs", {"text": TEXT}).json()["runId"]
    assert api.reader.get(f"/runs/{run}/logs").content == b""


def test_following_tells_everything_and_the_run_in_the_end(api: Api) -> None:
    carried = full(api)
    found = events(api.reader.get(f"/runs/{carried.run}/logs?follow=true").text)
    assert [name for name, _, _ in found] == ["run", "log", "log", "log", "run", "end"]
    assert found[1][2]["text"] == "first\n"
    assert (found[2][2]["step"], found[2][2]["stream"]) == ("two", "stderr")
    assert found[3][2]["base64"] == "//4="
    assert found[-1][2]["status"] == "Succeeded"
    assert found[-1][1] == f"1:{carried.size}"


def test_following_resumes_behind_the_last_event_that_arrived(api: Api) -> None:
    run = full(api).run
    whole = events(api.reader.get(f"/runs/{run}/logs?follow=true").text)
    for n, (_, identity, _) in enumerate(whole[:-1]):
        rest = api.reader.get(f"/runs/{run}/logs?follow=true", headers={"Last-Event-ID": identity}).text
        assert events(rest) == whole[n + 1 :]


def test_an_id_that_was_never_sent_is_refused(api: Api) -> None:
    run = full(api).run
    answer = api.reader.get(f"/runs/{run}/logs?follow=true", headers={"Last-Event-ID": "nonsense"})
    assert answer.status_code == 422


def test_one_steps_output_is_followed_with_all_events(api: Api) -> None:
    run = full(api).run
    found = events(api.reader.get(f"/runs/{run}/logs?follow=true&step=two").text)
    assert [data["step"] for name, _, data in found if name == "log"] == ["two"]


def test_a_canceled_run_that_never_began_ends_at_once(api: Api) -> None:
    run = api.developer.post("/runs", {"text": TEXT}).json()["runId"]
    api.developer.post(f"/runs/{run}/cancel")
    found = events(api.reader.get(f"/runs/{run}/logs?follow=true").text)
    assert [(name, data["status"]) for name, _, data in found] == [("end", "Canceled")]


def test_hundreds_of_followers_cost_no_thread_each_and_miss_nothing(api: Api) -> None:
    carried = Carried(api)
    services = api.services

    async def follower(limiter: CapacityLimiter, ready: asyncio.Semaphore) -> str:
        got = []
        async for block in follow_run(services, ADMIN, carried.run, (1, 0), step=None, limiter=limiter):
            if not got:
                ready.release()
            got.append(block.decode())
        return "".join(got)

    async def all_of_them() -> list[str]:
        limiter, ready = CapacityLimiter(8), asyncio.Semaphore(0)
        tasks = [asyncio.create_task(follower(limiter, ready)) for _ in range(200)]
        for _ in tasks:
            await ready.acquire()
        for piece in (begun(api, carried.run, "one"), said(api, "one", b"hello\n"), ended(api, carried.run)):
            await asyncio.to_thread(carried.send, piece)
        return await asyncio.gather(*tasks)

    found = {tuple(name for name, _, _ in events(text)) for text in asyncio.run(all_of_them())}
    assert found == {("run", "log", "run", "end")}


def test_a_follower_hears_that_the_line_is_alive(api: Api) -> None:
    carried = Carried(api)

    async def first_beat() -> bytes:
        limiter = CapacityLimiter(1)
        stream = follow_run(api.services, ADMIN, carried.run, (1, 0), step=None, limiter=limiter, heartbeat=0.01)
        await anext(stream)
        beat = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        return beat

    assert asyncio.run(first_beat()) == b": still here\n\n"
