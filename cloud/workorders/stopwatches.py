"""Which stopwatch of which order runs, read from the database."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from cloud.workorders.limits import STARTS, STOPWATCH_OF, Running, TimeLimits
from cloud.workorders.states import State
from cloud.workorders.tables import transitions

ORDERS_PER_QUERY = 5000


def started_at(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """Return, by number of an order, when it last came into a state by which a stopwatch begins, in ms UTC."""
    found: dict[int, int] = {}
    for start in range(0, len(numbers), ORDERS_PER_QUERY):
        some = numbers[start : start + ORDERS_PER_QUERY]
        wanted = (
            select(transitions.c.order, func.max(transitions.c.at))
            .where(transitions.c.order.in_(some), transitions.c.target.in_(STARTS))
            .group_by(transitions.c.order)
        )
        found.update(dict(connection.execute(wanted).all()))
    return found


def running_of(
    connection: Connection, orders: Iterable[Row[Any]], *, limits: TimeLimits, now_ms: int
) -> dict[int, Running]:
    """Return the stopwatch of each order that has one running, by its number.

    Of each row it needs `id`, `state` and `class_code`.
    """
    timed = [order for order in orders if State(order.state) in STOPWATCH_OF]
    since = started_at(connection, [order.id for order in timed])
    found = {
        order.id: limits.due_of(State(order.state), order.class_code, since_ms=since[order.id], now_ms=now_ms)
        for order in timed
    }
    return {number: running for number, running in found.items() if running is not None}
