"""Where a run's files come from, as its result and the labels of its images say it. Pure.

A label has to be the same for the same input, or each run would make another image of it: so an image's `created` is
the time of its commit, and no run has a label of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskengine.cli.option import TaskOptions

if TYPE_CHECKING:
    from taskengine.context.model import Fetched


def git_of(options: TaskOptions) -> Mapping[str, str]:
    """What is known of the context's repository: commit, branch, tag and address, as far as there are any."""
    found = {
        "commit": options.commit,
        "branch": options.branch,
        "tag": options.git_tag,
        "repository": _address(options.repository),
    }
    return {key: value for key, value in found.items() if value}


def image_labels(options: TaskOptions, fetched: Fetched | None) -> Mapping[str, str]:
    """The labels that say what an image was built of."""
    from taskengine.prepared import image_labels as labels

    return labels(options.commit, options.repository, fetched.committed if fetched is not None else None)


def _address(repository: str) -> str:
    """The address without a login."""
    if not repository:
        return ""
    from taskengine.context.model import scrubbed

    return scrubbed(repository, ())
