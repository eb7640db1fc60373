"""A run that a worker holds: from its spec to its last event, with the no-op runner."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runners.noop import NoopRunner, Script
from taskengine.ambient import Ambient
from taskengine.client.workers import LeasedRun
from taskengine.context.model import Fetched
from taskengine.errors import Interrupted, InvalidInput, TaskEngineError, Unreachable
from taskengine.runner import Cancel, RunContext
from taskengine.runs.event import Event, Notice, RunFinished, RunStarted, StepStarted
from taskengine.runs.feed import FrameKind, frames
from taskengine.runs.model import RunStatus
from taskengine.runs.spec import Build, RunSpec
from taskengine.taskspec.model import SecretSpec
from taskengine.worker.carry import Machine, carry_out
from taskengine.worker.spool import Lease, Spool

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
HELLO = "version: v1.1.0\nsteps:\n  - {id: hello, cmd: bash echo hi}\n"


class Nowhere:
    """Contexts that are folders of the test, by address."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self.closed = 0

    def fetch(self, text: str, **_: Any) -> Fetched:
        if text not in self._folders:
            raise Unreachable(f"{text} does not answer")
        return Fetched(folder=self._folders[text], commit="c0ffee", branch="main", repository=text)

    def close(self) -> None:
        self.closed += 1


class World:
    """A machine with the no-op runner, and what it was asked for."""

    def __init__(self, tmp_path: Path, *, behaviour: dict[str, Script] | None = None, **folders: Path) -> None:
        self.contexts = Nowhere({f"https://git.example.com/{name}.git": path for name, path in folders.items()})
        self.runner = NoopRunner(behaviour)
        self.context: RunContext | None = None
        self.logins: Mapping[str, Any] = {}
        self.spool_folder = tmp_path / "spool"
        self.machine = Machine(
            runner=self._runner,
            contexts=lambda name, logins: self.contexts,
            uploaded=lambda leased, into, cancel: into.mkdir(),
            platform=lambda: "linux/arm64",
        )

    def _runner(self, context: RunContext, logins: Mapping[str, Any], contexts: object) -> NoopRunner:
        self.context, self.logins = context, logins
        return self.runner

    def carry(
        self, spec: RunSpec, secrets: Mapping[str, str] | None = None, cancel: Cancel | None = None
    ) -> list[Event]:
        leased = LeasedRun(worker="w1", run="ca1", attempt=2, epoch=3, spec=spec, secrets=secrets or {})
        spool = Spool(self.spool_folder, Lease(run="ca1", attempt=2, epoch=3), Ambient.fixed(AT))
        self.record = carry_out(leased, spool, self.machine, cancel or Cancel(), Ambient.fixed(AT))
        self.log = b"".join(f.payload for _, f in frames(spool.read(0, 1 << 20)) if f.kind is FrameKind.LOG)
        self.feed = spool.read(0, 1 << 20)
        events = list(spool.events())
        spool.close()
        return events


def test_a_text_is_carried_out_and_its_end_is_the_last_thing_said(tmp_path: Path) -> None:
    world = World(tmp_path, behaviour={"hello": Script(stdout=b"hi\n")})
    events = world.carry(RunSpec(text=HELLO))
    assert world.record.status is RunStatus.SUCCEEDED
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].record.id == "ca1"
    assert world.log == b"hi\n"
    assert world.contexts.closed == 1


