"""What is remembered of a run so that the next command can clean up after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.docker.connect import Endpoint
from runners.docker.journal import Journal, dead_runs, remove_strays

HERE = Endpoint(host="unix:///var/run/docker.sock")


def test_a_living_runs_journal_is_nobody_elses(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r1", HERE)
    journal.open()
    assert list(dead_runs(tmp_path)) == []
    journal.close()


def test_a_closed_journal_leaves_no_file_and_no_folder(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r2", HERE)
    journal.open()
    folder = journal.temp_dir
    assert folder.stat().st_mode & 0o777 == 0o700
    journal.close()
    assert list(tmp_path.iterdir()) == []
    assert not folder.exists()


def test_an_abandoned_journal_is_found_and_forgotten_once_dealt_with(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r3", HERE)
    journal.open()
    journal.abandon()
    [(entry, forget)] = list(dead_runs(tmp_path))
    assert (entry.run_id, entry.endpoint) == ("r3", HERE)
    forget()
    assert list(dead_runs(tmp_path)) == []
    assert not Path(entry.temp_dir).exists()


def test_the_journal_of_a_killed_process_is_found(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from runners.docker.journal import Journal; from runners.docker.connect import Endpoint\n"
        "j = Journal(Path(sys.argv[1]), 'r4', Endpoint(host='tcp://x')); j.open(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, env={**os.environ})
    [(entry, forget)] = list(dead_runs(tmp_path))
    assert entry.run_id == "r4"
    forget()


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of our own with a name that is short enough."""
    folder = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def age(folder: Path, seconds: float) -> None:
    then = folder.stat().st_mtime - seconds
    os.utime(folder, (then, then))


def test_the_folder_of_a_dead_run_whose_journal_is_lost_goes_with_the_next_run(tmp_path: Path, short: Path) -> None:
    dead = short / "acr-task-rdeaddeaddea"
    dead.mkdir()
    (dead / "socket").touch()
    age(dead, 4000)
    journal = Journal(tmp_path, "r6", HERE)
    journal.open()
    assert [path.name for path in short.iterdir()] == ["acr-task-r6"]
    journal.close()
    assert list(short.iterdir()) == []


def test_what_lives_is_young_or_is_another_thing_is_no_stray(tmp_path: Path, short: Path) -> None:
    living = Journal(tmp_path, "rlivinglivin", HERE)
    living.open()
    age(living.temp_dir, 4000)
    (short / "acr-task-rnewnewnewne").mkdir()
    (short / "acr-task-other").mkdir()
    age(short / "acr-task-other", 4000)
    (short / "acr-task-rlinklinklin").symlink_to(short / "acr-task-other")
    before = sorted(short.iterdir())
    remove_strays(short, time.time())  # noqa: TID251 - the times of files are the system's
    assert sorted(short.iterdir()) == before
    living.close()


def test_a_broken_journal_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "r5.json").write_text("{half")
    assert list(dead_runs(tmp_path)) == []


def test_no_folder_means_no_dead_runs(tmp_path: Path) -> None:
    assert list(dead_runs(tmp_path / "none")) == []
