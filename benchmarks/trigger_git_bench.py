"""From a `git push` to the first container: a git server on loopback whose hook tells the service, as a forge does."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, p50_p95
from benchmarks.served import Caller, Served, ended, say
from benchmarks.starts import Starts
from tests.context.servers import Repository, Server, git
from tests.support.engine import own_engine

_SECRET = "the-secret-of-the-hook"
_TASK = "version: v1.1.0\nsteps:\n  - cmd: busybox:1 true\n"
#: tells the service of each ref that was pushed, by the form of senders that are no forge we know by name
_HOOK = """\
#!/bin/sh
while read before commit ref; do
  curl -sf -o /dev/null -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' \\
    -d "{{\\"repository\\": \\"{url}\\", \\"ref\\": \\"$ref\\", \\"commit\\": \\"$commit\\"}}" \\
    {service}/hooks/generic/web
done
"""


def measure(*, count: int = 20) -> list[Figure]:
    """`count` pushes, each when the run of the one before is over."""
    engine = own_engine(registry=False)
    pushes, queued, started = [], [], []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            server = Server(folder / "git", host=engine.sandbox.outer_address)
            env = {**os.environ, **engine.env, "PATH": f"/usr/bin:{os.environ['PATH']}"}
            served = Served(folder / "service", env=env, inside=engine.inside, host=engine.sandbox.address)
            with served.start("worker: ready"), Caller(served) as caller:
                url = f"{server.url}/git/web.git"
                work = _repository(folder, server.root, url, served.url)
                caller.post("/tasks", _task(url))
                say("pushes")
                for number in range(count + 1):
                    work.commit({"file": f"{number}\n"})
                    with Starts(engine.api) as starts:
                        begin = time.clock_gettime(time.CLOCK_REALTIME)
                        git(work.folder, "push", "-q", url, "main")
                        pushed = time.clock_gettime(time.CLOCK_REALTIME)
                        first = starts.next(begin)
                    run = ended(caller, [first.run.rpartition("-")[0]])[0]
                    if number:  # the first one warms up
                        pushes.append(pushed - begin)
                        queued.append(datetime.fromisoformat(run["createTime"]).timestamp() - begin)
                        started.append(first.at - begin)
            server.close()
    finally:
        engine.close()
    return [
        Figure(name="`git push`, from its beginning until its run is queued, p50 / p95", found=p50_p95(queued)),
        Figure(name="the same, until the first step's container is started", found=p50_p95(started)),
        Figure(name="`git push` itself, its hook included, p50 / p95", found=p50_p95(pushes)),
    ]


def _repository(folder: Path, root: Path, url: str, service: str) -> Repository:
    """A work tree, whose server's side has the hook."""
    bare = root / "web.git"
    bare.mkdir(parents=True)
    git(bare, "init", "-q", "--bare", "-b", "main")
    git(bare, "config", "http.receivepack", "true")
    hook = bare / "hooks" / "post-receive"
    hook.write_text(_HOOK.format(secret=_SECRET, url=url, service=service))
    hook.chmod(0o755)
    work = Repository(folder / "work")
    work.commit({"acb.yaml": _TASK})
    return work


def _task(url: str) -> dict[str, Any]:
    trigger = {
        "name": "commits", "sourceTriggerEvents": ["commit"],
        "sourceRepository": {"repositoryUrl": url, "branch": "main"},
    }  # fmt: skip
    step = {"type": "FileTask", "taskFilePath": "acb.yaml", "contextPath": f"{url}#main"}
    return {"name": "web", "step": step, "trigger": {"sourceTriggers": [trigger]}, "webhookSecret": _SECRET}
