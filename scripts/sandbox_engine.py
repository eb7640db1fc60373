"""Runs a command with a Docker Engine of its own: `python -m scripts.sandbox_engine -- docker version`.

The engine has busybox and, at $REGISTRY, a registry; both are gone when the command ends. `--sweep` removes what
earlier ones left that were killed."""

from __future__ import annotations

import subprocess
import sys

from tests.support.engine import own_engine
from tests.support.sandbox import SandboxUnavailable, sweep


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--sweep"]:
            for name in sweep():
                print(f"removed {name}")
            return 0
        case ["--", *command] if command:
            return _run(command)
    print("usage: python -m scripts.sandbox_engine --sweep | -- COMMAND [ARGUMENT]...", file=sys.stderr)
    return 2


def _run(command: list[str]) -> int:
    try:
        engine = own_engine()
    except SandboxUnavailable as error:
        print(f"sandbox_engine: {error}", file=sys.stderr)
        return 3
    try:
        # Inside the sandbox's network the registry has the same name for the command as for the engine.
        environment = {**engine.env, "REGISTRY": engine.registry}
        return subprocess.run([*engine.inside, *command], env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        engine.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
