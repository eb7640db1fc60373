"""The shipped stand-in: a runner that runs nothing."""

from runners.noop.runner import NoopRunner, Script

__all__ = ["NoopRunner", "Script"]
