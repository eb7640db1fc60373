"""Whether `run` and `build` go to a server: their options for that, and what was given with them.

All that asks a server is left to `quick`, which is loaded where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskengine.cli.base import Option
from taskengine.errors import InvalidInput
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from taskengine.cli.server.target import Target

F = TypeVar("F", bound=Callable[..., Any])

SECTION = "On a server"


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a run is to happen, and how long this command stays with it."""

    local: bool = False
    no_wait: bool = False
    pool: str = ""

    def target(self) -> Target | None:
        """The server; None where the run stays here. Raises InvalidInput for what only a server can do."""
        from taskengine import wiring
        from taskengine.cli.server.target import configured

        using = wiring.settings()
        found = None if self.local else configured(using.environ, using.data_dir)
        if found is None and (self.no_wait or self.pool):
            raise InvalidInput(
                f"{'--no-wait' if self.no_wait else '--agent-pool'} is for runs on a server",
                hint="leave out --local" if self.local else "acr-task login https://SERVER",
            )
        return found


def server_options(command: F) -> F:
    """Give a command `--local`, `--no-wait` and `--agent-pool`. They arrive as one argument, `where: Where`."""

    @wraps(command)
    def wrapped(*args: Any, local: bool, no_wait: bool, agent_pool: str, **kwargs: Any) -> Any:
        return command(*args, where=Where(local=local, no_wait=no_wait, pool=agent_pool), **kwargs)

    for decorator in reversed(
        (
            click.option("--local", cls=Option, section=SECTION, is_flag=True, help="Stay on this machine's engine."),
            click.option(
                "--no-wait", cls=Option, section=SECTION, is_flag=True, help="Queue the run, print its id, and leave."
            ),
            click.option("--agent-pool", cls=Option, section=SECTION, default="", metavar="POOL",
                         help="Only on workers of this pool."),
        )
    ):  # fmt: skip
        wrapped = decorator(wrapped)
    return wrapped  # type: ignore[return-value]
