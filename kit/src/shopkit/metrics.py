"""Requests and their seconds for Prometheus, by method and URL rule, in a registry of the app's own."""

import os
import time

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from shopkit.auth import public

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def init_app(app: Flask) -> None:
    registry = CollectorRegistry()
    labels = ("method", "rule")
    count = Counter("http_requests_total", "Requests answered.", (*labels, "status"), registry=registry)
    seconds = Histogram("http_request_duration_seconds", "Time to answer.", labels, registry=registry)

    @app.after_request
    def finish(response: Response) -> Response:
        # The rule, not the path: a label must not have as many values as there are orders.
        rule = request.url_rule.rule if request.url_rule else "unmatched"
        method = request.method if request.method in _METHODS else "other"
        count.labels(method, rule, response.status_code).inc()
        seconds.labels(method, rule).observe(time.perf_counter() - g.started)
        return response

    @app.route("/metrics")
    @public
    def metrics() -> Response:
        return Response(generate_latest(_all_workers() or registry), content_type=CONTENT_TYPE_LATEST)


def _all_workers() -> CollectorRegistry | None:
    """With several workers each counts for itself, into files of a folder that gunicorn's settings name."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return None
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
