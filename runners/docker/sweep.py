"""Removes from an engine all that one run made there, found by its label. Never anything else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runners.docker.connect import Endpoint, connect
from runners.docker.engine import Engine
from runners.docker.journal import dead_runs
from taskengine.errors import Unreachable

RUN_LABEL = "io.acr-task.run"
STEP_LABEL = "io.acr-task.step"
ROLE_LABEL = "io.acr-task.role"
KEEP_LABEL = "io.acr-task.keep"

#: seconds that any command may be held up by an engine that does not answer
_PATIENCE = 5.0


def sweep_run(api: Engine, run_id: str) -> tuple[str, ...]:
    """Remove the run's containers (kept ones and their volumes apart), networks and volumes.

    Returns what could not be removed. A kept container keeps no network: those are few on an engine.
    """
    import requests
    from docker.errors import APIError, NotFound

    left: list[str] = []

    def gone(what: str, action: object, *args: object, **kwargs: object) -> None:
        try:
            action(*args, **kwargs)  # type: ignore[operator]
        except NotFound:
            pass
        except APIError as error:
            if "already in progress" not in str(error):
                left.append(f"{what}: {error.explanation or error}")
        except (requests.RequestException, OSError) as error:
            left.append(f"{what}: {error}")

    mine = {"label": f"{RUN_LABEL}={run_id}"}
    containers = api.containers(all=True, filters=mine)
    kept = [c for c in containers if KEEP_LABEL in (c.get("Labels") or {})]
    kept_volumes = {m.get("Name") for c in kept for m in c.get("Mounts", [])}
    with ThreadPoolExecutor(8) as pool:
        for c in containers:
            what = f"container {c['Id'][:12]}"
            if c in kept:
                pool.submit(gone, what, api.stop, c["Id"], timeout=2)  # its network can only go once it has stopped
            else:
                pool.submit(gone, what, api.remove_container, c["Id"], v=True, force=True)
    with ThreadPoolExecutor(4) as pool:
        for network in api.networks(filters=mine):
            pool.submit(gone, f"network {network['Name']}", api.remove_network, network["Id"])
        for volume in (api.volumes(filters=mine) or {}).get("Volumes") or []:
            if volume["Name"] not in kept_volumes:
                pool.submit(gone, f"volume {volume['Name']}", api.remove_volume, volume["Name"], force=True)
    return tuple(left)


def sweep_dead_runs(folder: Path) -> tuple[str, ...]:
    """Clean up after every run whose process is gone. Costs one look into a folder when there is none.

    Returns the ids of the runs that were cleaned up. A run whose engine cannot be reached stays for the next time.
    """
    import requests
    from docker.errors import APIError

    swept = []
    away: set[Endpoint] = set()
    for entry, forget in dead_runs(folder):
        if entry.endpoint in away:
            continue
        try:
            api = connect(entry.endpoint, patience=_PATIENCE)
        except Unreachable:
            away.add(entry.endpoint)
            continue
        try:
            if not sweep_run(api, entry.run_id):
                forget()
                swept.append(entry.run_id)
        except (APIError, requests.RequestException, OSError):
            away.add(entry.endpoint)
        finally:
            api.close()
    return tuple(swept)
