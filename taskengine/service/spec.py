"""The wire form of a run's spec, where the service's own modules look for it."""

from taskengine.runs.spec import Build, RunSpec

__all__ = ["Build", "RunSpec"]
