"""What will happen: the compiled, ordered, immutable form of a task. Data only.

Durations are whole seconds. A plan holds the rendered text of its steps, secrets included, and so is never stored or
printed as it is: whoever shows one runs it through the secret mask first.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum

from taskengine.errors import Location, Problem
from taskengine.lightclass import dataclass
from taskengine.taskspec.model import NetworkSpec, VolumeMount, VolumeSpec

DEFAULT_NETWORK = "acb_default_network"
WORKSPACE = "/workspace"
HOME = "/acb/home"


class StepType(Enum):
    CMD = "cmd"
    BUILD = "build"
    PUSH = "push"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """A line with options: pairs of an option's long name without dashes (`volume`, `env`, `tty`) and its value (""
    for a flag that is given without one), in the order written."""

    options: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> tuple[str, ...]:
        """Every value given for one option, in order."""
        return tuple(value for key, value in self.options if key == name)

    def last(self, name: str) -> str | None:
        """The value that counts for an option that may be given once: the last; None when it was not given."""
        values = self.all(name)
        return values[-1] if values else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CmdLine(_Line):
    """A `cmd` line, split like a POSIX shell splits words: docker run options, the image, its arguments.

    Which options exist is decided by `plan/cmdline.py`.
    """

    image: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildLine(_Line):
    """A `build` line: docker build options and the context.

    `dockerfile` is the `-f` value or "" (then it is `Dockerfile` at the context's root; "-" is standard input).
    """

    context: str
    dockerfile: str = ""
    tags: tuple[str, ...] = ()
    build_args: tuple[str, ...] = ()
    target: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStep:
    """One step, ready to be carried out: all defaults filled in, the step's text split, its needs resolved."""

    id: str
    type: StepType
    index: int
    needs: tuple[str, ...] = ()
    #: the step's own text: the cmd line (image alias replaced) or the build line; "" for a push
    text: str = ""
    cmd: CmdLine | None = None
    build: BuildLine | None = None
    push: tuple[str, ...] = ()
    timeout: int = 600
    retries: int = 0
    retry_delay: int = 5
    retry_on_errors: tuple[str, ...] = ()
    cmd_download_retries: int = 0
    cmd_download_retry_delay: int = 0
    repeat: int = 0
    start_delay: int = 0
    env: tuple[str, ...] = ()
    working_directory: str = ""
    disable_working_directory_override: bool = False
    network: str = ""
    entry_point: str = ""
    user: str = ""
    isolation: str = ""
    cpus: str = ""
    cache: str = ""
    volume_mounts: tuple[VolumeMount, ...] = ()
    expose: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    keep: bool = False
    detach: bool = False
    privileged: bool = False
    ignore_errors: bool = False
    pull: bool = False
    exited_with: tuple[int, ...] = ()
    exited_without: tuple[int, ...] = ()
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The steps in the order of the file. A step needs only steps above it: file order is a topological order."""

    version: str
    aliases: bool = False
    steps: tuple[PlannedStep, ...] = ()
    networks: tuple[NetworkSpec, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    def step(self, step_id: str) -> PlannedStep:
        """The step with that id. Raises KeyError when there is none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)
