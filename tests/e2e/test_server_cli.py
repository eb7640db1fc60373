"""The command line against `acr-task serve` with its worker and a real engine: the same as without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.service import ACR_TASK, TOKEN, service

pytestmark = pytest.mark.engine


def test_a_file_gives_the_same_here_and_there_and_an_image_is_pushed(engine: Engine, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "data.txt").write_text("from the folder\n")
    (app / "hidden.txt").write_text("not for others\n")
    (app / ".dockerignore").write_text("hidden.txt\n")
    (app / "task.yaml").write_text(
        "version: v1.1.0\nsteps:\n"
        "  - {id: read, cmd: busybox:1 cat data.txt}\n"
        "  - {id: hidden, when: [read], cmd: \"busybox:1 sh -c 'ls; echo {{.Values.word}}; exit 4'\"}\n"
    )
    (app / "Dockerfile").write_text("FROM busybox:1\nCOPY data.txt /\nRUN cat /data.txt\n")
    with service(engine, tmp_path / "service", "--port", "0") as served:
        env = {**engine.env, "ACR_TASK_DATA": str(tmp_path / "data")}

        def acr_task(*args: str, text: str = "") -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*engine.inside, str(ACR_TASK), *args], env=env, cwd=app, input=text,
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip

        assert acr_task("login", served.url, "--token-stdin", text=TOKEN).returncode == 0
        words = ("--set-secret", "word=s3cr3t-word")
        there, here = acr_task("run", "task.yaml", *words), acr_task("run", "--local", "task.yaml", *words)
        assert (there.returncode, there.stdout) == (here.returncode, here.stdout), there.stderr
        assert there.returncode == 1
        assert there.stdout.startswith("read | from the folder\n")
        assert "hidden | ***\n" in there.stdout
        assert "step 'hidden' failed" in there.stderr

        built = acr_task("build", "-r", engine.registry, "-t", "cli/{{.Run.ID}}:1", ".")
        assert built.returncode == 0, built.stderr
        runs = acr_task("task", "list-runs", "-o", "tsv")
        assert [row.split("\t")[3] for row in runs.stdout.splitlines()] == ["Succeeded", "Failed"]
        shown = acr_task("task", "show-run", "--run-id", "ca2")
        assert '"digest": "sha256:' in shown.stdout
        again = acr_task("task", "logs", "--run-id", "ca1")
        assert (again.returncode, again.stdout) == (1, there.stdout)
