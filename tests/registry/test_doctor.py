"""What `acr-task doctor --registry HOST` says of real registries."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from taskengine.cli.doctor import registry_answers
from taskengine.wiring import Settings, read_settings
from tests.registry.conftest import PASSWORD, USER
from tests.support.registry import Registry


def settings(folder: Path, registry: Registry, password: str) -> Settings:
    packed = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.name: {"auth": packed}}}))
    return read_settings({"DOCKER_CONFIG": str(folder), "ACR_TASK_DATA": str(folder / "data")})


def test_a_login_that_works_is_said(tmp_path: Path, guarded: Registry) -> None:
    found = registry_answers(guarded.name, settings(tmp_path, guarded, PASSWORD))
    assert (found.state, found.text) == ("ok", "answers over http, and takes the login")


def test_a_login_that_does_not_work_is_a_failure(tmp_path: Path, guarded: Registry) -> None:
    found = registry_answers(guarded.name, settings(tmp_path, guarded, "wrong-password"))
    assert found.state == "fail"
    assert "docker login" in found.mend
    assert "wrong-password" not in found.text


def test_a_login_behind_a_token_server_is_tried_too(tmp_path: Path, tokened: Registry) -> None:
    assert registry_answers(tokened.name, settings(tmp_path, tokened, PASSWORD)).text.endswith("takes the login")
    assert registry_answers(tokened.name, settings(tmp_path, tokened, "wrong-password")).state == "fail"


def test_the_file_of_registries_is_read(tmp_path: Path, plain: Registry) -> None:
    using = settings(tmp_path, plain, "x")
    using.data_dir.mkdir()
    (using.data_dir / "registries.yaml").write_text("registries: {a.b: {nothing: true}}")
    assert "no setting 'nothing'" in registry_answers(plain.name, using).text
