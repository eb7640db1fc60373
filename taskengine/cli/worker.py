"""`acr-task worker`: this machine's engine at the disposal of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from taskengine.cli.base import Command, Option

if TYPE_CHECKING:
    from taskengine.supervisor import Supervisor
    from taskengine.worker.loop import WorkerLoop
    from taskengine.workerparts import WorkerOptions

DISK = "The disk"

#: seconds for what comes after the grace: threads that end, and the last answers
_LAST_THINGS = 45
#: seconds until a signal is heard at the latest
_TURN = 0.5


@click.command(
    cls=Command,
    examples=[
        ("acr-task worker --server https://tasks.example.com", "take runs; the token is in ACR_TASK_TOKEN"),
        ("acr-task worker --pool arm --label disk=fast --capacity 4", "for runs that ask for this pool"),
    ],
)
@click.option(
    "--server",
    cls=Option,
    envvar="ACR_TASK_SERVER",
    metavar="URL",
    default="",
    help="The service ($ACR_TASK_SERVER).",
)
@click.option("--name", cls=Option, metavar="NAME", help="What the worker is called (default: this machine's name).")
@click.option("--pool", cls=Option, default="", metavar="NAME", help="The pool it belongs to (az: --agent-pool).")
@click.option("--label", "labels", cls=Option, multiple=True, metavar="K=V", help="What runs may ask for; repeatable.")
@click.option(
    "--capacity", cls=Option, type=click.IntRange(1, 256), default=2, metavar="N", help="The most runs at once (2)."
)
@click.option(
    "--prove-push",
    cls=Option,
    default="",
    metavar="REGISTRY",
    help="Be ready only when a small image could be pushed there.",
)
@click.option(
    "--grace",
    cls=Option,
    type=click.IntRange(0),
    default=60,
    metavar="SECONDS",
    help="How long SIGTERM waits for what runs (60).",
)
@click.option(
    "--min-free",
    cls=Option,
    section=DISK,
    default="2g",
    metavar="SIZE",
    help="Take no runs while less than this is free, until half as much again is (2g).",
)
@click.option(
    "--image-days",
    cls=Option,
    section=DISK,
    type=click.IntRange(0),
    default=30,
    metavar="N",
    help="Remove images that runs brought or built and that no run has used for so long (30); 0 keeps them.",
)
@click.option(
    "--own-engine",
    cls=Option,
    section=DISK,
    is_flag=True,
    help="Nobody else uses this engine: keep its build cache in bounds, too.",
)
@click.option(
    "--cache-limit",
    cls=Option,
    section=DISK,
    default="20g",
    metavar="SIZE",
    help="The most that the build cache may have, with --own-engine (20g).",
)
@click.option(
    "--cache-reserve",
    cls=Option,
    section=DISK,
    default="2g",
    metavar="SIZE",
    help="What of the build cache stays even when the disk is short (2g).",
)
@click.option(
    "--dry-run", cls=Option, section=DISK, is_flag=True, help="Say what would be removed from the engine now, and end."
)
def worker(
    server: str, name: str | None, pool: str, labels: tuple[str, ...], capacity: int, prove_push: str, grace: int,
    min_free: str, image_days: int, own_engine: bool, cache_limit: str, cache_reserve: str, dry_run: bool,
) -> int:  # fmt: skip
    """Take runs from a service and carry them out on this machine's engine.

    The worker dials out; nothing has to reach it. Its token (role worker) is read from ACR_TASK_TOKEN, or from the file
    that ACR_TASK_TOKEN_FILE names. SIGTERM or Ctrl-C: nothing new is taken, and what runs may end within --grace; what
    still runs then goes on by itself, and the next start of a worker of this name goes on with it. A second signal does
    not wait.
    """
    import os
    import re
    import socket
    import sys

    from taskengine import wiring
    from taskengine.errors import InvalidInput
    from taskengine.givensecret import given_secret
    from taskengine.supervisor import Supervisor
    from taskengine.worker.tidying import Upkeep
    from taskengine.workerparts import WorkerOptions, worker_loop

    upkeep = Upkeep(
        min_free=_size("--min-free", min_free), owns_engine=own_engine, image_days=image_days,
        cache_limit=_size("--cache-limit", cache_limit), cache_reserve=_size("--cache-reserve", cache_reserve),
    )  # fmt: skip
    name = name or re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()).strip("-.") or "worker"
    if dry_run:
        return _say_what_would_go(WorkerOptions(url="", token="", name=name, upkeep=upkeep))
    if not server:
        raise InvalidInput("a worker needs a service", hint="name it with --server URL or ACR_TASK_SERVER")
    token = given_secret(os.environ, "ACR_TASK_TOKEN")
    if not token:
        raise InvalidInput(
            "a worker needs a token",
            hint="make one with `acr-task token create --role worker --worker NAME`, set ACR_TASK_TOKEN",
        )
    named = {}
    for label in labels:
        key, equals, value = label.partition("=")
        if not key or not equals:
            raise InvalidInput(f"--label {label!r} is not understood", hint="write --label NAME=VALUE")
        named[key] = value
    options = WorkerOptions(
        url=server,
        token=token,
        name=name,
        pool=pool,
        labels=named,
        capacity=capacity,
        registry=prove_push,
        ca_file=os.environ.get("ACR_TASK_CA_FILE", ""),
        upkeep=upkeep,
    )
    supervisor = Supervisor.of(os.environ)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        supervisor.status(text)

    return _work(worker_loop(options, wiring.settings(), say), grace, supervisor)


def _size(option: str, text: str) -> int:
    """Bytes. Raises InvalidInput."""
    from taskengine.errors import InvalidInput
    from taskengine.plan.value import size_bytes

    try:
        size = size_bytes(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}", hint=error.hint) from None
    if size < 0:
        raise InvalidInput(f"{option}: {text} is no size", hint="write a number with a unit, such as 20g")
    return size


def _say_what_would_go(options: WorkerOptions) -> int:
    from taskengine import wiring
    from taskengine.worker.tidying import shown
    from taskengine.workerparts import what_would_go

    going = what_would_go(options, wiring.settings())
    for one in going:
        print(f"{one.kind}{f' {one.name}' if one.name else ''} ({shown(one.size)}): {one.why}")
    print(f"{len(going)} would go, {shown(sum(one.size for one in going))} at most; nothing was removed")
    return 0


def _work(loop: WorkerLoop, grace: float, supervisor: Supervisor) -> int:
    """Work until a signal comes; then wait for what runs, but no longer than `grace` or until another signal."""
    import signal
    import sys
    import threading

    told = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            loop.run()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failed.append(error)
        finally:
            told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    thread = threading.Thread(target=run, name="worker", daemon=True)
    supervisor.ready("starting")  # whether it may take runs is a matter of service and engine, and may change
    thread.start()
    # in short turns: a signal that reaches another thread does not wake this one, and only this one runs handlers
    while not told.wait(_TURN):
        pass
    told.clear()
    supervisor.stopping(grace + _LAST_THINGS)
    if thread.is_alive():
        loop.drain()
        left = grace  # for the end of what runs, or another signal
        while left > 0 and not told.wait(min(_TURN, left)):
            left -= _TURN
        if thread.is_alive():
            print("leaving what runs to the next start of this worker", file=sys.stderr, flush=True)
            loop.leave()
    thread.join(timeout=10)
    if failed:
        raise failed[0]
    return 0
