"""A worker's process for tests that kill it: carries one run out on an engine, with its spool in a folder.

Started as `python -m tests.worker.child FOLDER`; FOLDER holds `spec.json`, the rest is the environment's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from taskengine import wiring
from taskengine.ambient import Ambient
from taskengine.client.workers import LeasedRun
from taskengine.runner import Cancel
from taskengine.runs.model import RunRecord
from taskengine.runs.spec import RunSpec
from taskengine.worker.carry import Machine, carry_out
from taskengine.worker.spool import Lease, Spool


def machine(using: wiring.Settings, context: Path) -> Machine:
    def uploaded(leased: object, into: Path, cancel: object) -> None:
        import shutil

        shutil.copytree(context, into)

    return Machine(
        runner=lambda c, logins, contexts: wiring.runner_for(c, using, logins=logins, contexts=contexts),  # type: ignore[arg-type]
        contexts=lambda name, logins: wiring.contexts_for(name, using, files=False, logins=logins),
        uploaded=uploaded,
        platform=lambda: "linux/amd64",
    )


def carry(folder: Path, environ: dict[str, str]) -> RunRecord:
    """Carry out, or go on with, the run whose files are in `folder`."""
    using = wiring.Settings(data_dir=folder / "data", environ=environ, worker_dir=folder / "worker")
    said = json.loads((folder / "spec.json").read_text())
    leased = LeasedRun(
        worker="w", run=said["run"], attempt=1, epoch=1, spec=RunSpec.from_json(said["spec"]), secrets=said["secrets"]
    )
    spool = Spool(folder / "spool", Lease(run=leased.run, attempt=1, epoch=1), Ambient.system())
    try:
        return carry_out(leased, spool, machine(using, folder / "context"), Cancel(), Ambient.system())
    finally:
        spool.close()


if __name__ == "__main__":
    import os

    carry(Path(sys.argv[1]), dict(os.environ))
