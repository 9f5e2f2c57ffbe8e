"""What the service tells of itself in numbers (``/metrics``, in the text form of Prometheus).

The processes of one ``archive serve`` put their numbers into files of a folder that they share, so that whichever of
them is asked tells those of all. How jobs stand is read from their store when asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from archive.faults import Fault, TransientFault

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the processes meet; prometheus_client's own name for it
TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)

Standing = Mapping[tuple[str, str], int]  # how many jobs there are, by phase and lane


class Metrics:
    """The numbers of this process; together with those of others where ``FOLDER`` is set in the environment."""

    def __init__(self, jobs: Callable[[], Standing] | None = None) -> None:
        self._shared = os.environ.get(FOLDER)
        self._jobs = jobs
        self._registry = CollectorRegistry()
        if self._shared:
            Path(self._shared).mkdir(parents=True, exist_ok=True)
            values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # chosen at import unless said again
        self._requests = self._counter("requests", "Requests answered.", "face", "method", "status")
        self._bytes = self._counter("sent_bytes", "Bytes of answers, as sent.", "face")
        self._queries = self._counter("queries", "Queries that ended, and how.", "face", "outcome")
        self._rows = self._counter("rows", "Rows of answers.", "face")
        self._faults = self._counter("faults", "Queries that ended in a fault.", "kind")
        self._seconds = Histogram(
            "archive_request_seconds",
            "From request to last byte.",
            ("face",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._under_way = self._gauge("requests_under_way", "Requests not yet answered.")
        self._asking = self._gauge("queries_under_way", "Synchronous queries not yet answered.")

    def request_began(self) -> None:
        """A request has come in."""
        self._under_way.inc()

    def request_ended(self, face: str, method: str, status: int, seconds: float, size: int) -> None:
        """The last byte has been sent, or nobody waits for it."""
        self._under_way.dec()
        self._requests.labels(face, method, str(status)).inc()
        self._seconds.labels(face).observe(seconds)
        self._bytes.labels(face).inc(size)

    def query_began(self) -> None:
        """A synchronous query is being answered."""
        self._asking.inc()

    def query_left(self) -> None:
        """It is not any more."""
        self._asking.dec()

    def query_ended(self, face: str, outcome: str, rows: int, fault: Fault | None) -> None:
        """A query has ended, synchronous or of a job."""
        if fault is not None:
            self._faults.labels(fault.dali).inc()
        self._queries.labels(face, outcome).inc()
        self._rows.labels(face).inc(rows)

    def text(self) -> bytes:
        """All numbers, of all processes."""
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry, self._shared)  # type: ignore[no-untyped-call]
        own = CollectorRegistry()
        if self._jobs is not None:
            own.register(_Jobs(self._jobs))
        return generate_latest(registry) + generate_latest(own)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"archive_{name}", told, labels, registry=self._registry)

    def _gauge(self, name: str, told: str) -> Gauge:
        return Gauge(f"archive_{name}", told, multiprocess_mode="livesum", registry=self._registry)


class _Jobs:
    """How jobs stand, when asked; nothing while their database cannot be reached, which all other numbers outlive."""

    def __init__(self, standing: Callable[[], Standing]) -> None:
        self._standing = standing

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("archive_jobs", "Jobs by phase and lane.", labels=("phase", "lane"))
        try:
            standing = self._standing()
        except TransientFault:
            return
        for (phase, lane), count in standing.items():
            family.add_metric((phase, lane), count)
        yield family


def forget(process: int) -> None:
    """A process has ended: what it was doing at that moment counts no more."""
    if os.environ.get(FOLDER):
        multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
