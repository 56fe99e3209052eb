"""`cloud status`: each gateway, how it is, and where its readings are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select

from cloud.gateway_states import GatewayState, find_state, gateway_states, online_now
from cloud.registry.registry import known_gateways
from cloud.statements.accounts import EpochAccount, account


def status_lines(connection: Connection, *, now_ms: int) -> list[str]:
    """Return a line for each gateway and, below it, one for each epoch of its outbox."""
    registered = known_gateways(connection)
    heard = set(connection.scalars(select(gateway_states.c.gateway)))
    lines = []
    for gateway in sorted(registered | heard):
        state = find_state(connection, gateway)
        lines.append(f"{gateway}: {_how_it_is(state, now_ms)}{'' if gateway in registered else ', not registered'}")
        if state is not None and state.status is not None:
            lines += [f"  {line}" for line in _account_lines(account(connection, state.status))]
    return lines or ["no gateway is registered or was heard"]


def _how_it_is(state: GatewayState | None, now_ms: int) -> str:
    if state is None:
        return "never heard"
    online = online_now(state.online, state.fresh_until, now_ms=now_ms)
    word = {True: "online", False: "offline", None: "no status yet" if state.online is None else "unknown"}[online]
    age = timedelta(seconds=max(0, now_ms - state.last_seen) // 1000)
    return f"{word}, last heard {age} ago, {datetime.fromtimestamp(state.last_seen / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _account_lines(accounts: list[EpochAccount]) -> Iterator[str]:
    for one in accounts:
        yield (
            f"epoch {one.epoch}: not reported now: stored {one.stored} + refused {one.refused}, "
            f"missing {one.lost_messages} message{'' if one.lost_messages == 1 else 's'}"
            if not one.reported
            else f"epoch {one.epoch}: taken {one.taken} = unchanged {one.unchanged} + stored {one.stored} + refused "
            f"{one.refused} + pending {one.pending} + given up {one.given_up} + missing {one.missing}"
        )
        yield from (f"  lost: {gap.lane.name.lower()} {gap.first} to {gap.last}" for gap in one.gaps)
