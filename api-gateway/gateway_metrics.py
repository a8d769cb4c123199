"""What Prometheus is told of the gateway, beyond what every service tells of itself."""

from collections.abc import Iterable, Iterator, Sized

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from forwarding.spool import DiskSpace
from forwarding.upstreams import UpstreamPool
from routing import SERVICES


class Counters:
    """What is counted up where it happens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.retries = Counter("gateway_retries_total", "Requests sent a second time.", ("service",), registry=registry)
        self.upstream_errors = Counter(
            "gateway_upstream_errors_total",
            "Requests a service did not answer.",
            ("service", "kind"),
            registry=registry,
        )
        for service in SERVICES:
            self.retries.labels(service)  # so that it is told from the beginning, as 0
        self.limit_decisions = Counter(
            "gateway_rate_limit_decisions_total", "Requests counted.", ("policy", "decision"), registry=registry
        )


class Gauges(Collector):
    """What is the case at the moment, looked up when Prometheus asks."""

    def __init__(self, pools: Iterable[UpstreamPool], open_sockets: Sized, disk: DiskSpace) -> None:
        self._upstreams = [(pool.service, each) for pool in pools for each in pool.upstreams]
        self._open_sockets = open_sockets
        self._disk = disk

    def collect(self) -> Iterator[Metric]:
        in_flight = GaugeMetricFamily(
            "gateway_requests_in_flight", "Requests an upstream has not answered to the end.", labels=("service", "url")
        )
        breaker = GaugeMetricFamily(
            "gateway_breaker_state", "0 closed, 1 half-open, 2 open.", labels=("service", "url")
        )
        for service, upstream in self._upstreams:
            in_flight.add_metric((service, upstream.url), upstream.in_flight)
            breaker.add_metric((service, upstream.url), upstream.breaker.state)
        yield from (in_flight, breaker)
        yield GaugeMetricFamily("gateway_open_sockets", "WebSockets.", len(self._open_sockets))
        yield GaugeMetricFamily("gateway_spooled_bytes", "Answers on disk, until clients take them.", self._disk.used)
