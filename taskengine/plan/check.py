"""Rules about networks, volumes, mounts, names of images, values, and properties that have no effect where they
stand. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from taskengine.errors import InvalidInput, Location
from taskengine.lightpattern import pattern
from taskengine.plan import value as values
from taskengine.plan.model import StepType
from taskengine.registry.reference import ImageReference, InvalidReference
from taskengine.taskspec import catalog
from taskengine.taskspec.model import NetworkSpec, Places, StepSpec, VolumeSpec
from taskengine.taskspec.report import Report

#: docker run takes one, though it is no name
_IMAGE_ID = pattern(r"[a-f0-9]{64}")
_VOLUME_NAME = pattern(r"[A-Za-z0-9_-]+")
#: properties that some type of step has no use for; a workingDirectory or env is inherited by all and so never told
_PARTIAL = tuple(entry for entry in catalog.STEP.values() if len(entry.steps) < len(StepType))
_DEFAULTS = StepSpec()
_SKIPPED = frozenset({"cmd", "build", "push"})
_CHECKED = {
    kind: tuple(
        (entry.field, entry.name, getattr(_DEFAULTS, entry.field), entry.steps)
        for entry in _PARTIAL
        if kind.value not in entry.steps and entry.name not in _SKIPPED
    )
    for kind in StepType
}


def check_networks(networks: tuple[NetworkSpec, ...], report: Report) -> None:
    seen: set[str] = set()
    for network in networks:
        if not network.name:
            report.error("E320", "this network has no name", network.location, hint="add 'name:'")
        elif network.name in seen:
            message = f"the network '{network.name}' is declared twice; it is made once"
            report.warning("W303", message, network.location, hint="remove one of them")
        seen.add(network.name)


def check_volumes(volumes: tuple[VolumeSpec, ...], report: Report) -> None:
    seen: dict[str, VolumeSpec] = {}
    for volume in volumes:
        places: Places | None = volume.places
        at_name = places.of("name") if places else volume.location
        if not volume.name:
            report.error("E330", "this volume has no name", volume.location, hint="add 'name:'")
        elif not _VOLUME_NAME.fullmatch(volume.name):
            hint = "letters, digits, - and _"
            report.error("E330", f"the volume name '{volume.name}' has other signs in it", at_name, hint=hint)
        elif volume.name in seen:
            first = seen[volume.name].location
            related = (("first declared here", first),) if first else ()
            report.error("E332", f"two volumes have the name '{volume.name}'", at_name, related=related)
        seen.setdefault(volume.name, volume)
        if not volume.secret:
            hint = "add 'secret:' with 'FILE: BASE64' lines; it is the only kind of volume there is"
            report.error("E331", f"the volume '{volume.name}' has no files", volume.location, hint=hint)
        _check_files(volume, report)


def _check_files(volume: VolumeSpec, report: Report) -> None:
    at = volume.places.of("secret") if volume.places else volume.location
    for name, value in volume.secret:
        if not name or name.startswith("/") or "\0" in name or {"..", ".", ""} & set(name.split("/")):
            hint = "a plain name: the file lies in the volume"
            report.error("E333", f"'{name}' is no name for a file in volume '{volume.name}'", at, hint=hint)
        try:
            base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            hint = "encode it, for instance by {{ .Values.x | b64enc }}"
            report.warning("W307", f"the content of '{name}' is not base64: the run will fail", at, hint=hint)


def check_mounts(step: StepSpec, step_id: str, kind: StepType, volumes: frozenset[str], report: Report) -> None:
    if kind is StepType.PUSH and step.push:
        hint = "only cmd and build steps have a container"
        report.error("E343", f"step '{step_id}' pushes: it cannot mount volumes", _at(step, None), hint=hint)
    paths: set[str] = set()
    for index, mount in enumerate(step.volume_mounts):
        place = _at(step, index)
        if not mount.name or not mount.mount_path:
            missing = "name" if not mount.name else "mountPath"
            report.error(
                "E340", f"a volume mount of step '{step_id}' has no {missing}", place, hint=f"add '{missing}:'"
            )
            continue
        if mount.name not in volumes:
            hint = report.nearest(mount.name, sorted(volumes)) or "declare it under 'volumes:' of the task"
            report.error("E341", f"step '{step_id}' mounts the unknown volume '{mount.name}'", place, hint=hint)
        if mount.mount_path in paths:
            report.error("E342", f"step '{step_id}' mounts two volumes at {mount.mount_path}", place)
        elif not mount.mount_path.startswith("/"):
            hint = f"write /{mount.mount_path}"
            report.warning("W306", f"the mount path '{mount.mount_path}' is not absolute", place, hint=hint)
        paths.add(mount.mount_path)


def _at(step: StepSpec, item: int | None) -> Location | None:
    return step.places.of("volumeMounts", item) if step.places else step.location


def check_values(step: StepSpec, step_id: str, report: Report) -> None:
    """Tell of processors and ports that nobody can give."""
    if step.cpus:
        _check_value(values.nano_cpus, step, "cpus", step.cpus, None, step_id, report)
    for name, read, texts in (("ports", values.published, step.ports), ("expose", values.exposed, step.expose)):
        for index, text in enumerate(texts):
            _check_value(read, step, name, text, index, step_id, report)


def _check_value(
    read: Callable[[str], object], step: StepSpec, name: str, text: str, item: int | None, step_id: str, report: Report
) -> None:
    try:
        read(text)
    except InvalidInput as error:
        at = step.places.of(name, item) if step.places else step.location
        report.error("E309", f"'{name}' of step '{step_id}': {error}", at, hint=error.hint)


def check_image(image: str, at: Location | None, report: Report) -> None:
    """Tell of a name that no registry and no engine takes. Only a warning where a variable may be missing in it: the
    same file may be right in another run."""
    if image[:1] in ("/", ":"):
        hint = "is $Registry, or what else stands in front of it, empty? Give --registry"
        report.warning("W403", f"the image name '{image}' lacks its beginning", at, hint=hint)
        return
    try:
        ImageReference.parse(image)
    except InvalidReference as error:
        if _may_be_incomplete(image):
            hint = error.hint or "is a variable in it not replaced, or empty?"
            report.warning("W404", str(error), at, hint=hint)
        else:
            report.error("E422", str(error), at, hint=error.hint)


def _may_be_incomplete(image: str) -> bool:
    if "$" in image or image in catalog.RUN_ALIASES or _IMAGE_ID.fullmatch(image):
        return True
    return any(not part or part[0] in "._-" or part[-1] in "._-" for part in re.split("[/:@]", image))


def check_applies(step: StepSpec, kind: StepType, step_id: str, report: Report) -> None:
    """Warn of properties that a step of this type has no use for."""
    for field, name, default, types in _CHECKED[kind]:
        if getattr(step, field) != default:
            at = step.places.of(name) if step.places else step.location
            hint = f"it belongs to {' and '.join(types)} steps"
            report.warning("W302", f"'{name}' has no effect on {kind.value} step '{step_id}'", at, hint=hint)
