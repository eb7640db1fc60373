"""The whole API, as schemathesis tries it: every shape of request that the document allows, and many that it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.process import ADMIN, Process

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ["admin", "worker"])
def test_a_fuzzer_finds_no_fault_with_the_api(tmp_path: Path, role: str) -> None:
    (tmp_path / "settings.yaml").write_text("failedLogins: 1000000\n")
    with Process(tmp_path, "--no-worker") as service:
        token, paths, examples = ADMIN, "/", "2"
        if role == "worker":
            _, made = service.call("POST", "/api/v1/tokens", {"name": "w", "role": "worker"})
            token, paths, examples = made["token"], "/api/v1/workers/", "20"
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.url}/openapi.json",
                "--header", f"Authorization: Bearer {token}", "--include-path-regex", paths,
                "--seed", "7", "--max-examples", examples, "--phases", "coverage,fuzzing,stateful",
                "--generation-database", "none", "--no-color",
            ],
            cwd=ROOT, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-8000:]
        assert service.call("GET", "/readyz")[0] == 200
    assert "Traceback" not in service.errors
