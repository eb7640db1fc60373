"""A git server whose hook posts, a service in a process of its own, and what is lost between them."""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.context.servers import Repository, Server, git
from tests.service.process import Process

SECRET = "the-secret-of-the-hook"
TEXT = "version: v1.1.0\nsteps:\n  - cmd: bash echo hello\n"
_HOOK = """#!{python}
import hashlib, hmac, json, sys, urllib.request
for line in sys.stdin:
    before, commit, ref = line.split()
    body = json.dumps({{"repository": {url!r}, "ref": ref, "commit": commit, "before": before}}).encode()
    signature = hmac.new({secret!r}.encode(), body, hashlib.sha256).hexdigest()
    request = urllib.request.Request({hook!r}, data=body, headers={{"X-Acr-Task-Signature": signature}})
    urllib.request.urlopen(request, timeout=30).read()
"""


class Forge:
    """A bare repository behind HTTP, and somebody's clone of it."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder / "served")
        self.bare = folder / "served" / "app.git"
        self.bare.mkdir(parents=True)
        git(self.bare, "init", "-q", "--bare", "-b", "main")
        self.clone = Repository(folder / "clone")
        self.url = f"{self.server.url}/git/app.git"

    def hook(self, url: str) -> None:
        """After each push, post to this address."""
        path = self.bare / "hooks" / "post-receive"
        path.write_text(_HOOK.format(python=sys.executable, url=self.url, secret=SECRET, hook=url))
        path.chmod(0o755)

    def unhook(self) -> None:
        (self.bare / "hooks" / "post-receive").unlink()

    def push(self, number: int) -> str:
        commit = self.clone.commit({"file": f"{number}\n"})
        self.clone.git("push", "-q", str(self.bare), "main")
        return commit


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    made = Forge(tmp_path)
    yield made
    made.server.close()


def start(folder: Path) -> Process:
    (folder / "service").mkdir(exist_ok=True)
    (folder / "service" / "settings.yaml").write_text("gitPollSeconds: 1\ngitPollHookedSeconds: 1\n")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return Process(folder / "service", "--no-worker", env=env)


def make(service: Process, forge: Forge) -> None:
    trigger = {
        "name": "commits", "sourceTriggerEvents": ["commit"],
        "sourceRepository": {"repositoryUrl": forge.url, "sourceControlType": "Generic", "branch": "main"},
    }  # fmt: skip
    step = {
        "type": "EncodedTask",
        "encodedTaskContent": base64.b64encode(TEXT.encode()).decode(),
        "contextPath": forge.url,
    }
    task = {"name": "app", "step": step, "trigger": {"sourceTriggers": [trigger]}, "webhookSecret": SECRET}
    status, answer = service.call("POST", "/api/v1/tasks", task)
    assert status == 201, answer


def until(what: Any, seconds: float = 60) -> Any:
    """What it finds in the end; the service is another process, so there is nothing else to wait on."""
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.1)
    assert found
    return found


def commits(service: Process) -> list[str]:
    """Of all runs, the oldest first."""
    value = service.call("GET", "/api/v1/runs?top=100")[1]["value"]
    return [one["sourceTrigger"]["commitId"] for one in value][::-1]


def last_check(service: Process) -> str | None:
    found: str | None = service.call("GET", "/api/v1/tasks/app/sources")[1]["value"][0]["polling"]["lastCheck"]
    return found


def checked_again(service: Process) -> None:
    """The repository has been asked twice more since now, so once after whatever is there by now."""
    for _ in range(2):
        before = last_check(service)
        until(lambda before=before: last_check(service) != before)


def test_a_push_is_built_once_whether_its_hook_posts_is_lost_or_the_service_was_away(
    tmp_path: Path, forge: Forge
) -> None:
    forge.push(0)
    with start(tmp_path) as service:
        make(service, forge)
        until(lambda: last_check(service))
        forge.hook(f"{service.url}/hooks/generic/app")
        told = forge.push(1)
        until(lambda: commits(service) == [told])
        checked_again(service)
        assert commits(service) == [told]
        forge.unhook()
        lost = forge.push(2)
        until(lambda: commits(service) == [told, lost])
        assert service.stop() == 0
    forge.push(3)
    missed = forge.push(4)
    with start(tmp_path) as service:
        until(lambda: commits(service) == [told, lost, missed])
        checked_again(service)
        assert commits(service) == [told, lost, missed]
        assert "Traceback" not in service.errors
        service.kill()
    killed = forge.push(5)
    with start(tmp_path) as service:
        until(lambda: commits(service) == [told, lost, missed, killed])
        assert service.stop() == 0
