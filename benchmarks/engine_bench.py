"""Steps, logs and builds against the docker command line on one engine of our own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from benchmarks import build_bench
from benchmarks.measure import ACR_TASK, Result, command, in_turns, shell
from tests.support.engine import OwnEngine, own_engine


def sequential(env: Mapping[str, str], folder: Path, *, rounds: int, count: int = 20) -> Result:
    """`count` trivial steps one after the other, start-up and clean-up included."""
    task = folder / "sequential.yaml"
    task.write_text("steps:\n" + "".join(f"  - cmd: busybox:1 echo {i}\n" for i in range(count)))
    ours = command(ACR_TASK, "run", task, "/dev/null", env=env)
    theirs = shell(f"for i in $(seq {count}); do docker run --rm --network bench busybox:1 echo $i; done", env)
    a, b = in_turns(ours, theirs, rounds=rounds)
    return Result(
        name=f"{count} sequential `cmd` steps", ours=a, theirs=b, target="<= 0.5",
        theirs_is="`docker run --rm --network NET` in a shell loop",
    )  # fmt: skip


def parallel(env: Mapping[str, str], folder: Path, *, rounds: int, count: int = 40) -> Result:
    """`count` trivial steps at once."""
    task = folder / "parallel.yaml"
    task.write_text("steps:\n" + "".join(f"  - {{cmd: busybox:1 echo {i}, when: ['-']}}\n" for i in range(count)))
    ours = command(ACR_TASK, "run", task, "/dev/null", env=env)
    theirs = shell(f"for i in $(seq {count}); do docker run --rm --network bench busybox:1 echo $i & done; wait", env)
    a, b = in_turns(ours, theirs, rounds=rounds)
    return Result(
        name=f"{count} parallel `cmd` steps", ours=a, theirs=b, target="<= 0.9",
        theirs_is="`docker run --rm --network NET ... &`, then `wait`",
    )  # fmt: skip


def one_step(env: Mapping[str, str], folder: Path, *, rounds: int) -> Result:
    task = folder / "one.yaml"
    task.write_text("steps:\n  - cmd: busybox:1 true\n")
    ours = command(ACR_TASK, "run", task, "/dev/null", env=env)
    theirs = shell("docker run --rm --network bench busybox:1 true", env)
    a, b = in_turns(ours, theirs, rounds=rounds)
    return Result(name="one `cmd` step", ours=a, theirs=b, theirs_is="`docker run --rm --network NET`")


def logs(env: Mapping[str, str], folder: Path, *, rounds: int, megabytes: int = 100) -> Result:
    """The time that `megabytes` of log cost beside what a run costs anyway, against reading them with `docker logs`."""
    task = folder / "logs.yaml"
    printing = f"yes 0123456789abcdef0123456789abcdef0123456789abcdef012345678 | head -c {megabytes}000000"
    task.write_text(f'steps:\n  - cmd: busybox:1 sh -c "{printing}"\n    timeout: 600\n')
    ours = shell(f"{ACR_TASK} run {task} /dev/null >/dev/null", env)
    theirs = shell("docker logs bench-logs >/dev/null", env)
    command("docker", "run", "--name", "bench-logs", "busybox:1", "sh", "-c", printing, env=env)()
    a, b = in_turns(ours, theirs, rounds=rounds)
    command("docker", "rm", "-fv", "bench-logs", env=env)()
    return Result(
        name=f"{megabytes} MB of log, printed, carried, prefixed and written", ours=a, theirs=b, target="<= 2",
        theirs_is="`docker logs` of a finished container",
        note="ours is a whole run, the container that prints included",
    )  # fmt: skip


Measure = Callable[[Mapping[str, str], Path, OwnEngine, int], Result]

#: the rows of the table by a short name, in their order
ROWS: dict[str, Measure] = {
    "sequential": lambda env, folder, _, rounds: sequential(env, folder, rounds=rounds),
    "parallel": lambda env, folder, _, rounds: parallel(env, folder, rounds=rounds),
    "one": lambda env, folder, _, rounds: one_step(env, folder, rounds=rounds),
    "logs": lambda env, folder, _, rounds: logs(env, folder, rounds=rounds),
    "build": lambda env, folder, engine, rounds: build_bench.build_and_push(
        env, folder, engine.registry, rounds=rounds
    ),
    "ten-builds": lambda env, folder, engine, rounds: build_bench.ten_in_a_row(
        env, folder, engine.registry, rounds=rounds
    ),
    "builds-at-once": lambda env, folder, _, rounds: build_bench.ten_at_once(env, folder, rounds=rounds),
    "context": lambda env, folder, _, rounds: build_bench.cached_context(env, folder, rounds=rounds),
    "ignored": lambda env, folder, _, rounds: build_bench.mostly_ignored(env, folder, rounds=rounds),
}


def measure(*, rounds: int, rows: Collection[str] = ()) -> tuple[list[Result], dict[str, str]]:
    """All of it, or the named rows only, on an engine started for it."""
    with tempfile.TemporaryDirectory() as name:
        engine: OwnEngine = own_engine(registry=True)
        try:
            # the distribution's own docker first: another may lie in front of it, without its BuildKit client
            env = {**os.environ, **engine.env, "PATH": f"/usr/bin:{os.environ['PATH']}"}
            version = engine.api.version()
            command("docker", "network", "create", "bench", env=env)()
            results = []
            for row, measured in ROWS.items():
                if not rows or row in rows:
                    results.append(measured(env, Path(name), engine, rounds))
                    print(results[-1], f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        finally:
            engine.close()
    return results, {"engine": version["Version"], "kernel": version["KernelVersion"]}
