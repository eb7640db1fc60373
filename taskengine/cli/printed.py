"""What a printed task may show: the mask for `render` and `plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskengine.cli.option import TaskOptions


def masked(options: TaskOptions, secrets: Iterable[str], *, show: bool) -> Callable[[str], str]:
    """A function that hides secrets in text.

    Hidden are values of `--set-secret` and those that a provider or a file gave. What was typed as `--secret ID=VALUE`
    stands on the screen already and is what the author wants to see in its place.
    """
    if show:
        return lambda text: text
    given = {value for _, value in options.set_secret}
    typed = {value for name, value in options.secret if name in options.typed}
    hidden = given | (set(secrets) - typed)
    if not hidden:
        return lambda text: text
    from taskengine.logs.mask import Mask

    return Mask(hidden).text
