"""Live updates: what has changed is told to whoever listens, and nothing is asked while nobody does."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from sqlalchemy import Connection

from cloud.dead_letters import DeadLetter, keep
from cloud.gateway_states import take_status
from cloud.web.live import Changes
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from edge.contract.messages import ClockState, EventState, Status
from tests.cloud.web.conftest import Site
from tests.cloud.workorders.samples import NOW, flood


def _open_order(connection: Connection) -> None:
    [event] = flood(EventState.CONFIRMED)
    record_event(connection, event, rule_of=rule_of, now_ms=NOW)


def _hear_gateway(connection: Connection) -> None:
    status = Status(
        gateway="gw-1",
        session="aa",
        online=True,
        sent_at=NOW,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[],
    )
    take_status(connection, status, retained=False, now_ms=NOW)


def _keep_letter(connection: Connection, *, now_ms: int = NOW) -> None:
    keep(connection, [DeadLetter(topic="x", gateway=None, reason="y", payload=b"z")], now_ms=now_ms)


CHANGES: list[tuple[Callable[[Connection], Any], str]] = [
    (_open_order, "orders"),
    (_hear_gateway, "gateways"),
    (_keep_letter, "letters"),
]


async def next_of(told: AsyncGenerator[str]) -> str:
    async with asyncio.timeout(10):
        return await anext(told)


@pytest.mark.parametrize("number", range(3))
async def test_a_change_is_told_by_its_name(site: Site, number: int) -> None:
    """To everybody who listens; when nobody does any more, nothing is asked."""
    (before, before_name), (change, name) = CHANGES[number - 1], CHANGES[number]
    site.write(before)
    changes = Changes(site.database)
    async with aclosing(changes.listen(NOW)) as one, aclosing(changes.listen(NOW)) as other:
        assert [await next_of(told) for told in (one, other)] == [before_name] * 2
        site.write(change)
        assert [await next_of(told) for told in (one, other)] == [name] * 2
        assert changes.is_looking
    assert not changes.is_looking


@pytest.mark.parametrize(("change", "name"), CHANGES)
async def test_what_changed_before_the_stream_began_is_told(
    site: Site, change: Callable[[Connection], Any], name: str
) -> None:
    """A page that was made just before shows it without waiting for the next change."""
    site.write(change)
    async with aclosing(Changes(site.database).listen(NOW)) as told:
        assert await next_of(told) == name


async def test_an_old_change_is_not_told(site: Site) -> None:
    """What a page shows already does not make it ask again."""
    site.write(_open_order)
    await site.clock.advance_to(NOW + 1)
    site.write(lambda connection: _keep_letter(connection, now_ms=NOW + 1))
    async with aclosing(Changes(site.database).listen(NOW + 1)) as told:
        assert await next_of(told) == "letters"


async def test_nobody_who_is_not_signed_in_is_told_anything(site: Site) -> None:
    """A browser that goes on asking is refused, and not sent to a page that it cannot read."""
    answer = await site.visit(None, "/live")
    assert (answer.status_code, answer.headers.get("location")) == (401, None)
