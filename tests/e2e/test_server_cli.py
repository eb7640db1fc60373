"""The command line against `acr-task serve` with its worker and a real engine: the same as without a server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from taskengine.provenance.statement import IN_TOTO
from taskengine.registry.client import RegistryClient
from taskengine.registry.endpoint import HostConfig, Registries
from taskengine.registry.reference import ImageReference
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


def test_an_image_carries_the_same_from_here_and_there(engine: Engine, tmp_path: Path) -> None:
    """Labels, provenance, the run's record and the bill of materials of a build, with a server and without."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM busybox:1\nCOPY Dockerfile /\n")
    for words in ("init -q -b main", "add .", "-c user.name=a -c user.email=a@example.com commit -qm one"):
        subprocess.run(["git", *words.split()], cwd=app, check=True)
    table = tmp_path / "registries.yaml"
    table.write_text(f"registries:\n  {engine.registry}:\n    plain_http: true\n")
    with service(engine, tmp_path / "service", "--port", "0", env={"ACR_TASK_REGISTRIES": str(table)}) as served:
        env = {
            **engine.env, "ACR_TASK_DATA": str(tmp_path / "data"), "ACR_TASK_REGISTRIES": str(table),
            "ACR_TASK_SERVER": served.url, "ACR_TASK_TOKEN": TOKEN,
        }  # fmt: skip

        def build(name: str, *words: str) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                [
                    *engine.inside, str(ACR_TASK), "build", "--provenance", "--sbom", "--label", "team=web", "-r",
                    engine.registry, "-t", f"same/{name}:1", *words, ".",
                ],
                env=env, cwd=app, capture_output=True, text=True, timeout=180, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done

        there, here = build("there"), build("here", "--local")
    for done, name in ((there, "there"), (here, "here")):
        for what in ("provenance", "run record", "sbom"):
            assert f"attached {what} to {engine.registry}/same/{name}:1: sha256:" in done.stderr
    labels = [engine.api.inspect_image(f"{engine.registry}/same/{n}:1")["Config"]["Labels"] for n in ("there", "here")]
    assert labels[0] == labels[1]
    assert labels[0]["team"] == "web"
    made = [statement(engine, f"same/{name}") for name in ("there", "here")]
    parameters = [one["buildDefinition"]["externalParameters"] for one in made]
    assert parameters[0].keys() == parameters[1].keys() | {"platform"}, "a server's run has a platform of its own"
    commits = [json.dumps(one["buildDefinition"]["resolvedDependencies"]) for one in made]
    assert commits[0] == commits[1]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=app, capture_output=True, text=True, check=True)
    assert head.stdout.strip() in commits[0]
    assert [one["runDetails"]["builder"]["id"].partition("#")[2] for one in made] == ["builder-worker", "builder-local"]


def statement(engine: Engine, repository: str) -> dict[str, Any]:
    """The predicate of an image's provenance."""
    registries = Registries(hosts={engine.registry_shared: HostConfig(plain_http=True)})
    with RegistryClient(registries=registries) as client:
        ref = ImageReference.parse(f"{engine.registry_shared}/{repository}:1")
        for one in client.referrers(ref, client.resolve(ref).digest):
            if one.artifact_type == IN_TOTO:
                layer = client.manifest(ref.with_digest(one.digest)).layers[0]
                found: dict[str, Any] = json.loads(client.blob_bytes(ref, layer, 1 << 20))["predicate"]
                return found
    raise AssertionError("there is none")
