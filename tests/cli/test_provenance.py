"""`--provenance`, `--sbom` and `verify-inputs`: from a build on a real engine to what its registry then says."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskengine.provenance.statement import IN_TOTO, RUN_RECORD
from taskengine.registry.client import RegistryClient
from taskengine.registry.endpoint import HostConfig, Registries
from taskengine.registry.reference import ImageReference
from taskengine.sbom.document import CYCLONEDX, NO_PACKAGES
from tests.cli.conftest import Outcome
from tests.registry.conftest import push_image
from tests.support.certificates import Authority
from tests.support.engine import Engine

ROOT = Path(__file__).parents[2]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def acr_task(engine: Engine, tmp_path: Path) -> Call:
    """The program in a process of its own, with the engine's registry allowed over plain http."""
    table = tmp_path / "registries.yaml"
    table.write_text(f"registries:\n  {engine.registry_shared}:\n    plain_http: true\n")
    work = tmp_path / "work"
    work.mkdir()

    def call(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        env = {**engine.env, "PYTHONPATH": str(ROOT), "ACR_TASK_REGISTRIES": str(table)}
        done = subprocess.run(
            [sys.executable, "-m", "taskengine.cli", *args],
            cwd=work, env=env, input=stdin, capture_output=True, timeout=120,
        )  # fmt: skip
        return subprocess.CompletedProcess(args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture
def client(engine: Engine) -> Iterator[RegistryClient]:
    registries = Registries(hosts={engine.registry_shared: HostConfig(plain_http=True)})
    with RegistryClient(registries=registries) as made:
        yield made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def base(engine: Engine) -> str:
    """A base image of this test's own, in the registry."""
    name = f"{engine.registry_shared}/prov/{os.urandom(4).hex()}:1"
    engine.push("busybox:1", name)
    return name


def fresh(engine: Engine) -> str:
    return f"{engine.registry_shared}/prov/app-{os.urandom(4).hex()}:1"


def attached(client: RegistryClient, name: str) -> dict[str, Any]:
    """What is attached to an image, by its type."""
    ref = ImageReference.parse(name)
    found = {}
    for one in client.referrers(ref, client.resolve(ref).digest):
        layer = client.manifest(ref.with_digest(one.digest)).layers[0]
        found[one.artifact_type] = json.loads(client.blob_bytes(ref, layer, 1 << 20))
    return found


def test_a_build_tells_what_went_in_and_what_has_moved_since(
    acr_task: Call, engine: Engine, client: RegistryClient, work: Path, base: str
) -> None:
    (work / "Dockerfile").write_text(f"FROM {base}\nRUN echo {os.urandom(4).hex()}\n")
    name = fresh(engine)
    built = acr_task("build", "--provenance", "--sbom", "-t", name, ".")
    assert built.returncode == 0, built.stderr
    assert f"attached provenance to {name}: sha256:" in built.stderr

    told = acr_task("verify-inputs", name, "-o", "json")
    assert told.returncode == 0, told.stdout + told.stderr
    document = json.loads(told.stdout)
    assert (document["matches"], document["signed"]) == (True, False)
    assert set(document["others"]) == {RUN_RECORD, CYCLONEDX}
    (runtime,) = (one for one in document["statements"][0]["inputs"] if one["use"] == "runtime")
    assert (runtime["reference"], runtime["state"]) == (base, "current")
    assert runtime["digest"] == client.resolve(ImageReference.parse(base)).digest

    row = acr_task("verify-inputs", name, "-o", "tsv").stdout
    assert row == f"runtime\t{base}\tcurrent\t{runtime['digest']}\n"

    push_image(client, ImageReference.parse(base), "another base")
    words = acr_task("verify-inputs", name)
    assert words.returncode == 0
    assert " moved " in words.stdout
    assert "statements are not signed" in words.stdout

    client.delete(ImageReference.parse(base).with_digest(client.resolve(ImageReference.parse(base)).digest))
    assert " gone " in acr_task("verify-inputs", name).stdout


def test_the_image_is_what_it_would_have_been_without(
    acr_task: Call, engine: Engine, client: RegistryClient, work: Path, base: str
) -> None:
    (work / "Dockerfile").write_text(f"FROM {base}\nCOPY Dockerfile /\n")
    one, two = fresh(engine), fresh(engine)
    assert acr_task("build", "-t", one, ".").returncode == 0
    assert acr_task("build", "--provenance", "-t", two, ".").returncode == 0
    assert client.resolve(ImageReference.parse(one)).digest == client.resolve(ImageReference.parse(two)).digest
    assert not client.manifest(ImageReference.parse(two)).is_index


def test_a_run_attaches_to_each_image_without_its_secrets(
    acr_task: Call, engine: Engine, client: RegistryClient, work: Path, base: str
) -> None:
    one, two = fresh(engine), fresh(engine)
    (work / "Dockerfile").write_text(f"FROM {base}\nARG WHO\nRUN echo {os.urandom(4).hex()}\n")
    (work / "task.yaml").write_text(
        f"""
version: v1.1.0
steps:
  - {{id: say, cmd: "{base} echo {{{{.Values.password}}}}"}}
  - {{id: one, build: "-t {one} --build-arg WHO={{{{.Values.who}}}} .", when: [say]}}
  - {{id: two, build: "-t {two} .", when: ['-']}}
  - {{id: p, push: ["{one}", "{two}"], when: [one, two]}}
"""
    )
    done = acr_task(
        "run", "task.yaml", "--provenance", "--set", "who=me", "--set-secret", "password=hunter2-hunter2",
        "--commit", "c0ffee", "--id", "cb9",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in (one, two):
        found = attached(client, name)
        assert set(found) == {IN_TOTO, RUN_RECORD}
        assert "hunter2" not in json.dumps(found)
        parameters = found[IN_TOTO]["predicate"]["buildDefinition"]["externalParameters"]
        assert parameters["values"] == {"who": "me"}
        assert parameters["secrets"] == ["password"]
        assert parameters["facts"] == {"commit": "c0ffee"}
        assert (found[RUN_RECORD]["id"], found[RUN_RECORD]["status"]) == ("cb9", "Succeeded")
    uses = {
        name: [one["name"] for one in attached(client, name)[IN_TOTO]["predicate"]["buildDefinition"]["resolvedDependencies"]]
        for name in (one, two)
    }  # fmt: skip
    assert uses == {one: ["cmd", "runtime"], two: ["runtime"]}


def test_what_was_pushed_before_a_run_failed_gets_its_statement_and_the_run_stays_failed(
    acr_task: Call, engine: Engine, client: RegistryClient, work: Path, base: str
) -> None:
    name = fresh(engine)
    (work / "Dockerfile").write_text(f"FROM {base}\nCOPY Dockerfile /\n")
    (work / "task.yaml").write_text(
        f"steps:\n  - build: -t {name} .\n  - push: ['{name}']\n  - {{id: test, cmd: {base} false}}\n"
    )
    assert acr_task("run", "task.yaml", "--provenance").returncode == 1
    found = attached(client, name)
    assert (found[RUN_RECORD]["status"], found[RUN_RECORD]["failedStep"]) == ("Failed", "test")
    assert acr_task("verify-inputs", name).returncode == 0


def test_a_bill_of_an_image_without_packages_says_so(
    acr_task: Call, engine: Engine, client: RegistryClient, work: Path
) -> None:
    (work / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    name = fresh(engine)
    assert acr_task("build", "--sbom", "-t", name, ".").returncode == 0
    assert attached(client, name)[CYCLONEDX]["properties"] == [{"name": "acr-task:note", "value": NO_PACKAGES}]


def test_a_context_in_git_is_in_the_statement_with_its_commit(
    acr_task: Call, engine: Engine, client: RegistryClient, work: Path, base: str
) -> None:
    def git(*args: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        return subprocess.run(
            ["git", *identity, *args], cwd=work, check=True, capture_output=True, text=True
        ).stdout.strip()  # fmt: skip

    git("init", "-q", "-b", "main")
    (work / "Dockerfile").write_text(f"FROM {base}\nCOPY Dockerfile /\n")
    git("add", ".")
    git("commit", "-qm", "one")
    name = fresh(engine)
    done = acr_task("build", "--provenance", "-t", name, f"file://{work}#main")
    assert done.returncode == 0, done.stderr
    told = json.loads(acr_task("verify-inputs", name, "-o", "json").stdout)
    assert told["statements"][0]["context"]["commit"] == git("rev-parse", "HEAD")

    # the same folder as a local context: clean first, then with a change
    for change, words in (("", "a local folder"), ("# changed\n", "a local folder, changed since its commit")):
        with (work / "Dockerfile").open("a") as file:
            file.write(change)
        name = fresh(engine)
        assert acr_task("build", "--provenance", "-t", name, ".").returncode == 0
        told = json.loads(acr_task("verify-inputs", name, "-o", "json").stdout)
        assert told["statements"][0]["context"] == {"uri": words, "commit": git("rev-parse", "HEAD")}


def test_a_context_from_standard_input_is_named_by_its_digest(
    acr_task: Call, engine: Engine, client: RegistryClient, work: Path, base: str
) -> None:
    (work / "Dockerfile").write_text(f"FROM {base}\nCOPY Dockerfile /\n")
    archive = subprocess.run(["tar", "c", "Dockerfile"], cwd=work, capture_output=True, check=True).stdout
    name = fresh(engine)
    done = acr_task("build", "--provenance", "-t", name, "-", stdin=archive)
    assert done.returncode == 0, done.stderr
    definition = attached(client, name)[IN_TOTO]["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["context"] == {"local": True}
    digest = hashlib.sha256(archive).hexdigest()
    assert definition["resolvedDependencies"][0] == {"name": "context", "digest": {"sha256": digest}}


def test_a_registry_that_this_machine_cannot_reach_is_told_and_fails(
    acr_task: Call, engine: Engine, work: Path, tmp_path: Path
) -> None:
    """The engine pushes over plain http; we are told of a certificate for the same registry, and insist on TLS."""
    authority = Authority("tests").issue(tmp_path / "authority", "client") / "ca.pem"
    table = f"registries:\n  {engine.registry_shared}:\n    ca_file: {authority}\n"
    (tmp_path / "registries.yaml").write_text(table)
    (work / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    names = [fresh(engine) for _ in range(2)]
    done = acr_task("build", "--provenance", "-t", names[0], "-t", names[1], ".")
    assert done.returncode == 3
    for name in names:
        assert f"error: nothing could be attached to {name}\nerror: " in done.stderr
    assert "pushed" in done.stdout


def test_nothing_can_be_attached_to_what_is_not_pushed(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    done = cli("build", "--no-push", "--sbom", "-t", "app:1", ".")
    assert done.code == 2
    assert "--no-push pushes nothing" in done.err


def test_a_run_that_pushes_nothing_is_told(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text("steps:\n  - {id: a, cmd: bash true}\n")
    done = cli("run", "task.yaml", "--provenance")
    assert (done.code, "the run pushed no image" in done.err) == (0, True)


def test_an_image_without_a_statement_fails_with_what_to_do(acr_task: Call, base: str) -> None:
    done = acr_task("verify-inputs", base)
    assert done.returncode == 1
    assert "no provenance is attached" in done.stdout


def test_an_image_that_is_not_there_is_wrong_input(acr_task: Call, engine: Engine) -> None:
    assert acr_task("verify-inputs", fresh(engine)).returncode == 2


@pytest.mark.parametrize("page", ["provenance.md", "registries.md"])
def test_the_commands_of_a_document_work_one_after_the_other(
    acr_task: Call, engine: Engine, work: Path, base: str, page: str
) -> None:
    """The first shell block of each page, with this engine's registry in the place of the examples' names."""
    (work / "Dockerfile").write_text(f"FROM {base}\nCOPY Dockerfile /\n")
    names = f"{engine.registry_shared}/docs/{os.urandom(4).hex()}"
    (work / "task.yaml").write_text(f"steps:\n  - build: -t {names}/app:1 .\n  - push: ['{names}/app:1']\n")
    if page == "registries.md":
        assert acr_task("build", "--provenance", "-t", f"{names}/app:1", ".").returncode == 0
    text = (ROOT / "docs" / page).read_text().split("```sh\n")[1].split("```")[0]
    text = text.replace("registry.example.com", names).replace("backup.example.com", f"{names}/backup")
    lines = [shlex.split(line)[1:] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) >= 3
    for words in lines:
        done = acr_task(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
