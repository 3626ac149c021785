"""What Prometheus may ask for, at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.batcher import Job

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BPP = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class Measures:
    """One registry for each application, so that two in a process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "gancodec_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "gancodec_request_seconds",
            "From a request's head to the end of its answer: body in, waiting, computing and answer out.",
            ["path"], buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.queue_seconds = Histogram(
            "gancodec_queue_seconds", "Waiting for a turn on the device.", buckets=SECONDS, registry=registry
        )
        self.batch_pictures = Histogram(
            "gancodec_batch_pictures", "Pictures that went through together.", buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )  # fmt: skip
        self.part_seconds = Counter(
            "gancodec_part_seconds", "Seconds in the networks, entropy coding and picture files.", ["part"],
            registry=registry,
        )  # fmt: skip
        self.bytes = Counter("gancodec_body_bytes", "Bodies, in and out.", ["direction"], registry=registry)
        self.bpp = Histogram("gancodec_bpp", "Bits per pixel of files made.", buckets=BPP, registry=registry)
        self.files = Counter("gancodec_files", "Files made, by effort.", ["effort"], registry=registry)
        self.cut_short = Counter(
            "gancodec_effort_cut_short", "Files whose refinement ended early, for want of time.", registry=registry
        )
        self.out_of_memory = Counter(
            "gancodec_out_of_memory", "Batches that did not fit into memory.", registry=registry
        )

    def gauges(
        self, *, jobs: Callable[[], int], pixels: Callable[[], int], cost: Callable[[], int], gpu: Callable[[], int]
    ) -> None:
        """What is asked for at the moment of the question."""
        for name, text, value in (
            ("gancodec_queue_jobs", "Jobs waiting for the device.", jobs),
            ("gancodec_held_pixels", "Pixels of all requests in work.", pixels),
            ("gancodec_held_cost_pixels", "Their time on the device, in pixels at effort 0.", cost),
            ("gancodec_gpu_bytes", "Memory that torch holds on the GPU.", gpu),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)

    def batch(self, jobs: Sequence[Job]) -> None:
        """A batch went through."""
        self.batch_pictures.observe(len(jobs))
        for job in jobs:
            self.queue_seconds.observe(job.waited_s)

    def parts(self, seconds: Mapping[str, float]) -> None:
        """Seconds of parts."""
        for part, value in seconds.items():
            self.part_seconds.labels(part).inc(max(0.0, value))

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self.registry)
