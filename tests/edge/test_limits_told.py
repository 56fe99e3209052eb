"""What a gateway has learned reaches the cloud over a real broker: seldom, in messages that fit, never in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from edge import limits_told
from edge import uplink as uplink_module
from edge.contract.broker_config import BrokerConfig
from edge.contract.envelope import MAX_PAYLOAD
from edge.contract.messages import Lane, LearnedLimit, Test
from edge.limits_told import DAY_S, HOUR_S, LimitsTeller
from tests.edge.answering_cloud import body, make_uplink, open_outbox, running, running_cloud, until
from tests.servers import Mosquitto

RATE = LearnedLimit(test=Test.RATE, high=4.5, unit="mm/min", samples=900)
Points = Mapping[str, Sequence[LearnedLimit]]


@pytest.fixture
def broker(start_mosquitto: Callable[..., Mosquitto]) -> BrokerConfig:
    return BrokerConfig(host="127.0.0.1", port=start_mosquitto(options=["set_tcp_nodelay true"]).port)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "RECONNECT_MIN_S", 0.02)
    monkeypatch.setattr(uplink_module, "FLUSH_S", 0.3)
    monkeypatch.setattr(limits_told, "LOOK_S", 0.02)


async def test_what_was_learned_is_told(broker: BrokerConfig, path: Path) -> None:
    """After connecting each device is told once, one that has learned nothing not at all."""
    outbox = open_outbox(path)
    uplink = make_uplink(outbox, broker, limits=lambda: {"river-1": {"water_level": [RATE]}, "road-1": {}})
    async with running_cloud(broker) as cloud, running(uplink):
        await cloud.until(lambda: cloud.limits)
        [told] = cloud.limits
        assert (told.device, told.points[0].point, told.points[0].limits) == ("river-1", "water_level", [RATE])
    outbox.close()


async def test_a_broker_that_refuses_it_holds_up_no_reading(
    start_mosquitto: Callable[..., Mosquitto], path: Path, tmp_path: Path
) -> None:
    """Where the broker's rights are older than the gateway's program, readings go on and the log says what does not."""
    rights = tmp_path / "old.acl"
    kinds = "".join(f"topic write anlan/v1/+/{kind}\n" for kind in ("batch", "event", "blob", "status", "inventory"))
    rights.write_text(f"{kinds}topic read anlan/v1/#\ntopic write anlan/v1/+/receipt\n")
    server = start_mosquitto(options=[f"acl_file {rights}", "set_tcp_nodelay true"])
    broker, outbox = BrokerConfig(host="127.0.0.1", port=server.port), open_outbox(path)
    uplink = make_uplink(outbox, broker, limits=lambda: {"river-1": {"water_level": [RATE]}})
    with capture_logs() as logs:
        async with running_cloud(broker) as cloud, running(uplink):
            await until(lambda: any("is not told to the cloud" in log["event"] for log in logs))
            name = outbox.append(Lane.LIVE, body())
            uplink.notify()
            await cloud.until(lambda: name in cloud.received)
            assert uplink.is_current
    outbox.close()


class Line:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def publish(self, _topic: str, payload: bytes) -> None:
        self.sent.append(payload)


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A clock that a test sets on."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(limits_told, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


async def told(teller: LimitsTeller, points: Points, *, is_new: bool = False) -> int:
    """How many messages go out now."""
    line = Line()
    await teller._tell(line, "river-1", points, is_new=is_new)  # type: ignore[arg-type]
    return len(line.sent)


async def test_it_is_told_seldom(hours: SimpleNamespace) -> None:
    """Never twice within an hour, whatever changes or reconnects; one sample more is no news before a day is over."""
    teller = LimitsTeller("gw-1", dict)
    more = LearnedLimit(test=Test.RATE, high=4.501, unit="mm/min", samples=901)
    other = LearnedLimit(test=Test.RATE, high=9.0, unit="mm/min", samples=901)
    assert await told(teller, {"water_level": [RATE]}, is_new=True) == 1
    hours.now = HOUR_S - 1
    assert await told(teller, {"water_level": [other]}, is_new=True) == 0
    hours.now = HOUR_S
    assert await told(teller, {"water_level": [more]}) == 0
    assert await told(teller, {"water_level": [other]}) == 1
    hours.now += HOUR_S
    assert await told(teller, {"water_level": [other]}, is_new=True) == 1
    hours.now += DAY_S
    assert await told(teller, {"water_level": [other]}) == 1


async def test_what_is_learned_anew_is_told_to_be_gone(hours: SimpleNamespace) -> None:
    """A point of which nothing is known any more is named once, without limits."""
    teller, line = LimitsTeller("gw-1", dict), Line()
    assert await told(teller, {"a": [RATE], "b": [RATE]}) == 1
    hours.now = HOUR_S
    await teller._tell(line, "river-1", {"b": [RATE]}, is_new=False)  # type: ignore[arg-type]
    assert b'{"point":"a","limits":[]}' in line.sent[0]


async def test_each_message_fits() -> None:
    """However much was learned, no message is larger than the contract allows, and none of it is left out."""
    teller, line = LimitsTeller("gw-1", dict), Line()
    long = [LearnedLimit(test=Test.RATE, high=1.0, note="x" * 200)] * 40
    await teller._tell(line, "m", {f"point-{number}": long for number in range(64)}, is_new=True)  # type: ignore[arg-type]
    assert len(line.sent) > 1
    assert max(map(len, line.sent)) <= MAX_PAYLOAD
    assert sum(payload.count(b'"point"') for payload in line.sent) == 64


async def test_what_does_not_fit_the_contract_is_said_here() -> None:
    """A sentence that is too long is a fault of this program: it is logged, and no letter in the cloud."""
    teller, line = LimitsTeller("gw-1", dict), Line()
    with capture_logs() as logs:
        await teller._tell(line, "m", {"a": [LearnedLimit(test=32, note="x" * 201)]}, is_new=True)  # type: ignore[arg-type]
    assert (line.sent, logs[0]["device"]) == ([], "m")
