"""What is remembered of a run so that the next command can clean up after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from runners.docker.connect import Endpoint
from runners.docker.journal import Journal, dead_runs

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


def test_a_broken_journal_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "r5.json").write_text("{half")
    assert list(dead_runs(tmp_path)) == []


def test_no_folder_means_no_dead_runs(tmp_path: Path) -> None:
    assert list(dead_runs(tmp_path / "none")) == []
