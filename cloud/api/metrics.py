"""`/metrics` for Prometheus: what this process has done, and how everything stands. Every name begins with `anlan_`.

It tells how many gateways and orders there are, so it wants the token of somebody who operates:

    scrape_configs:
      - job_name: anlan
        authorization: {credentials_file: anlan.token}
        static_configs: [{targets: ["127.0.0.1:8000"]}]
"""

from collections.abc import Iterator, Sequence

from fastapi import APIRouter, Response
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from cloud.api.errors import ERRORS, errors
from cloud.api.services import Operating, ServicesHere
from cloud.api.situation import GatewayCounts, count_gateways
from cloud.dead_letters import dead_letters
from cloud.gateway_states import gateway_states
from cloud.ingest import Counters
from cloud.registry.person import Person
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import alerts, orders

router = APIRouter(tags=["health"])
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

COUNTED: Sequence[tuple[str, str, str]] = (
    ("messages", "messages", "Messages of readings that this process took."),
    ("readings_stored", "readings", "Readings in messages that were new to the ledger and stored."),
    ("readings_expired", "expired", "Readings among these that were past the time that they are kept."),
    ("messages_refused", "refused", "Messages that can never be taken."),
    ("messages_repeated", "repeated", "Messages that the ledger had already."),
    ("message_conflicts", "conflicts", "Names of messages that came again with other content."),
    ("store_retries", "retries", "Pauses because the series store or the database could not be used."),
)
"""Counters of this process since it started: name, field of Counters, meaning."""


class Standing(Struct, frozen=True, kw_only=True):
    """How everything stands, read off the database."""

    orders: dict[str, int]
    firing: dict[str, int]
    gateways: GatewayCounts
    letters: dict[bool, int]
    last_heard_ms: int | None


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=ERRORS | errors(403))
async def show_metrics(services: ServicesHere, person: Operating) -> Response:
    """Return every metric in Prometheus' text format."""
    now_ms = services.clock.now_ms()
    standing = await services.database.read(lambda connection: _standing(connection, person, now_ms))
    registry = CollectorRegistry()
    registry.register(_Collector(services.counters, standing))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})


def _standing(connection: Connection, person: Person, now_ms: int) -> Standing:
    unfinished = select(orders.c.state, func.count()).where(orders.c.state.not_in(FINISHED)).group_by(orders.c.state)
    firing = select(alerts.c.severity, func.count()).where(alerts.c.firing.is_not(None)).group_by(alerts.c.severity)
    letters = select(dead_letters.c.waiting, func.count()).group_by(dead_letters.c.waiting)
    return Standing(
        orders=dict(connection.execute(unfinished).all()),
        firing=dict(connection.execute(firing).all()),
        gateways=count_gateways(connection, person, now_ms),
        letters=dict(connection.execute(letters).all()),
        last_heard_ms=connection.scalar(select(func.max(gateway_states.c.last_seen))),
    )


class _Collector(Collector):
    def __init__(self, counters: Counters, standing: Standing) -> None:
        self._counters, self._standing = counters, standing

    def collect(self) -> Iterator[Metric]:
        for name, field, meaning in COUNTED:
            yield CounterMetricFamily(f"anlan_{name}", meaning, value=getattr(self._counters, field))
        standing = self._standing
        yield _by("anlan_orders_unfinished", "Work orders that are not finished.", "state", standing.orders)
        yield _by("anlan_alerts_firing", "Alerts that fire now.", "severity", standing.firing)
        counts = {state: number or 0 for state, number in standing.gateways.model_dump().items()}
        yield _by("anlan_gateways", "Gateways by what is known of them.", "state", counts)
        letters = {"waiting" if waiting else "to_look_at": number for waiting, number in standing.letters.items()}
        yield _by("anlan_dead_letters", "Messages that could not be taken.", "kind", letters)
        if standing.last_heard_ms is not None:
            meaning = "When any gateway was last heard, seconds since 1970 UTC."
            yield GaugeMetricFamily("anlan_last_heard_timestamp_seconds", meaning, value=standing.last_heard_ms / 1000)


def _by(name: str, meaning: str, label: str, numbers: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for each, number in sorted(numbers.items()):
        family.add_metric([each], number)
    return family
