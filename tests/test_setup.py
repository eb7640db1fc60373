"""What sets a machine up: scripts, Makefile and lock file, as far as it can be told without a fresh machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.engine import OwnEngine

ROOT = Path(__file__).resolve().parents[1]
PLUMBING = ("Makefile", "scripts", "tests", "runners", "taskengine", "pyproject.toml", "requirements.lock")


def shell_scripts() -> list[Path]:
    files = [*(ROOT / "scripts").iterdir(), *(ROOT / ".ci").iterdir(), *ROOT.glob("examples/**/*.sh")]
    return sorted(f for f in files if f.is_file() and re.match(rb"#!.*\b(ba)?sh\n", f.read_bytes()[:80]))


LOCKS = ("requirements.lock", "packaging/requirements.lock")


def locked(file: str = LOCKS[0]) -> dict[str, Version]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """This working tree as a stranger has it, except that Python's packages are this one's: no network in a test."""
    folder = tmp_path / "clone"
    for name in PLUMBING:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy2(source, folder / name)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    fingerprint = subprocess.run(
        ["sh", "-c", "{ pwd; cat pyproject.toml requirements.lock scripts/setup; } | sha256sum"],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    (folder / ".venv" / "stamp").write_bytes(fingerprint.stdout)
    return folder


def run(folder: Path, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    # Under `make test`, an inner make would take itself for a part of the outer one.
    outside = {k: v for k, v in (env or os.environ).items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shell_script_is_sound(script: Path) -> None:
    assert run(ROOT, "bash", "-n", str(script)).stderr == ""
    is_example = script.is_relative_to(ROOT / "examples")  # those are run inside of images, by `sh FILE`
    assert is_example or os.access(script, os.X_OK)
    if shutil.which("shellcheck"):
        assert run(ROOT, "shellcheck", str(script)).stdout == ""


def test_make_help_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    listed = re.findall(r"^  make (\S+)", run(ROOT, "make", "help").stdout, re.MULTILINE)
    assert listed == targets


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_the_lock_is_in_step_with_pyproject(requirement: Requirement) -> None:
    version = locked().get(canonicalize_name(requirement.name))
    assert version is not None, f"{requirement.name} is not locked: run `make lock`"
    assert requirement.specifier.contains(version, prereleases=True), "run `make lock`"


def test_what_is_run_is_what_was_tested() -> None:
    run, tested = locked(LOCKS[1]), locked()
    assert run.items() <= tested.items(), "run `make lock`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    assert {canonicalize_name(Requirement(line).name) for line in needed} <= set(run), "run `make lock`"
    assert "pytest" not in run


@pytest.mark.parametrize("file", LOCKS)
def test_the_lock_has_a_hash_for_each_package_and_names_no_host(file: str) -> None:
    text = (ROOT / file).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert "--index-url" not in text


def test_setup_does_nothing_on_a_machine_that_is_ready(clone: Path) -> None:
    done = run(clone, "scripts/setup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_down_on_a_machine_without_anything_of_ours_does_nothing(clone: Path) -> None:
    shutil.rmtree(clone / ".venv")
    done = run(clone, "make", "down")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (clone / ".venv").exists()


def test_an_engine_that_is_named_but_does_not_answer_is_not_replaced(clone: Path) -> None:
    done = run(clone, "scripts/engine", "up", env={**os.environ, "DOCKER_HOST": f"unix://{clone}/nothing.sock"})
    assert done.returncode == 3
    assert "no such socket" in done.stderr
    assert not (clone / ".local" / "engine.json").exists()


def test_engine_status_says_who_started_it(clone: Path, fresh_engine: Callable[..., OwnEngine]) -> None:
    done = run(clone, "scripts/engine", "status", env=fresh_engine(busybox=False).env)
    assert done.returncode == 0
    assert "not started by this project" in done.stdout


def test_what_was_on_a_running_engine_stays_and_what_came_with_us_goes(
    clone: Path, fresh_engine: Callable[..., OwnEngine]
) -> None:
    engine = fresh_engine(registry=True)
    engine.api.tag("busybox:1", "somebody/thing", "1")
    run(clone, "scripts/engine", "up", env=engine.env)
    registry = run(clone, "scripts/registry", "up", env=engine.env).stdout.strip()
    engine.api.tag("busybox:1", f"{registry}/quickstart/mine", "1")
    engine.api.tag("busybox:1", f"{registry}/other", "1")
    before = engine.images()
    run(clone, "scripts/engine", "mark", env=engine.env)
    engine.api.tag("busybox:1", f"{registry}/quickstart/web", "1")
    engine.api.tag("busybox:1", "acr-task/sandbox", "1")
    engine.api.tag("busybox:1", "somebody/else", "1")
    assert run(clone, "scripts/engine", "keep", registry, env=engine.env).returncode == 0
    engine.api.tag("busybox:1", f"{registry}/quickstart/later", "1")
    assert run(clone, "make", "down", env=engine.env).returncode == 0
    assert engine.images() == before | {"somebody/else:1", f"{registry}/quickstart/later:1"}
    assert list((clone / ".local").glob("*.json")) == []


def test_a_missing_base_is_brought_and_taken_away_again(clone: Path, fresh_engine: Callable[..., OwnEngine]) -> None:
    engine = fresh_engine(busybox=False)
    run(clone, "scripts/engine", "up", env=engine.env)
    run(clone, "scripts/engine", "bases", env=engine.env)
    assert engine.images() == {"busybox:1"}
    run(clone, "scripts/engine", "down", env=engine.env)
    assert engine.images() == set()


def test_the_registry_takes_the_next_port_when_its_own_is_taken(clone: Path) -> None:
    names = []
    try:
        names.append(run(clone, "scripts/registry", "up").stdout.strip())
        first = json.loads((clone / ".local" / "registry.json").read_text())
        (clone / ".local" / "registry.json").unlink()
        names.append(run(clone, "scripts/registry", "up").stdout.strip())
        run(clone, "scripts/registry", "down")
        (clone / ".local" / "registry.json").write_text(json.dumps(first))
    finally:
        run(clone, "scripts/registry", "down")
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"127\.0\.0\.1:5\d{3}", name) for name in names)
