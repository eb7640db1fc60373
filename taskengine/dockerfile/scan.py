"""What images a Dockerfile needs: the base of the built stage, what else it takes from, and what it names in vain.

The answer is what a builder would do, found without asking one: pure, and done before any engine sees the file. `check`
asks the same questions only to know what is wrong; a file without FROM, for one, must never reach BuildKit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from taskengine.dockerfile.instruction import FrontEnd
from taskengine.dockerfile.model import Dockerfile
from taskengine.dockerfile.parse import parse
from taskengine.dockerfile.platform import DEFAULT, Platform
from taskengine.dockerfile.problem import Problems
from taskengine.dockerfile.resolve import Resolution, Resolver
from taskengine.dockerfile.stage import Structure, find_target, structure
from taskengine.errors import InvalidTask, Problem, Severity
from taskengine.lightclass import dataclass
from taskengine.registry.reference import HUB_DOMAIN, ImageReference, InvalidReference

_DOCKERS_FRONT_ENDS = frozenset({"docker/dockerfile", "docker/dockerfile-upstream"})
#: a build argument by which a user asks for another front end than the file does
_SYNTAX_ARGUMENT = "BUILDKIT_SYNTAX"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedStage:
    """A stage as the scan saw it. `base` is None for scratch; `platform` is the value of its flag, expanded."""

    name: str
    base: ImageReference | None
    platform: str
    is_needed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """The images of a Dockerfile. No image stands in two of `runtime`, `buildtime` and `unused`."""

    runtime: ImageReference | None
    buildtime: tuple[ImageReference, ...]
    unused: tuple[ImageReference, ...]
    syntax: ImageReference | None
    images: tuple[ImageReference, ...]
    stages: tuple[ScannedStage, ...]
    warnings: tuple[Problem, ...]

    @property
    def all(self) -> tuple[ImageReference, ...]:
        """Every image that the Dockerfile names, each once."""
        named = (self.runtime, *self.buildtime, *self.unused, self.syntax)
        return tuple(dict.fromkeys(image for image in named if image is not None))

    def platform_of(self, image: ImageReference, otherwise: str) -> str:
        """The platform that the first needed stage on this image asks for, or what is built for."""
        found = (stage.platform for stage in self.stages if stage.is_needed and stage.base == image)
        return next(found, "") or otherwise


def scan(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str = "",
    tags: Sequence[str] = (),
    file: str = "Dockerfile",
    build_platform: str = "",
    triggers: Mapping[ImageReference, Sequence[str]] | None = None,
) -> Scan:
    """The images that a Dockerfile needs to build `target` (the last stage). Raises InvalidTask with every problem.

    `build_platform` is the platform of the builder itself, by default linux/amd64. `triggers` are the ONBUILD
    instructions of base images: no Dockerfile shows them, and they may take from further images.
    """
    images = tuple(ImageReference.parse(tag) for tag in tags)
    wanted = _Wanted(
        build_args=build_args or {}, target=target, platform=platform, build_platform=build_platform,
        triggers=triggers or {},
    )  # fmt: skip
    found, problems = _examine(text, file, wanted, strict=False)
    if found is None or problems.has_errors:
        raise InvalidTask(problems.in_order(), text=text)
    return _scan(found, images, problems)


def check(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str = "",
    file: str = "Dockerfile",
) -> tuple[Problem, ...]:
    """Everything that a builder would refuse, and warnings. Nothing with an error in it may be given to BuildKit."""
    wanted = _Wanted(build_args=build_args or {}, target=target, platform=platform, build_platform="")
    return _examine(text, file, wanted, strict=True)[1].in_order()


def scan_json(found: Scan) -> dict[str, Any]:
    """A scan in the form of `acr-task scan -o json`."""
    return {
        "runtime": _image(found.runtime),
        "buildtime": [_image(image, drop_official=True) for image in found.buildtime],
        "unused": [_image(image, drop_official=True) for image in found.unused],
        "syntax": _image(found.syntax),
        "images": [_image(image) for image in found.images],
    }


def _image(image: ImageReference | None, *, drop_official: bool = False) -> dict[str, str] | None:
    if image is None:
        return None
    # ACR leaves the library/ of official images out of its build-time list, but not out of the runtime image.
    hidden = drop_official and not image.host_written and image.domain == HUB_DOMAIN
    return {
        "registry": image.registry,
        "repository": image.repository,
        "tag": image.tag,
        "digest": image.digest,
        "reference": image.familiar if hidden else image.reference,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    build_args: Mapping[str, str]
    target: str
    platform: str
    build_platform: str
    triggers: Mapping[ImageReference, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    structure: Structure
    resolution: Resolution
    target: int
    syntax: ImageReference | None


def _examine(text: str, file: str, wanted: _Wanted, *, strict: bool) -> tuple[_Found | None, Problems]:
    target_platform = Platform.parse(wanted.platform or DEFAULT)
    build_platform = Platform.parse(wanted.build_platform or DEFAULT)
    dockerfile, problems = parse(text, file=file)
    syntax, front_end = _syntax(dockerfile, wanted.build_args, problems)
    shape = structure(dockerfile, problems, front_end)
    target = find_target(shape.stages, wanted.target, problems)
    if target is None:
        return None, problems
    resolver = Resolver(
        structure=shape,
        problems=problems,
        escape=dockerfile.escape,
        build_args=wanted.build_args,
        platforms=(target_platform, build_platform),
        target=target,
        front_end=front_end,
        strict=strict,
        triggers=wanted.triggers,
    )
    return _Found(structure=shape, resolution=resolver.resolve(), target=target, syntax=syntax), problems


def _syntax(
    dockerfile: Dockerfile, build_args: Mapping[str, str], problems: Problems
) -> tuple[ImageReference | None, FrontEnd]:
    asked = build_args.get(_SYNTAX_ARGUMENT) or (dockerfile.syntax.value if dockerfile.syntax else "")
    if not asked:
        return None, FrontEnd.BUILT_IN
    name = asked.partition(" ")[0]
    try:
        image = ImageReference.parse(name)
    except InvalidReference as error:
        line = dockerfile.syntax.line if dockerfile.syntax else 1
        problems.add("E705", f"the front end: {error.message}", line, hint=error.hint, needle=name)
        return None, FrontEnd.BUILT_IN
    is_dockers = image.domain == HUB_DOMAIN and image.path in _DOCKERS_FRONT_ENDS
    return image, FrontEnd.DOCKERS if is_dockers else FrontEnd.FOREIGN


def _scan(found: _Found, images: tuple[ImageReference, ...], problems: Problems) -> Scan:
    resolution = found.resolution
    runtime = resolution.base_of(found.target)
    stages = tuple(
        ScannedStage(
            name=stage.name,
            base=resolution.base_of(stage.index),
            platform=resolution.platforms.get(stage.index, ""),
            is_needed=stage.index in resolution.needed,
        )
        for stage in found.structure.stages
    )
    seen = {runtime} if runtime else set()
    buildtime = _distinct(resolution.images(needed=True), seen)
    unused = _distinct(resolution.images(needed=False), seen)
    return Scan(
        runtime=runtime,
        buildtime=buildtime,
        unused=unused,
        syntax=found.syntax,
        images=images,
        stages=stages,
        warnings=tuple(problem for problem in problems.in_order() if problem.severity is Severity.WARNING),
    )


def _distinct(images: Iterable[ImageReference], seen: set[ImageReference]) -> tuple[ImageReference, ...]:
    """The images that are not in `seen`, in order, each once; they are added to it."""
    found = []
    for image in images:
        if image not in seen:
            seen.add(image)
            found.append(image)
    return tuple(found)
