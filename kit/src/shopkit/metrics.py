"""Requests and their seconds for Prometheus, by method and URL rule, in a registry of the app's own."""

import os
import time
from functools import cache

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from shopkit.auth import public

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """What is told of an app; `registry` takes what else there is."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "rule")
        count = Counter("http_requests_total", "Requests answered.", (*labels, "status"), registry=self.registry)
        seconds = Histogram("http_request_duration_seconds", "Time to answer.", labels, registry=self.registry)
        self._count = cache(count.labels)
        self._seconds = cache(seconds.labels)

    def finish_request(self, method: str, rule: str, status: int, seconds: float) -> None:
        """:param rule: not the path: a label must not have as many values as there are orders."""
        method = method if method in _METHODS else "other"
        self._count(method, rule, status).inc()
        self._seconds(method, rule).observe(seconds)


def init_app(app: Flask) -> Metrics:
    metrics = Metrics()

    @app.after_request
    def finish(response: Response) -> Response:
        rule = request.url_rule.rule if request.url_rule else "unmatched"
        metrics.finish_request(request.method, rule, response.status_code, time.perf_counter() - g.started)
        return response

    @app.route("/metrics", endpoint="metrics")
    @public
    def show() -> Response:
        return Response(generate_latest(_all_workers() or metrics.registry), content_type=CONTENT_TYPE_LATEST)

    return metrics


def _all_workers() -> CollectorRegistry | None:
    """With several workers each counts for itself, into files of a folder that gunicorn's settings name."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return None
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
