"""What we put on this machine, remembered in .local/ so that `down` takes away that and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"


def load(name: str) -> dict[str, Any]:
    """What was saved under this name; empty when nothing was."""
    try:
        saved: dict[str, Any] = json.loads((STATE / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return saved


def save(name: str, content: dict[str, Any]) -> None:
    STATE.mkdir(exist_ok=True)
    new = STATE / f"{name}.json.new"
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(STATE / f"{name}.json")


def forget(name: str) -> None:
    (STATE / f"{name}.json").unlink(missing_ok=True)


def clone_id() -> str:
    """Two clones on one machine do not get in each other's way."""
    return hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
