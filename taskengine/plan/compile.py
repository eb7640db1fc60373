"""A `TaskSpec` to a `Plan`: defaults filled in, lines split, needs resolved. Pure; all problems at once.

Says what is wrong with values taken together. Knows no text of a file: places come with the spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taskengine.errors import Location
from taskengine.plan.buildline import cache_reference, own_cache, parse_build, with_cache
from taskengine.plan.check import check_applies, check_image, check_mounts, check_networks, check_values, check_volumes
from taskengine.plan.cmdline import parse_cmd
from taskengine.plan.env import merge_env, split_entries
from taskengine.plan.model import DEFAULT_NETWORK, BuildLine, CmdLine, Plan, PlannedStep, StepType
from taskengine.plan.needs import Needs
from taskengine.plan.option import LineError
from taskengine.plan.words import find_operators
from taskengine.taskspec import catalog
from taskengine.taskspec.inputs import Inputs
from taskengine.taskspec.model import NetworkSpec, Places, StepSpec, TaskSpec
from taskengine.taskspec.report import Report, did_you_mean


def compile_plan(
    spec: TaskSpec, *, aliases: bool, inputs: Inputs | None = None, own: Mapping[str, str] | None = None
) -> Plan:
    """The plan of a task. `own` are the task's own aliases, which count at the head of a cmd. Raises InvalidTask."""
    inputs = inputs or Inputs()
    report = Report(strict=inputs.strict)
    plan = compile_into(spec, aliases=aliases, inputs=inputs, own=own or {}, report=report)
    report.stop_on_errors("")
    return plan


def compile_into(spec: TaskSpec, *, aliases: bool, inputs: Inputs, own: Mapping[str, str], report: Report) -> Plan:
    """The plan, as far as it can be made; what cannot is in the report."""
    return _Compiler(spec, inputs, report, _heads(inputs, own) if aliases else {}).plan(aliases=aliases)


def _heads(inputs: Inputs, own: Mapping[str, str]) -> Mapping[str, str]:
    """What may stand as one word at the head of a cmd: image aliases, and the task's own. No run variables."""
    images = catalog.IMAGE_ALIASES if inputs.image_aliases is None else inputs.image_aliases
    return {**images, **own}


