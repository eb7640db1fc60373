"""What the command is called, where it is at home, and the one exit code that is no error's own."""

from __future__ import annotations

PROGRAM = "acr-task"
INTERRUPTED = 130
#: set by a shell that asks for completions
COMPLETION = "_ACR_TASK_COMPLETE"
ISSUES = "https://github.com/acr-task/acr-task/issues"
