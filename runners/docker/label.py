"""Labels an image with where it comes from: the commit it was built of, and the base image that it stands on.

The base's digest is known for certain when the build is over, but a label has to be given before. So it is guessed, and
where the guess was wrong the build is asked for again, which costs no work: only the configuration differs. The same
input gives the same labels, so that a rebuild with nothing changed gives the same image.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runners.docker.buildkit.model import BuildOutcome, BuildRequest, Progress
from runners.docker.engine import Engine
from runners.docker.refused import failed
from taskengine.dockerfile.label import label_keys
from taskengine.lightclass import dataclass
from taskengine.runs.model import Dependency, DependencyType

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
#: a base that moves with each build is not chased for ever
_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Built:
    outcome: BuildOutcome
    stood_on: tuple[Dependency, ...]


class Labels:
    """Those of one build. What the Dockerfile sets itself is its author's and stays so. `base_name` is the name of the
    base, empty for none; `base_now` is asked for its digest when no earlier image tells."""

    def __init__(
        self, given: Mapping[str, str], dockerfile: bytes, *, base_name: str, base_now: Callable[[], str]
    ) -> None:
        own = label_keys(dockerfile.decode("utf-8-sig", "replace"))
        self.given = {key: value for key, value in given.items() if key not in own}
        self.base_name = "" if own & {BASE_NAME, BASE_DIGEST} else base_name
        self.base_now = base_now


def build_labelled(
    api: Engine,
    request: BuildRequest,
    labels: Labels,
    build: Callable[[BuildRequest, Callable[[Progress], None]], Built],
    progress: Callable[[Progress], None],
) -> Built:
    """Build with labels that tell the truth. `build` is called once, and again where the base was another than
    thought; the labels that the request has itself go before all others."""

    def attempt(digest: str, tell: Callable[[Progress], None]) -> Built:
        base = {BASE_NAME: labels.base_name, BASE_DIGEST: digest} if digest else {}
        return build(replace(request, labels={**labels.given, **base, **request.labels}), tell)

    if not labels.base_name or {BASE_NAME, BASE_DIGEST} & set(request.labels):
        return attempt("", progress)
    last = _last_image(api, request)
    guess = _digest_in(last, labels.base_name) or labels.base_now()
    wrong = []
    for number in range(_ATTEMPTS):
        built = attempt(guess, progress if number == 0 else _nothing)
        truth = _digest_of_base(built.stood_on)
        if truth == guess:
            break
        wrong.append(built.outcome.image_id)
        guess = truth
    else:
        built = attempt("", _nothing)
    for image in wrong:
        _forget(api, image, unless=last)
    return built


def _last_image(api: Engine, request: BuildRequest) -> Mapping[str, Any]:
    """The image that has the first of the names by now."""
    with contextlib.suppress(*failed()):
        return api.inspect_image(request.tags[0]) if request.tags else {}
    return {}


def _digest_in(image: Mapping[str, Any], base_name: str) -> str:
    """The digest of the base, as an earlier image says."""
    found = (image.get("Config") or {}).get("Labels") or {}
    return str(found.get(BASE_DIGEST, "")) if found.get(BASE_NAME) == base_name else ""


def _digest_of_base(stood_on: tuple[Dependency, ...]) -> str:
    """Empty for an image that nobody but this engine knows."""
    return next((entry.digest or "" for entry in stood_on if entry.type is DependencyType.RUNTIME), "")


def _forget(api: Engine, image: str, *, unless: Mapping[str, Any]) -> None:
    """Take an image away whose labels were wrong, and that nobody has a name for."""
    with contextlib.suppress(*failed()):
        if image != unless.get("Id") and not api.inspect_image(image).get("RepoTags"):
            api.remove_image(image, noprune=True)


def _nothing(_: Progress) -> None:
    """What is built again was told already."""
