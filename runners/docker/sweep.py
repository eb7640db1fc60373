"""Removes from an engine all that one run made there, found by its label. Never anything else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from runners.docker.connect import Endpoint, connect
from runners.docker.engine import Engine
from runners.docker.failure import explanation
from runners.docker.journal import dead_runs
from runners.docker.refused import failed, not_there, refused
from taskengine.ambient import Ambient
from taskengine.errors import Unreachable

RUN_LABEL = "io.acr-task.run"
STEP_LABEL = "io.acr-task.step"
ROLE_LABEL = "io.acr-task.role"
KEEP_LABEL = "io.acr-task.keep"

#: seconds that any command may be held up by an engine that does not answer; ssh has to log in first
_PATIENCE = 1.0
_PATIENCE_SSH = 5.0
#: seconds until an engine that did not answer is asked again
_PAUSE = 600.0


#: what the engine says of a network or a volume whose last container is being removed by somebody else right now
_STILL_HELD = ("active endpoints", "volume is in use")
#: seconds between attempts to remove such a one: over three in all
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def sweep_run(api: Engine, run_id: str) -> tuple[str, ...]:
    """Remove the run's containers (kept ones and their volumes apart), networks and volumes.

    Returns what could not be removed. A kept container keeps no network: those are few on an engine.
    """
    left: list[str] = []

    def gone(what: str, action: object, *args: object, **kwargs: object) -> None:
        for pause in (*_PAUSES, 0.0):
            try:
                action(*args, **kwargs)  # type: ignore[operator]
            except not_there():
                return
            except refused() as error:
                if "already in progress" in str(error):
                    return
                if pause and any(words in str(error) for words in _STILL_HELD):
                    time.sleep(pause)
                    continue
                left.append(f"{what}: {explanation(error)}")
            except Exception as error:  # noqa: BLE001 - in a pool, nobody else would hear of it
                left.append(f"{what}: {error}")
            return

    mine = {"label": f"{RUN_LABEL}={run_id}"}
    containers = api.containers(all=True, filters=mine)
    kept = [c for c in containers if KEEP_LABEL in (c.get("Labels") or {})]
    kept_volumes = {m.get("Name") for c in kept for m in c.get("Mounts", [])}
    if containers:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            for c in containers:
                what = f"container {c['Id'][:12]}"
                if c in kept:
                    pool.submit(gone, what, api.stop, c["Id"], timeout=2)  # its network can only go once it has stopped
                else:
                    pool.submit(gone, what, api.remove_container, c["Id"], v=True, force=True)
    networks = api.networks(filters=mine)
    volumes = (api.volumes(filters=mine) or {}).get("Volumes") or []
    if networks or volumes:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            for network in networks:
                pool.submit(gone, f"network {network['Name']}", api.remove_network, network["Id"])
            for volume in volumes:
                if volume["Name"] not in kept_volumes:
                    pool.submit(gone, f"volume {volume['Name']}", api.remove_volume, volume["Name"], force=True)
    return tuple(left)


def _say_nothing(_: str) -> None:
    """For who does not want to know."""


def _keep_none(_: str) -> bool:
    return False


def sweep_dead_runs(
    folder: Path, tell: Callable[[str], None] = _say_nothing, keep: Callable[[str], bool] = _keep_none
) -> tuple[str, ...]:
    """Clean up after every run whose process is gone, but for those that `keep` says (by their id) are to be gone on
    with. Costs one look into a folder when there is none.

    Returns the ids of the runs that were cleaned up. A run whose engine cannot be reached is told of, and stays for a
    later command: a far engine is left in peace for ten minutes, so that it does not hold up every command.
    """
    swept = []
    away: dict[Endpoint, list[str]] = {}
    for entry, forget in dead_runs(folder):
        stamp = folder / f"{entry.run_id}.tried"
        if _is_fresh(stamp) or keep(entry.run_id):
            continue
        if entry.endpoint not in away:
            try:
                with contextlib.closing(connect(entry.endpoint, patience=_patience(entry.endpoint))) as api:
                    left = sweep_run(api, entry.run_id)
            except failed(Unreachable):
                away[entry.endpoint] = []
            else:
                if not left:
                    forget()
                    stamp.unlink(missing_ok=True)
                    swept.append(entry.run_id)
                continue
        away[entry.endpoint].append(entry.run_id)
        if not entry.endpoint.host.startswith("unix://"):  # this machine's own is asked at no cost, and soon back
            with contextlib.suppress(OSError):
                stamp.touch()
    for endpoint, runs in away.items():
        whose = f"run {runs[0]}" + (f" and {len(runs) - 1} more" if len(runs) > 1 else "")
        tell(f"left over from {whose} on {endpoint.host}, which does not answer; a later command tries again")
    return tuple(swept)


def _patience(endpoint: Endpoint) -> float:
    return _PATIENCE_SSH if endpoint.host.startswith("ssh://") else _PATIENCE


def _is_fresh(stamp: Path) -> bool:
    try:
        return 0 <= Ambient.system().now().timestamp() - stamp.stat().st_mtime < _PAUSE
    except FileNotFoundError:
        return False
