"""What a pipe is told."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from taskengine.cli.view.plain import PlainView, Words
from taskengine.runs.event import StepProgress

AT = datetime(2024, 3, 5, tzinfo=UTC)


def said(*events: StepProgress) -> list[str]:
    err = io.StringIO()
    view = PlainView(Words(err), lambda _: None)
    for event in events:
        view.event(event)
    return err.getvalue().splitlines()


def test_what_a_build_does_is_left_to_its_log() -> None:
    name = "[internal] load build definition from Dockerfile"
    assert said(StepProgress(at=AT, step="b", vertex="sha256:1", name=name, status="done", duration=0.1)) == []
    assert said(StepProgress(at=AT, step="b", vertex="sha256:1", name="transferring", status="done")) == []


def test_an_image_that_is_pulled_or_pushed_is_told_once() -> None:
    layers = [
        StepProgress(
            at=AT, step="a", vertex=f"{verb}:{image}:{n}", name=f"{verb} {image}: Downloading", status="started"
        )
        for verb, image in (("pull", "busybox:1"), ("push", "localhost:5000/app:1"))
        for n in range(3)
    ]
    assert said(*layers) == ["a: pull busybox:1", "a: push localhost:5000/app:1"]