class _Compiler:
    def __init__(self, spec: TaskSpec, inputs: Inputs, report: Report, heads: Mapping[str, str]) -> None:
        self._spec = spec
        self._inputs = inputs
        self._report = report
        self._heads = heads
        self._working_directory = spec.working_directory or inputs.working_directory
        self._timeout = spec.step_timeout if spec.step_timeout > 0 else catalog.DEFAULT_STEP_TIMEOUT

    def plan(self, *, aliases: bool) -> Plan:
        spec, report = self._spec, self._report
        self._check_version()
        if spec.step_timeout < 0:
            at = spec.places.of("stepTimeout") if spec.places else None
            message = f"'stepTimeout' is less than 0: the default of {self._timeout} seconds counts"
            report.warning("W308", message, at, hint="write a number of seconds")
        networks, self._network = self._networks()
        check_networks(networks, report)
        check_volumes(spec.volumes, report)
        self._volumes = frozenset(volume.name for volume in spec.volumes)
        self._env = self._task_env()
        needs = Needs(spec.steps, report)
        if not spec.steps and not report.errors:
            at = spec.places.of("steps") if spec.places else None
            report.warning("W301", "this task has no steps", at, hint="add 'steps:'")
        steps = tuple(self._step(step, needs.ids[index], index, needs) for index, step in enumerate(spec.steps))
        return Plan(
            version=spec.version,
            aliases=aliases,
            steps=steps,
            networks=tuple(replace(network, places=None) if network.places else network for network in networks),
            volumes=tuple(replace(volume, places=None) if volume.places else volume for volume in spec.volumes),
            warnings=report.warnings,
        )

    def _check_version(self) -> None:
        version = self._spec.version
        if version.lower() not in catalog.VERSIONS:
            hint = did_you_mean(version, catalog.VERSIONS) or f"known are {', '.join(catalog.VERSIONS)}"
            at = self._spec.places.of("version") if self._spec.places else None
            self._report.error("E301", f"unknown version '{version}'", at, hint=hint)

    def _networks(self) -> tuple[tuple[NetworkSpec, ...], str]:
        """The networks of the run, and the name of the one that steps join which name none."""
        networks = self._spec.networks
        if self._inputs.network:
            given = NetworkSpec(name=self._inputs.network, driver="external", skip_creation=True, is_default=True)
            networks = (*networks, given)
        if not networks:
            networks = (NetworkSpec(name=DEFAULT_NETWORK, driver="bridge", is_default=True),)
        return networks, next((network.name for network in reversed(networks) if network.is_default), "")

    # -- env --------------------------------------------------------------------------------------------------------

    def _task_env(self) -> tuple[str, ...]:
        """What every step inherits: the task's entries, then those of the command line."""
        spec, report = self._spec, self._report
        given = split_entries(self._inputs.env, always=True)
        places = spec.places
        task: list[str] = []
        for index, entry in enumerate(spec.env):
            parts = split_entries((entry,), always=False)
            at = places.of("env", index) if places else None
            if len(parts) > 1:
                hint = "write one entry for each variable"
                report.warning("W305", f"'{entry}' is read as {len(parts)} variables", at, hint=hint)
            if (spec.steps or given) and not _is_pair(entry):
                self._bad_entry(entry, at)
            else:
                task.extend(parts)
        for entry in given:
            if not _is_pair(entry):
                self._bad_entry(entry, None)
        return merge_env(tuple(task), tuple(entry for entry in given if _is_pair(entry)))

    def _step_env(self, step: StepSpec) -> tuple[str, ...]:
        inherited = self._env
        for index, entry in enumerate(step.env):
            if not _is_pair(entry) and (inherited or entry.startswith("=") or not entry):
                self._bad_entry(entry, step.places.of("env", index) if step.places else step.location)
        return merge_env(step.env, inherited) if inherited else step.env

    def _bad_entry(self, entry: str, at: Location | None) -> None:
        if entry.startswith("="):
            self._report.error("E351", f"the variable in '{entry}' has no name", at, hint="write NAME=value")
        else:
            hint = f"write {entry or 'NAME'}=value"
            self._report.error("E350", f"'{entry}' is no environment variable: it has no '='", at, hint=hint)

    # -- steps ------------------------------------------------------------------------------------------------------

    def _step(self, step: StepSpec, step_id: str, index: int, needs: Needs) -> PlannedStep:
        kind = self._type(step, step_id)
        self._check_numbers(step, step_id)
        check_applies(step, kind, step_id, self._report)
        if step.volume_mounts:
            check_mounts(step, step_id, kind, self._volumes, self._report)
        text = ""
        cmd: CmdLine | None = None
        build: BuildLine | None = None
        push: tuple[str, ...] = ()
        if kind is StepType.CMD:
            text, cmd = self._cmd(step)
            check_values(step, step_id, self._report)
        elif kind is StepType.BUILD:
            text, build = self._build(step, step_id)
        else:
            push = self._push(step)
        return PlannedStep(
            id=step_id,
            type=kind,
            index=index,
            needs=needs.of(index),
            text=text,
            cmd=cmd,
            build=build,
            push=push,
            timeout=step.timeout if step.timeout > 0 else self._timeout,
            retries=step.retries,
            retry_delay=step.retry_delay if step.retry_delay > 0 else catalog.DEFAULT_RETRY_DELAY,
            retry_on_errors=step.retry_on_errors,
            cmd_download_retries=step.cmd_download_retries,
            cmd_download_retry_delay=step.cmd_download_retry_delay,
            repeat=step.repeat,
            start_delay=step.start_delay,
            env=self._step_env(step),
            working_directory=step.working_directory or self._working_directory,
            disable_working_directory_override=step.disable_working_directory_override,
            network=step.network or self._network,
            entry_point=step.entry_point,
            user=step.user,
            isolation=step.isolation,
            cpus=step.cpus,
            cache=step.cache,
            volume_mounts=step.volume_mounts,
            expose=step.expose,
            ports=step.ports,
            keep=step.keep,
            detach=step.detach,
            privileged=step.privileged,
            ignore_errors=step.ignore_errors,
            pull=step.pull,
            exited_with=step.exited_with,
            exited_without=step.exited_without,
            location=step.location,
        )

    def _type(self, step: StepSpec, step_id: str) -> StepType:
        given = [
            kind
            for kind, value in ((StepType.CMD, step.cmd), (StepType.BUILD, step.build), (StepType.PUSH, step.push))
            if value
        ]
        if len(given) > 1:
            names = " and ".join(kind.value for kind in given)
            hint = "make it several steps"
            at = _place(step, given[1].value)
            self._report.error("E306", f"step '{step_id}' has {names}; only one is possible", at, hint=hint)
        elif not given and not step.flawed:
            hint = "a step does one thing: run a container (cmd), build an image (build) or push images (push)"
            self._report.error("E305", f"step '{step_id}' has no cmd, build or push", step.location, hint=hint)
        return given[0] if given else StepType.PUSH

    def _check_numbers(self, step: StepSpec, step_id: str) -> None:
        if step.retries < 0 or step.repeat < 0:
            for name, value in (("retries", step.retries), ("repeat", step.repeat)):
                if value < 0:
                    message = f"'{name}' of step '{step_id}' is less than 0"
                    self._report.error("E307", message, _place(step, name), hint="0 or more")
        if step.timeout < 0:
            message = f"'timeout' of step '{step_id}' is less than 0: the default of {self._timeout} seconds counts"
            self._report.warning("W308", message, _place(step, "timeout"), hint="write a number of seconds")
        if step.cache and step.cache.lower() not in ("enabled", "disabled"):
            hint = did_you_mean(step.cache, ("enabled", "disabled")) or "enabled or disabled"
            self._report.error(
                "E308", f"'cache' is enabled or disabled, not '{step.cache}'", _place(step, "cache"), hint=hint
            )

    def _cmd(self, step: StepSpec) -> tuple[str, CmdLine | None]:
        text, shift = self._with_head(step.cmd or "")
        try:
            line = parse_cmd(text)
        except LineError as error:
            self._line_error(step, "cmd", error, shift)
            return text, None
        self._check_image(step, "cmd", line.image)
        operators = find_operators(text)
        if operators:
            first = operators[0]
            at = _within(step, "cmd", max(0, first.start - shift))
            hint = f"no shell reads this line; if one is meant: {line.image} sh -c '...'"
            self._report.warning("W401", f"'{first.text}' is passed on as plain text", at, hint=hint)
        return text, line

    def _with_head(self, text: str) -> tuple[str, int]:
        """The line with an alias at its head replaced, and by how much that shifts what follows. What comes of it is
        not looked up again."""
        if not self._heads:
            return text, 0
        head, blank, rest = text.strip().partition(" ")
        replacement = self._heads.get(head)
        if replacement is None:
            return text, 0
        return replacement + blank + rest, len(replacement) - len(head) - (len(text) - len(text.lstrip()))

    def _build(self, step: StepSpec, step_id: str) -> tuple[str, BuildLine | None]:
        text = step.build or ""
        try:
            line = parse_build(text)
            for tag in line.tags:
                self._check_image(step, "build", tag)
            if step.cache.lower() == "enabled" and line.tags:
                reference = cache_reference(
                    line.tags,
                    task_name=self._inputs.facts.task_name,
                    step_id=step_id,
                    registry=self._inputs.facts.registry,
                )
                own = own_cache(line)
                if reference is None and not own:
                    hint = "name the registry in the tag, or give --registry"
                    message = f"no name for the cache of step '{step_id}' can be made: it is built without"
                    self._report.warning("W402", message, _place(step, "cache"), hint=hint)
                else:
                    text = with_cache(text, reference or "", own=own)
                    line = parse_build(text)
        except LineError as error:
            self._line_error(step, "build", error)
            return text, None
        return text, line

    def _line_error(self, step: StepSpec, name: str, error: LineError, shift: int = 0) -> None:
        at = _within(step, name, max(0, error.offset - shift))
        self._report.error(error.code, error.message, at, hint=error.hint)

    def _push(self, step: StepSpec) -> tuple[str, ...]:
        images: dict[str, None] = {}
        for index, image in enumerate(step.push):
            if not image or any(char.isspace() for char in image):
                at = step.places.of("push", index) if step.places else step.location
                hint = "write one image an entry, as host/name:tag"
                self._report.error("E421", f"'{image}' is no name of an image", at, hint=hint)
            else:
                self._check_image(step, "push", image, index)
                images.setdefault(normalised(image))
        return tuple(images)

    def _check_image(self, step: StepSpec, name: str, image: str, item: int | None = None) -> None:
        at = step.places.of(name, item) if step.places is not None else step.location
        check_image(image, at, self._report)


def normalised(image: str) -> str:
    """The image name with its tag; only a colon after the last slash is one."""
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"


def _is_pair(entry: str) -> bool:
    return entry.find("=") > 0


def _place(step: StepSpec, name: str) -> Location | None:
    places: Places | None = step.places
    return places.of(name) if places is not None else step.location


def _within(step: StepSpec, name: str, offset: int) -> Location | None:
    return step.places.within(name, offset) if step.places is not None else step.location
