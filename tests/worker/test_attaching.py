"""What a worker attaches to the images of a run, and what it says when that goes wrong."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taskengine.client.workers import LeasedRun
from taskengine.context.model import Fetched
from taskengine.errors import InvalidInput, TaskEngineError, Unreachable
from taskengine.logs.mask import Mask
from taskengine.provenance import attach
from taskengine.provenance.statement import ContextOrigin, RunInputs
from taskengine.runner import Cancel
from taskengine.runs.event import Event, RunFinished, RunStarted
from taskengine.runs.model import ImageResult, RunRecord, RunStatus
from taskengine.runs.spec import Build, RunSpec
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.load import load_task
from taskengine.worker.attaching import Attaching, inputs_of

AT = datetime(2026, 11, 24, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
TEXT = "steps:\n  - cmd: busybox:1 true\n"


class World:
    """A run that ends; `said` is what its readers see, `events` what its feed has."""

    def __init__(self, *pushed: str, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        images = tuple(ImageResult(reference=name, digest=DIGEST, pushed=True) for name in pushed)
        self.record = RunRecord(id="ca1", status=status, started=AT, finished=AT, images=images)
        self.events: list[Event] = []
        self.said: list[tuple[str, str]] = []
        self.cancel = Cancel()

    def notice(self, message: str, level: str = "info") -> None:
        self.said.append((level, message))

    def end(self) -> RunRecord:
        inputs = RunInputs(task_name="task.yaml", task_text=b"")

        def registry() -> AbstractContextManager[Any]:
            return nullcontext(None)

        attaching = Attaching(
            self.events.append, ("provenance", "sbom"), inputs, Mask(("s3cret",)), registry, self, self.cancel
        )  # fmt: skip
        attaching(RunStarted(at=AT, run_id="ca1", steps=()))
        attaching(RunFinished(at=AT, record=self.record))
        assert attaching.record is not None
        assert self.events[1:] == [RunFinished(at=AT, record=attaching.record)]
        return attaching.record


def answering(monkeypatch: pytest.MonkeyPatch, *answers: TaskEngineError | None) -> list[tuple[bool, bool]]:
    """What attaching to one image after the other does; which of both was asked for."""
    left, asked = list(answers), []

    def attach_to(*_: Any, provenance: bool, sbom: bool) -> tuple[tuple[str, str], ...]:
        asked.append((provenance, sbom))
        if (error := left.pop(0)) is not None:
            raise error
        return (("provenance", DIGEST),)

    monkeypatch.setattr(attach, "attach_to", attach_to)
    return asked


def test_what_was_attached_is_told_before_the_end_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("r.example.com/app:1")
    asked = answering(monkeypatch, None)
    assert world.end() == world.record
    assert world.said == [("info", f"attached provenance to r.example.com/app:1: {DIGEST}")]
    assert asked == [(True, True)]


def test_a_run_that_pushed_nothing_is_warned_and_has_succeeded() -> None:
    world = World()
    assert world.end().status is RunStatus.SUCCEEDED
    assert world.said == [("warning", "the run pushed no image, so nothing is attached")]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unreachable("no answer for s3cret", hint="later"), RunStatus.ERROR, 3),
        (InvalidInput("it is not allowed"), RunStatus.FAILED, 2),
    ],
)
def test_what_cannot_be_attached_fails_the_run_and_the_other_images_have_theirs(
    monkeypatch: pytest.MonkeyPatch, error: TaskEngineError, status: RunStatus, code: int
) -> None:
    world = World("r.example.com/app:1", "r.example.com/other:1")
    answering(monkeypatch, error, None)
    record = world.end()
    assert (record.status, record.error_exit_code) == (status, code)
    assert record.message.startswith("nothing could be attached to r.example.com/app:1: ")
    assert "s3cret" not in record.message + str(world.said)
    assert [level for level, _ in world.said] == ["warning", "info"]


def test_a_run_that_had_failed_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("r.example.com/app:1", status=RunStatus.FAILED)
    answering(monkeypatch, Unreachable("no answer"))
    assert world.end() == world.record


def test_a_bug_of_ours_ends_the_run_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("r.example.com/app:1")
    monkeypatch.setattr(attach, "attach_to", None)
    record = world.end()
    assert (record.status, "this is a bug" in record.hint) == (RunStatus.FAILED, True)


def test_a_canceled_run_attaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("r.example.com/app:1")
    asked = answering(monkeypatch, None)
    world.cancel.set("not wanted")
    assert world.end() == world.record
    assert asked == []


def given(spec: RunSpec, folder: Fetched | None, **secrets: str) -> RunInputs:
    leased = LeasedRun(worker="w", run="ca1", attempt=1, epoch=1, spec=spec, secrets=secrets)
    return inputs_of(
        leased, load_task(TEXT, file="task.yaml", inputs=Inputs()), TEXT, "ci/task.yaml", folder, values=None
    )


def test_of_an_uploaded_folder_is_told_what_its_owner_said(tmp_path: Path) -> None:
    spec = RunSpec(
        text=TEXT, context="upload:u1", set=("a=1=2",), branch="main",
        origin={"repository": "https://r/app", "commit": "c0ffee", "changed": False},
    )  # fmt: skip
    found = given(spec, Fetched(folder=tmp_path), **{"set:token": "s3cret", "login:r": "x"})
    assert found.context == ContextOrigin(repository="https://r/app", commit="c0ffee", changed=False)
    assert (found.task_name, found.values, found.secrets) == ("task.yaml", {"a": "1=2"}, ("token",))
    assert (found.facts["branch"], found.is_made) == ("main", False)
    assert found.builder.endswith("#builder-worker")


def test_of_an_address_is_told_what_was_seen_when_it_was_fetched(tmp_path: Path) -> None:
    spec = RunSpec(build=Build(), context="https://me:t0k3n@git.example.com/app.git#main")
    fetched = Fetched(folder=tmp_path, commit="c0ffee", branch="main", repository="https://git.example.com/app.git")
    found = given(spec, fetched)
    assert found.context is not None
    assert (found.context.uri, found.context.commit) == ("https://git.example.com/app.git#main", "c0ffee")
    assert (found.facts["commit"], found.is_made) == ("c0ffee", True)
    assert given(RunSpec(text=TEXT), None).context is None
