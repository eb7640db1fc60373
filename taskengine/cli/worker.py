"""`acr-task worker`: this machine's engine at the disposal of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from taskengine.cli.base import Command, Option

if TYPE_CHECKING:
    from taskengine.supervisor import Supervisor
    from taskengine.worker.loop import WorkerLoop

#: seconds for what comes after the grace: threads that end, and the last answers
_LAST_THINGS = 45


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
def worker(
    server: str, name: str | None, pool: str, labels: tuple[str, ...], capacity: int, prove_push: str, grace: int
) -> int:
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
    from taskengine.workerparts import WorkerOptions, worker_loop

    if not server:
        raise InvalidInput("a worker needs a service", hint="name it with --server URL or ACR_TASK_SERVER")
    token = given_secret(os.environ, "ACR_TASK_TOKEN")
    if not token:
        raise InvalidInput(
            "a worker needs a token", hint="make one with `acr-task token create --role worker`, set ACR_TASK_TOKEN"
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
        name=name or re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()).strip("-.") or "worker",
        pool=pool,
        labels=named,
        capacity=capacity,
        registry=prove_push,
        ca_file=os.environ.get("ACR_TASK_CA_FILE", ""),
    )
    supervisor = Supervisor.of(os.environ)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        supervisor.status(text)

    return _work(worker_loop(options, wiring.settings(), say), grace, supervisor)


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
    told.wait()
    told.clear()
    supervisor.stopping(grace + _LAST_THINGS)
    if thread.is_alive():
        loop.drain()
        told.wait(grace)  # for the end of what runs, or another signal
        if thread.is_alive():
            print("leaving what runs to the next start of this worker", file=sys.stderr, flush=True)
            loop.leave()
    thread.join(timeout=10)
    if failed:
        raise failed[0]
    return 0
