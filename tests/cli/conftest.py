"""The command line under test: in this process, with a wiring that runs nothing."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runners.noop.runner import NoopRunner, Script
from taskengine import wiring as real
from taskengine.cli.entry import main


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@dataclass
class Wiring:
    """What the command line was given, and what it gave on."""

    behaviour: dict[str, Script] = field(default_factory=dict)
    runners: list[NoopRunner] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    sweeps: int = 0
    environ: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def wiring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Wiring:
    """Stands for taskengine.wiring; change it before the command is called."""
    made = Wiring()

    def runner_for(context: Any, settings: Any) -> NoopRunner:
        made.contexts.append(context)
        made.runners.append(NoopRunner(made.behaviour))
        return made.runners[-1]

    def resolve(specs: Any) -> Mapping[str, str]:
        return {spec.id: made.secrets[spec.id] for spec in specs if spec.id in made.secrets}

    def sweep(tell: Callable[[str], None]) -> None:
        tell("left over")
        made.sweeps += 1

    folder = str(tmp_path / "data")
    monkeypatch.setenv("ACR_TASK_DATA", folder)
    made.environ.update(ACR_TASK_DATA=folder, HOME=str(tmp_path / "home"))
    monkeypatch.setattr(real, "settings", lambda: real.read_settings(made.environ))
    monkeypatch.setattr(real, "runner_for", runner_for)
    monkeypatch.setattr(real, "secret_resolver", lambda settings: resolve)
    monkeypatch.setattr(real, "greet", lambda settings: None)
    monkeypatch.setattr(real, "engine_platform", lambda settings: "linux/arm64")
    monkeypatch.setattr(real, "sweep_dead_runs", sweep)
    return made


@pytest.fixture
def cli(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Outcome]:
    """`cli("plan", "task.yaml", stdin="...")` runs a command in an empty folder and returns what came of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACR_TASK_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "110")

    def call(*args: str | Path, stdin: str | bytes = b"") -> Outcome:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        code = main([str(arg) for arg in args])
        sys.stdout.flush()
        captured = capsysbinary.readouterr()
        return Outcome(code, captured.out.decode("utf-8", "replace"), captured.err.decode("utf-8", "replace"))

    return call
