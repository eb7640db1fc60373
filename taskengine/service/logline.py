"""The service's own words on standard error: lines for people, or JSON lines for programs, with the ids that they are
about. Must not know what is said.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

#: what a record may carry beside its message (`extra=`)
IDS = ("run", "step", "attempt", "worker", "task")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, ids, and the traceback of what is a bug."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        out = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        out |= {name: value for name in IDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            out["exception"] = self.formatException(record.exc_info)
        return json.dumps(out)


class PlainLines(logging.Formatter):
    """Time, level and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")


def set_up(form: str) -> None:
    """From now on, what is logged goes to standard error in this form (`text` or `json`)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("taskengine").setLevel(logging.INFO)


def teller(form: str) -> Callable[[str], None]:
    """Says what is for whoever started the service: plain lines, or entries of the log where that is JSON."""
    log = logging.getLogger("taskengine.serve")
    if form == "json":
        return log.info
    return lambda text: print(text, file=sys.stderr, flush=True)
