"""What Prometheus is told: numbers of the queue, runs, workers and requests. A registry of our own, so that two
services in one process (tests) do not mix. Labels hold no names that people chose but those of pools and workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from taskengine.errors import TaskEngineError
from taskengine.service.model import Run, WorkerState
from taskengine.service.store.counts import Counts

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_WAITS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_DURATIONS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 28800)
_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """`count` reads the database; it is asked once a scrape."""

    def __init__(self, count: Callable[[], Counts], now: Callable[[], datetime]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = CollectorRegistry()
        self._wait = Histogram(
            "acr_task_queue_wait_seconds", "From queueing to the lease.", buckets=_WAITS, registry=self._registry
        )
        self._duration = Histogram(
            "acr_task_run_seconds", "From start to end.", ["status"], buckets=_DURATIONS, registry=self._registry
        )
        self._step = Histogram(
            "acr_task_step_seconds", "Of each step.", ["type", "status"], buckets=_DURATIONS, registry=self._registry
        )
        self._failures = Counter(
            "acr_task_step_failures", "Steps that failed, by why.", ["reason"], registry=self._registry
        )
        self._http = Histogram(
            "acr_task_http_seconds", "Until an answer begins.", ["method", "route", "status"], buckets=_LATENCIES,
            registry=self._registry,
        )  # fmt: skip
        self._checks = Counter(
            "acr_task_image_checks", "Registries asked about an image, by what came of it.", ["result"],
            registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Database(count, now))

    def leased(self, waited: float) -> None:
        """A worker took a run that had waited so many seconds."""
        self._wait.observe(max(0.0, waited))

    def finished(self, run: Run) -> None:
        """A worker told that a run is over."""
        if run.started is not None and run.finished is not None:
            seconds = (run.finished - run.started).total_seconds()
            self._duration.labels(run.status.value).observe(max(0.0, seconds))
        for step in (run.record or {}).get("steps", ()):
            self._step.labels(_known(step, "type"), _known(step, "status")).observe(float(step.get("duration") or 0))
            if step.get("reason") and step.get("status") == "failed":
                self._failures.labels(_known(step, "reason")).inc()

    def checked(self, result: str) -> None:
        """A registry was asked about a watched image: `same`, `changed` or `failed`."""
        self._checks.labels(result).inc()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """An answer began."""
        self._http.labels(method if method in _METHODS else "OTHER", route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """All of it, in the text form of Prometheus."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _known(step: Any, key: str) -> str:
    value = step.get(key)
    return value[:50] if isinstance(value, str) else "unknown"


class _Database:
    """What is counted when Prometheus asks. A database that is away is one number, and no failure."""

    def __init__(self, count: Callable[[], Counts], now: Callable[[], datetime]) -> None:
        self._count = count
        self._now = now

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        up = GaugeMetricFamily("acr_task_database_up", "Whether the database answers.")
        try:
            counts = self._count()
        except TaskEngineError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        runs = GaugeMetricFamily("acr_task_runs", "Runs by status.", labels=["status"])
        for status, number in sorted(counts.runs.items()):
            runs.add_metric([status], number)
        yield runs
        depth = GaugeMetricFamily("acr_task_queue_depth", "Runs that wait.", labels=["pool"])
        oldest = GaugeMetricFamily("acr_task_queue_oldest_seconds", "How long the oldest waits.", labels=["pool"])
        for pool, (number, since) in sorted(counts.queue.items()):
            depth.add_metric([pool], number)
            oldest.add_metric([pool], max(0.0, (self._now() - since).total_seconds()))
        yield depth
        yield oldest
        workers = GaugeMetricFamily("acr_task_workers", "Workers by state.", labels=["state"])
        for state in WorkerState:
            workers.add_metric([state.value], counts.workers.get(state.value, 0))
        yield workers
        dead = GaugeMetricFamily("acr_task_hook_deliveries", "Deliveries by state.", labels=["state"])
        for state_, number in sorted(counts.deliveries.items()):
            dead.add_metric([state_], number)
        yield dead
        watched = GaugeMetricFamily(
            "acr_task_watches", "Watched images by how their last check went.", labels=["state"]
        )
        for how in ("ok", "failing", "unchecked"):
            watched.add_metric([how], counts.watches.get(how, 0))
        yield watched
        age = GaugeMetricFamily(
            "acr_task_watch_oldest_check_seconds", "Since the watched image that waits longest was asked about."
        )
        age.add_metric([], (self._now() - counts.oldest_check).total_seconds() if counts.oldest_check else 0)
        yield age
        free = GaugeMetricFamily("acr_task_worker_free_bytes", "Free space for a worker's files.", labels=["worker"])
        for name, value in sorted(counts.free_bytes.items()):
            free.add_metric([name], value)
        yield free
        cache = GaugeMetricFamily("acr_task_worker_cache_bytes", "BuildKit's cache on its engine.", labels=["worker"])
        for name, value in sorted(counts.cache_bytes.items()):
            cache.add_metric([name], value)
        yield cache
