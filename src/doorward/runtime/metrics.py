"""The metrics of an installation, in Prometheus' text format: numbers by reason and state, never by person.

They are read from the database when Prometheus asks. A gateway reports its own numbers with its status, every two seconds.
Not here: who may read them (web.metrics), how the authorizer measures (gateway.authorizer.measuring).
Standard: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from doorward import __version__
from doorward.audit.note import parse_checkpoint, parse_note
from doorward.authority.gateways import FRESH_WITHIN
from doorward.authority.inventory import certificate_counts
from doorward.authority.status.partitions import is_delta
from doorward.directory.endings import summarise_endings
from doorward.gateway.authorizer.measuring import BOUNDS
from doorward.stores.prerequisites import trusted_issuers
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, GatewayRecord
from doorward.stores.roots import trusted_roots
from doorward.stores.services import Services

if TYPE_CHECKING:
    from doorward.storage.event_store import SqlEventLog


class InstallationMetrics:
    """A collector of one installation; `render` may be called from any thread.

    Args:
        services: the ports of this process.
        event_log: the log of evidence.
    """

    def __init__(self, services: Services, event_log: SqlEventLog) -> None:
        self._services = services
        self._event_log = event_log
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> bytes:
        """Return all metrics; raises as the stores do."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return no names, so that registering reads nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, read now."""
        services = self._services
        now = services.clock.now()
        build = GaugeMetricFamily("doorward_build", "Version of the control plane.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield from self._certificates()
        yield from self._evidence()
        with services.work.read() as stores:
            yield from _authorities(stores)
            yield from _server_certificates(stores)
            yield from gateway_metrics(stores.gateways.list(), stores.changes.head(), now)

    def _certificates(self) -> Iterator[Metric]:
        counts = GaugeMetricFamily("doorward_certificates", "Certificates by state.", labels=["state"])
        for state, number in certificate_counts(self._services).items():
            counts.add_metric([str(state)], number)
        yield counts
        ending = summarise_endings(self._services)
        yield GaugeMetricFamily(
            "doorward_certificates_ending",
            "Certificates in use that end within 14 days and were not renewed.",
            value=ending.soon,
        )
        if ending.first is not None:
            yield GaugeMetricFamily(
                "doorward_first_certificate_end_timestamp_seconds",
                "End of the first of them.",
                value=ending.first.not_after.timestamp(),
            )

    def _evidence(self) -> Iterator[Metric]:
        with self._event_log.read() as store:
            size, waiting, text = store.tree_size(), store.waiting(), store.latest_checkpoint()
            signed_at = store.latest_checkpoint_at()
        signed = parse_checkpoint(parse_note(text).unverified_text).size if text else 0
        yield GaugeMetricFamily("doorward_evidence_leaves", "Leaves of the log.", value=size)
        yield GaugeMetricFamily(
            "doorward_evidence_backlog",
            "Events that no checkpoint covers yet.",
            value=waiting + size - signed,
        )
        if signed_at is not None:
            yield GaugeMetricFamily(
                "doorward_checkpoint_timestamp_seconds",
                "When the newest checkpoint was signed. A log that does not grow gets no new one.",
                value=signed_at.timestamp(),
            )


def _authorities(stores: Stores) -> Iterator[Metric]:
    ends = GaugeMetricFamily(
        "doorward_authority_end_timestamp_seconds",
        "End of a certificate of our own authority.",
        labels=["kind", "authority"],
    )
    for one in stores.authorities.list():
        if one.current and one.kind is not AuthorityKind.OCSP_RESPONDER:
            ends.add_metric([one.kind.value, one.id], one.not_after.timestamp())
    yield ends
    lists = GaugeMetricFamily(
        "doorward_crl_next_update_timestamp_seconds",
        "Earliest end of the CRLs of an issuing authority, without deltas.",
        labels=["authority"],
    )
    for issuer in trusted_issuers(stores):
        # A delta ends much earlier, and without it relying parties use the complete CRL.
        heads = [one for one in stores.status.crl_heads(issuer.id) if not is_delta(one.partition)]
        if heads:
            lists.add_metric([issuer.id], min(one.next_update for one in heads).timestamp())
    yield lists
    root_lists = GaugeMetricFamily(
        "doorward_root_crl_next_update_timestamp_seconds",
        "End of a root's CRL. If the root's key is offline, a person signs the next one.",
        labels=["authority"],
    )
    for root in trusted_roots(stores):
        for head in stores.status.crl_heads(root.id):
            root_lists.add_metric([root.id], head.next_update.timestamp())
    yield root_lists


def _server_certificates(stores: Stores) -> Iterator[Metric]:
    ends = GaugeMetricFamily(
        "doorward_server_certificate_end_timestamp_seconds",
        "End of a server certificate from an ACME authority.",
        labels=["host"],
    )
    failing = GaugeMetricFamily(
        "doorward_acme_failures", "Failures in a row of an open ACME order.", labels=["host"]
    )
    latest: dict[str, float] = {}
    failures: dict[str, int] = {}
    for record in stores.acme.every_order():
        order = stores.orders.get(record.order_id)
        host = order.hosts[0] if order is not None and order.hosts else ""
        if record.ends_at is not None:
            latest[host] = max(latest.get(host, 0.0), record.ends_at.timestamp())
        if record.failures:
            failures[host] = max(failures.get(host, 0), record.failures)
    for host, end in latest.items():
        ends.add_metric([host], end)
    for host, number in failures.items():
        failing.add_metric([host], number)
    yield from (ends, failing)


def gateway_metrics(gateways: list[GatewayRecord], head: int, now: datetime) -> Iterator[Metric]:
    """Yield what each gateway reported; a gateway that is away keeps its last numbers and is marked as away.

    Numbers of another form, for example of a gateway of another version, are left out: the others must be seen.
    """
    gauges = {
        name: GaugeMetricFamily(f"doorward_gateway_{name}", words, labels=["gateway"])
        for name, words in _GAUGES.items()
    }
    answers = CounterMetricFamily(
        "doorward_connections_answered",
        "Connections that the authorizer answered since the gateway started, by the first reason.",
        labels=["gateway", "reason"],
    )
    steps = HistogramMetricFamily(
        "doorward_authorizer_step_seconds",
        "Time of a step of the authorizer; `whole` is all of it.",
        labels=["gateway", "step"],
    )
    for gateway in gateways:
        report = _parse(gateway.status)
        values = {
            "up": int(now - gateway.seen_at <= FRESH_WITHIN),
            "seen_timestamp_seconds": gateway.seen_at.timestamp(),
            "changes_behind": max(0, head - gateway.confirmed_seq),
            "connections": report.get("connections"),
            "connections_accepted": report.get("accepts"),
            "envoys": report.get("envoys"),
            "log_backlog_bytes": report.get("log_backlog_bytes"),
            "troubles": _length(report.get("trouble", [])),
            "refused_resources": _length(report.get("refused", [])),
        }
        for name, value in values.items():
            if isinstance(value, int | float) and abs(value) < _TOO_LARGE:
                gauges[name].add_metric([gateway.name], value)
        counts, times = _read_measured(report.get("measured"))
        for reason, number in counts.items():
            answers.add_metric([gateway.name, reason], number)
        for step, (buckets, total) in times.items():
            steps.add_metric([gateway.name, step], buckets, total)
    yield from (*gauges.values(), answers, steps)


_GAUGES = {
    "up": "Whether the gateway reported lately.",
    "seen_timestamp_seconds": "When the gateway reported last.",
    "changes_behind": "Changes that the gateway does not enforce yet; withdrawals are changes.",
    "connections": "Open connections that were let in.",
    "connections_accepted": "Most connections that Envoy accepts: max_connections, or half of its open files if that is less.",
    "envoys": "Running Envoy processes; more than one while old ones drain.",
    "log_backlog_bytes": "Bytes of the access log that are not recorded yet.",
    "troubles": "Sentences of trouble; `doorward status` shows them.",
    "refused_resources": "Resources that Envoy refused.",
}


_Buckets = list[tuple[str, float]]
_TOO_LARGE = 1e300
"""JSON has larger whole numbers than a float."""


def _read_measured(measured: Any) -> tuple[dict[str, float], dict[str, tuple[_Buckets, float]]]:
    """Return the answers by reason, and the buckets and the sum by step; nothing if anything has another form."""
    try:
        counts = {_label(reason): float(number) for reason, number in measured["answers"].items()}
        times = {
            _label(step): (_cumulative(found["buckets"]), float(found["sum"]))
            for step, found in measured["steps"].items()
        }
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return {}, {}
    return counts, times


def _label(text: str) -> str:
    if not text.isascii():
        raise ValueError("a reason or a step is a word of ours")
    return text


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else None


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, number in zip((*(str(one) for one in BOUNDS), "+Inf"), buckets, strict=True):
        total += number
        found.append((bound, float(total)))
    return found


def _parse(status: str) -> Mapping[str, Any]:
    """Return the status of a gateway; nothing while it starts."""
    try:
        report = json.loads(status)
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}