def test_the_engine_knows_the_run_by_a_name_that_no_other_attempt_has(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.carry(RunSpec(text=HELLO))
    assert world.context is not None
    assert world.context.run_id == "ca1-2"
    assert world.context.durable
    assert not world.context.resumed


def test_facts_come_from_the_spec_and_from_the_context(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "acb.yaml").write_text(
        "version: v1.1.0\nsteps:\n  - id: x\n    cmd: bash echo {{.Run.ID}} {{.Run.Commit}} {{.Run.Branch}} {{.Run.Date}}\n"
    )
    world = World(tmp_path, app=tmp_path / "app")
    seen: list[str] = []
    world.runner.prepare = lambda plan: seen.append(" ".join(plan.steps[0].cmd.args))  # type: ignore[method-assign, union-attr]
    world.carry(
        RunSpec(
            file="acb.yaml", context="https://git.example.com/app.git", branch="release", date="2026-01-02T03:04:05Z"
        )
    )
    assert seen == ["-c echo ca1 c0ffee release 20260102-030405z"] or "ca1 c0ffee release 20260102-030405" in seen[0]


def test_a_quick_build_is_a_task_of_two_steps(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.carry(RunSpec(build=Build(tags=("example.com/app:1",)), context="upload:u1", registry="example.com"))
    assert world.record.status is RunStatus.SUCCEEDED, world.record.message
    assert [step.id for step in world.record.steps] == ["build", "push"]


def test_an_image_of_a_quick_build_without_a_registry_goes_to_the_servers(tmp_path: Path) -> None:
    world = World(tmp_path)
    plans: list[Any] = []
    prepare = world.runner.prepare
    world.runner.prepare = lambda plan: (plans.append(plan), prepare(plan))[1]  # type: ignore[method-assign, func-returns-value]
    world.carry(RunSpec(build=Build(tags=("app:1",)), context="upload:u1", registry="example.com"))
    assert plans[0].steps[1].push == ("example.com/app:1",)


def test_a_quick_builds_context_is_the_folder_that_was_uploaded(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.carry(RunSpec(build=Build(tags=("example.com/app:1",)), context="upload:u1", registry="example.com"))
    assert world.context is not None
    assert world.context.context_dir == str(world.spool_folder / "context")


def test_a_strangers_files_are_carried_out_on_the_bare_machine(tmp_path: Path) -> None:
    world, bare = World(tmp_path / "own"), World(tmp_path / "bare")
    world.machine = replace(world.machine, bare=bare.machine)
    world.carry(RunSpec(text=HELLO, untrusted=True))
    assert world.record.status is RunStatus.SUCCEEDED
    assert world.context is None
    assert bare.context is not None
    assert (world.contexts.closed, bare.contexts.closed) == (0, 1)


def test_a_strangers_files_push_nowhere_not_even_to_the_servers_registry(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.machine = replace(world.machine, bare=world.machine)
    text = HELLO + "  - push: ['example.com/app:1']\n"
    world.carry(RunSpec(text=text, untrusted=True, registry="example.com"))
    assert world.record.status is RunStatus.FAILED
    assert world.context is None


def test_a_worker_that_cannot_keep_its_own_things_away_from_a_stranger_refuses_the_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.carry(RunSpec(text=HELLO, untrusted=True))
    assert world.record.status is RunStatus.FAILED
    assert "strangers" in world.record.message
    assert world.context is None


def test_every_problem_of_a_file_is_told_and_the_run_has_failed(tmp_path: Path) -> None:
    world = World(tmp_path)
    events = world.carry(
        RunSpec(text="version: v1.1.0\nsteps:\n  - cmd: a\n    when: [nobody]\n  - {}\n", text_name="t.yaml")
    )
    assert world.record.status is RunStatus.FAILED
    told = [event.message for event in events if isinstance(event, Notice)]
    assert any("t.yaml:4" in message and "nobody" in message for message in told)
    assert any("t.yaml:5" in message for message in told)
    assert isinstance(events[-1], RunFinished)


def test_a_context_that_is_away_is_an_infrastructure_error(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.carry(RunSpec(file="acb.yaml", context="https://git.example.com/gone.git"))
    assert world.record.status is RunStatus.ERROR
    assert world.record.error_exit_code == 3


@pytest.mark.parametrize("context", ["/etc", "relative/folder", "-"])
def test_no_folder_of_the_worker_is_a_context(tmp_path: Path, context: str) -> None:
    world = World(tmp_path)
    world.carry(RunSpec(text=HELLO, context=context))
    assert world.record.status is RunStatus.FAILED


def test_a_task_file_is_looked_for_in_the_context_only(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "acb.yaml").symlink_to("/etc/passwd")
    world = World(tmp_path, app=tmp_path / "app")
    world.carry(RunSpec(file="acb.yaml", context="https://git.example.com/app.git"))
    assert world.record.status is RunStatus.FAILED
    assert b"root:" not in world.feed


@pytest.mark.parametrize("name", ["task.yaml", "{folder}/task.yaml", "../task.yaml"])
def test_aliases_come_from_no_folder_of_the_worker_whatever_a_text_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for folder in (tmp_path / "own", tmp_path / "own" / "below"):
        folder.mkdir()
        (folder / "mine.yaml").write_text("word: secret-of-the-worker\n")
    monkeypatch.chdir(tmp_path / "own" / "below")
    world = World(tmp_path)
    text = "version: v1.1.0\nalias: {src: [mine.yaml]}\nsteps:\n  - cmd: bash echo $word\n"
    world.carry(RunSpec(text=text, text_name=name.format(folder=tmp_path / "own")))
    assert world.record.status is RunStatus.FAILED
    assert b"secret-of-the-worker" not in world.feed


def test_aliases_lie_beside_the_task_file_in_its_context(tmp_path: Path) -> None:
    (tmp_path / "app" / "ci").mkdir(parents=True)
    (tmp_path / "app" / "ci" / "words.yaml").write_text("word: hello\n")
    text = "version: v1.1.0\nalias: {src: [words.yaml]}\nsteps:\n  - {id: x, cmd: bash echo $word}\n"
    (tmp_path / "app" / "ci" / "task.yaml").write_text(text)
    world = World(tmp_path, app=tmp_path / "app")
    world.carry(RunSpec(file="ci/task.yaml", context="https://git.example.com/app.git"))
    assert world.record.status is RunStatus.SUCCEEDED


def test_what_was_not_granted_is_refused_by_the_worker_too(tmp_path: Path) -> None:
    text = "version: v1.1.0\nsteps:\n  - {id: x, cmd: bash true, privileged: true}\n"
    world = World(tmp_path)
    world.carry(RunSpec(text=text))
    assert world.record.status is RunStatus.FAILED
    assert world.runner.attempts == {}
    granted = World(tmp_path / "granted")
    granted.carry(RunSpec(text=text, grants=("privileged",)))
    assert granted.record.status is RunStatus.SUCCEEDED


def test_secrets_are_in_nothing_that_the_run_says(tmp_path: Path) -> None:
    secret = "hunter2-hunter2"
    world = World(tmp_path, behaviour={"hello": Script(stdout=secret.encode() + b"\n", exits=(1,))})
    text = HELLO.replace("echo hi", "echo {{.Values.password}}")
    world.carry(RunSpec(text=text, secret_names=("set:password",)), {"set:password": secret})
    assert secret.encode() not in world.feed
    assert world.log == b"***\n" or b"*" in world.log


def test_logins_of_the_run_reach_its_runner(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.carry(RunSpec(text=HELLO), {"login:reg.example.com": '{"username": "u", "password": "p"}'})
    assert world.logins["reg.example.com"].username == "u"


IN_VAULT = {
    "login:reg.example.com": (
        '{"username": "u", "passwordVault": "https://v.vault.azure.net/secrets/p", "identity": "an-id"}'
    )
}


def test_a_login_in_a_secret_store_is_fetched_and_hidden(tmp_path: Path) -> None:
    world = World(tmp_path, behaviour={"hello": Script(stdout=b"hunter2-hunter2\n")})
    asked: list[SecretSpec] = []

    def resolve(specs: Sequence[SecretSpec]) -> Mapping[str, str]:
        asked.extend(specs)
        return {spec.id: "hunter2-hunter2" for spec in specs}

    world.machine = replace(world.machine, resolve_secrets=resolve)
    world.carry(RunSpec(text=HELLO), IN_VAULT)
    assert [(one.keyvault, one.client_id) for one in asked] == [("https://v.vault.azure.net/secrets/p", "an-id")]
    login = world.logins["reg.example.com"]
    assert (login.username, login.secret) == ("u", "hunter2-hunter2")
    assert b"hunter2" not in world.feed


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("there is none"), RunStatus.FAILED),
        (Unreachable("the store is away"), RunStatus.ERROR),
        (None, RunStatus.FAILED),
    ],
)
def test_a_login_that_cannot_be_fetched_ends_the_run_before_its_first_step(
    tmp_path: Path, error: TaskEngineError | None, status: RunStatus
) -> None:
    world = World(tmp_path)

    def resolve(_: Sequence[SecretSpec]) -> Mapping[str, str]:
        assert error is not None
        raise error

    world.machine = replace(world.machine, resolve_secrets=resolve if error else None)
    world.carry(RunSpec(text=HELLO), IN_VAULT)
    assert world.record.status is status
    expected = error.message if error else "the password of reg.example.com lies in a secret store"
    assert expected in world.record.message
    assert world.log == b""


def test_a_run_is_gone_on_with_where_its_spool_says_that_it_was(tmp_path: Path) -> None:
    text = "version: v1.1.0\nsteps:\n  - {id: a, cmd: bash echo a}\n  - {id: b, cmd: bash echo b}\n"
    first = World(tmp_path, behaviour={"b": Script(stdout=b"one two", exits=(0,))})
    whole = first.carry(RunSpec(text=text))
    started = next(e for e in whole if isinstance(e, StepStarted) and e.step == "b")
    end = next(end for end, f in frames(first.feed) if f.kind is FrameKind.LOG)
    (first.spool_folder / "feed").write_bytes(first.feed[:end])
    assert started
    again = World(tmp_path, behaviour={"b": Script(stdout=b"one two three", exits=(0,))})
    events = again.carry(RunSpec(text=text))
    assert again.runner.attempts == {"b": 1}
    assert again.context is not None
    assert again.context.resumed
    assert again.log == b"one two three"
    assert [e.kind for e in events] == [e.kind for e in whole]


def test_a_cancel_reaches_a_run(tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.set("not wanted")
    world = World(tmp_path)
    world.carry(RunSpec(text=HELLO), cancel=cancel)
    assert world.record.status is RunStatus.CANCELED


def test_a_run_that_had_ended_is_not_begun_again(tmp_path: Path) -> None:
    """The worker died while the service, which was away, had not all of it."""
    first = World(tmp_path)
    whole = first.carry(RunSpec(text=HELLO))
    again = World(tmp_path)
    assert again.carry(RunSpec(text=HELLO)) == whole
    assert again.record == first.record
    assert again.runner.attempts == {}


def test_a_cancel_while_the_context_is_fetched_is_no_failure(tmp_path: Path) -> None:
    world, cancel = World(tmp_path), Cancel()

    def uploaded(leased: LeasedRun, into: Path, stop: Cancel) -> None:
        cancel.set("not wanted")
        raise Interrupted("fetching the context was stopped")

    world.machine = replace(world.machine, uploaded=uploaded)
    world.carry(RunSpec(text=HELLO, context="upload:u1"), cancel=cancel)
    assert (world.record.status, world.record.message) == (RunStatus.CANCELED, "not wanted")


def test_a_disk_that_fails_is_no_fault_of_the_task(tmp_path: Path) -> None:
    def uploaded(leased: LeasedRun, into: Path, stop: Cancel) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    world = World(tmp_path)
    world.machine = replace(world.machine, uploaded=uploaded)
    world.carry(RunSpec(text=HELLO, context="upload:u1"))
    assert world.record.status is RunStatus.ERROR
    assert world.record.message == "the worker's disk failed: no space left on device"
