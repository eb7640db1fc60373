"""Go's text/template language with the Sprig functions that task files may use, as a pure function.

Text and data in, text and its origins out. Knows nothing of tasks, YAML, secrets or files, and reads neither the
environment nor the network. The engine itself is loaded at the first template that has an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taskengine.template.result import Limits, Rendered, Segment, TemplateError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Limits", "Rendered", "Segment", "TemplateError", "render"]

_DEFAULT_LIMITS = Limits()


def render(
    text: str,
    data: Mapping[str, Any],
    *,
    name: str = "task.yaml",
    limits: Limits = _DEFAULT_LIMITS,
    now: datetime | None = None,
) -> Rendered:
    """Render `text` with `data` as its dot. Raises TemplateError and nothing else."""
    if "{{" not in text:
        return _verbatim(text, limits)
    from taskengine.template.engine import render_actions

    return render_actions(text, data, name=name, limits=limits, now=now)


def _verbatim(text: str, limits: Limits) -> Rendered:
    if len(text) > limits.output_chars:
        raise TemplateError(
            f"the rendered text is longer than {limits.output_chars} characters",
            offset=limits.output_chars,
            kind="limit",
        )
    return Rendered(text, (Segment(0, len(text), 0, verbatim=True),) if text else ())
