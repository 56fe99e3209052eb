"""The uplink against a real Mosquitto and a small cloud that answers as a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge import pacing, window
from edge import uplink as uplink_module
from edge.contract import mqtt
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import SteppedClock
from edge.contract.days import bounds_of
from edge.contract.messages import ClockState, Head, Lane, topic
from edge.contract.mqtt import Connection, DisconnectedError, connect
from edge.drain import Drain
from edge.outbox import Outbox, OutboxBrokenError
from edge.uplink import NEARLY_DRAINED, Uplink
from tests.edge.answering_cloud import (
    GATEWAY,
    INVENTORY,
    body,
    is_empty,
    make_uplink,
    open_outbox,
    running,
    running_cloud,
    silent,
    stored,
    until,
)
from tests.edge.outbox_parts import kill
from tests.proxy import Proxy
from tests.servers import Mosquitto, free_ports


@pytest.fixture
def server(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    return start_mosquitto(options=["set_tcp_nodelay true"])


@pytest.fixture
def broker(server: Mosquitto) -> BrokerConfig:
    return BrokerConfig(host="127.0.0.1", port=server.port)


@pytest.fixture
def outbox(path: Path) -> Outbox:
    return open_outbox(path)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "RECONNECT_MIN_S", 0.02)
    monkeypatch.setattr(uplink_module, "RECONNECT_MAX_S", 0.1)
    monkeypatch.setattr(uplink_module, "FLUSH_S", 0.3)
    monkeypatch.setattr(uplink_module, "LOOK_S", 0.02)


async def test_what_waits_is_sent_and_forgotten(outbox: Outbox, broker: BrokerConfig) -> None:
    """Everything arrives in lane order; after its receipts nothing waits; new messages go at once."""
    waiting = outbox.append_all([(lane, body()) for lane in (Lane.BACKLOG, Lane.BLOBS, Lane.LIVE, Lane.EVENTS)])
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker) as cloud:
        async with running(uplink):
            await cloud.until(lambda: len(cloud.received) == 4)
            assert cloud.received == list(reversed(waiting))
            more = outbox.append(Lane.EVENTS, body())
            uplink.notify()
            await cloud.until(lambda: more in cloud.received)
            await until(lambda: is_empty(outbox))
        assert len(cloud.received) == 5
    outbox.close()


async def test_the_gateway_says_who_it_is(outbox: Outbox, broker: BrokerConfig) -> None:
    """Inventory and status are retained; at a clean stop the last status says offline, with the final state."""
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker) as cloud:
        async with running(uplink):
            await cloud.until(lambda: cloud.statuses)
            outbox.append(Lane.LIVE, body())
            uplink.notify()
            await until(lambda: is_empty(outbox))
        await cloud.until(lambda: not cloud.statuses[-1].online)
        assert cloud.inventories == [INVENTORY]
        assert len({status.session for status in cloud.statuses}) == 1
    async with running_cloud(broker) as later:
        await later.until(lambda: later.statuses and later.inventories)
        [status] = later.statuses
        assert (status.online, status.config_hash, status.clock) == (False, "ab12", ClockState.SYNCHRONISED)
        live = status.epochs[0].lanes["live"]
        assert (status.epochs[0].epoch, live.oldest_kept, live.next_seq) == (outbox.epoch, 2, 2)
    outbox.close()


async def test_nothing_is_forgotten_without_a_receipt(outbox: Outbox, broker: BrokerConfig) -> None:
    """The broker's PUBACK is not enough: without a receipt the message still waits after a stop."""
    name = outbox.append(Lane.LIVE, body())
    async with running_cloud(broker, silent) as cloud, running(make_uplink(outbox, broker)):
        await cloud.until(lambda: cloud.received)
    assert cloud.received == [name]
    assert outbox.waiting(Lane.LIVE) == 1
    outbox.close()


async def test_a_lost_receipt(outbox: Outbox, broker: BrokerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a receipt the same bytes come again after the timeout, and again, until the receipt is there."""
    monkeypatch.setattr(window, "FIRST_TIMEOUT_S", 0.1)
    name = outbox.append(Lane.LIVE, body())
    async with running_cloud(broker, silent) as cloud, running(make_uplink(outbox, broker)):
        await cloud.until(lambda: cloud.received)
        payload = cloud.payloads[name]
        await cloud.until(lambda: len(cloud.received) == 2)
        cloud.answer = stored
        await until(lambda: is_empty(outbox))
        assert cloud.payloads == {name: payload}
    outbox.close()


async def test_a_receipt_that_comes_twice_or_is_nonsense(outbox: Outbox, broker: BrokerConfig) -> None:
    """A duplicate changes nothing, and a receipt that cannot be read is passed over."""
    first = outbox.append(Lane.LIVE, body())
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker, silent) as cloud, running(uplink):
        await cloud.until(lambda: cloud.received)
        await cloud.connection.publish(topic(GATEWAY, "receipt"), b"{not json")
        await cloud.send_receipt(first)
        await cloud.send_receipt(first)
        await until(lambda: is_empty(outbox))
        cloud.answer = stored
        outbox.append(Lane.LIVE, body())
        uplink.notify()
        await until(lambda: is_empty(outbox))
    outbox.close()


async def test_what_nobody_asked_for_is_no_receipt(outbox: Outbox, broker: BrokerConfig) -> None:
    """Some brokers send a newcomer what they retain of other topics: no fault of ours; a bad receipt is one."""
    name = outbox.append(Lane.LIVE, body())
    with capture_logs() as logs:
        async with running_cloud(broker, silent) as cloud, connect(broker, client_id="gateway") as connection:
            await connection.subscribe(f"anlan/v1/{GATEWAY}/+")  # as if the broker sent more than receipts
            drain = Drain(outbox, connection, GATEWAY, is_appended=asyncio.Event(), on_change=lambda: None)
            task = asyncio.create_task(drain.receive())
            await cloud.connection.publish(topic(GATEWAY, "inventory"), INVENTORY.to_bytes(), retain=True)
            await cloud.connection.publish(topic(GATEWAY, "receipt"), b"{not json")
            await cloud.send_receipt(name)
            await until(lambda: is_empty(outbox))
            task.cancel()
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["receipt ignored"]
    outbox.close()


async def test_what_the_cloud_refuses(outbox: Outbox, broker: BrokerConfig) -> None:
    """A refused message is set aside, is not sent again, and the status tells it at once."""
    name = outbox.append(Lane.BACKLOG, body())
    async with (
        running_cloud(broker, lambda header: "refused" if header.lane == Lane.BACKLOG else "stored") as cloud,
        running(make_uplink(outbox, broker)),
    ):
        await cloud.until(lambda: cloud.statuses and cloud.statuses[-1].epochs[0].counts.refused == 1)
    assert cloud.received == [name]
    assert [(refused.name, refused.reason) for refused in outbox.refused()] == [(name, "as told")]
    outbox.close()


async def test_heads_are_kept_and_said_back(outbox: Outbox, broker: BrokerConfig) -> None:
    """A head that comes with a receipt is in the outbox, and in the next status: the gateway is its witness."""
    head = Head("2026-11-25", "ab" * 32)
    name = outbox.append(Lane.LIVE, body())
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker, silent) as cloud, running(uplink):
        await cloud.until(lambda: cloud.received)
        await cloud.send_receipt(name, head=head)
        await cloud.until(lambda: bool(cloud.statuses) and cloud.statuses[-1].heads == [head])
    assert outbox.heads() == [head]
    outbox.close()


async def test_a_new_day_is_told(broker: BrokerConfig, path: Path) -> None:
    """When a day of account begins the status says so at once: the one before it is complete."""
    clock = SteppedClock(bounds_of("2026-11-26")[0] - 1)
    outbox = open_outbox(path, clock)
    outbox.append(Lane.LIVE, body())
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker) as cloud, running(uplink):
        await cloud.until(lambda: cloud.statuses and cloud.statuses[-1].epochs[0].days)
        assert [day.day for day in cloud.statuses[-1].epochs[0].days] == ["2026-11-25"]
        await clock.advance_to(clock.now_ms() + 1)
        outbox.append(Lane.LIVE, body())
        uplink.notify()
        await cloud.until(lambda: len(cloud.statuses[-1].epochs[0].days) == 2)
    outbox.close()


async def test_booting_with_the_uplink_down(server: Mosquitto, broker: BrokerConfig, outbox: Outbox) -> None:
    """An uplink that was never there is no fault: what was appended meanwhile arrives when it comes."""
    server.stop()
    uplink = make_uplink(outbox, broker)
    async with running(uplink):
        await until(lambda: uplink._said)
        given = [outbox.append(Lane.BACKLOG, body()) for _ in range(3)]
        uplink.notify()
        server.start()
        async with running_cloud(broker) as cloud:
            await cloud.until(lambda: set(given) <= set(cloud.received))
            await until(lambda: is_empty(outbox))
    outbox.close()


@pytest.mark.parametrize("hang", [Proxy.swallow, Proxy.halt])
async def test_an_uplink_that_hangs_is_made_anew(
    hang: Callable[[Proxy], None], outbox: Outbox, broker: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says that a half-open connection is over: it is noticed all the same, and all is sent again."""
    monkeypatch.setattr(mqtt, "HOUSEKEEPING_S", 0.02)
    monkeypatch.setattr(mqtt, "CONNACK_TIMEOUT_S", 0.2)
    monkeypatch.setattr(mqtt, "PROBE_TIMEOUT_S", 0.2)
    async with Proxy(broker.port) as proxy, running_cloud(broker) as cloud:
        monkeypatch.setattr(mqtt, "PATIENCE", 0.01)  # of 30 s
        uplink = make_uplink(outbox, BrokerConfig(host="127.0.0.1", port=proxy.port))
        async with running(uplink):
            await until(lambda: uplink.is_current)
            hang(proxy)
            monkeypatch.setattr(mqtt, "PATIENCE", 1.5)  # for the next connection
            given = outbox.append_all([(Lane.LIVE, body(1000))] * 3)
            uplink.notify()
            await until(lambda: not uplink.is_current)
            assert "dropped" in uplink._said
            proxy.pass_on()
            await cloud.until(lambda: set(given) <= set(cloud.received))
            await until(lambda: is_empty(outbox))
    outbox.close()


async def test_the_window_is_respected(outbox: Outbox, broker: BrokerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backlog goes in order, one message at first, more and more as receipts come, never more than ten at a time."""
    monkeypatch.setattr(pacing, "FAST_S", 60.0)  # however slow this machine is, no receipt is late
    monkeypatch.setattr(pacing, "SLOW_S", 60.0)
    backlog = outbox.append_all([(Lane.BACKLOG, body())] * 120)
    most = 0
    async with running_cloud(broker, silent) as cloud, running(make_uplink(outbox, broker)):
        await cloud.until(lambda: cloud.received)
        for receipted, name in enumerate(backlog):
            await cloud.until(lambda: name in cloud.received)  # noqa: B023 -- waited for at once
            if receipted == 60:  # by now it may send as much as the window allows
                await cloud.until(lambda: len(cloud.received) >= 70)
            most = max(most, len(cloud.received) - receipted)
            await cloud.send_receipt(name)
        assert cloud.received == backlog
        assert most == 10
    outbox.close()


async def test_live_messages_and_events_overtake(outbox: Outbox, broker: BrokerConfig) -> None:
    """While backlog waits for its receipts, a live batch and an event go at once."""
    backlog = outbox.append_all([(Lane.BACKLOG, body())] * 14)
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker, silent) as cloud, running(uplink):
        await cloud.until(lambda: cloud.received)
        for lane in (Lane.LIVE, Lane.EVENTS):
            more = outbox.append(lane, body())
            uplink.notify()
            await cloud.until(lambda: more in cloud.received)  # noqa: B023 -- waited for at once
        assert [name for name in cloud.received if name.lane == Lane.BACKLOG] == backlog[:1]
    outbox.close()


async def test_a_storm_of_events_passes_while_backlog_drains(outbox: Outbox, broker: BrokerConfig) -> None:
    """With a cloud that receipts at once there is always room for more backlog; events go before it all the same."""
    backlog = outbox.append_all([(Lane.BACKLOG, body())] * 600)
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker) as cloud, running(uplink):
        await cloud.until(lambda: len(cloud.received) > 60)
        before = len(cloud.received)
        events = outbox.append_all([(Lane.EVENTS, body())] * 50)
        uplink.notify()
        await cloud.until(lambda: set(events) <= set(cloud.received))
        assert cloud.received.index(events[-1]) < before + 200
        await until(lambda: is_empty(outbox))
        assert [name for name in cloud.received if name.lane == Lane.BACKLOG] == backlog
    outbox.close()


async def test_bytes_in_flight_are_bounded(outbox: Outbox, broker: BrokerConfig) -> None:
    """Three live batches of 60 kB fill the part of the window that is not kept for events."""
    large = outbox.append_all([(Lane.LIVE, body(60_000)) for _ in range(4)])
    uplink = make_uplink(outbox, broker)
    async with running_cloud(broker, silent) as cloud, running(uplink):
        await cloud.until(lambda: len(cloud.received) == 3)
        event = outbox.append(Lane.EVENTS, body())
        uplink.notify()
        await cloud.until(lambda: event in cloud.received)
        assert cloud.received == [*large[:3], event]
    outbox.close()


async def test_a_broker_restart_loses_nothing(server: Mosquitto, broker: BrokerConfig, outbox: Outbox) -> None:
    """What is appended while the broker is away, and what was on its way, arrives when it is back."""
    uplink = make_uplink(outbox, broker)
    given = [outbox.append(Lane.LIVE, body())]
    async with running(uplink):
        async with running_cloud(broker, silent) as cloud:
            await cloud.until(lambda: cloud.received)
            assert uplink.is_current
        server.kill()
        await until(lambda: not uplink.is_current)
        given.append(outbox.append(Lane.BACKLOG, body()))
        uplink.notify()
        server.start()
        async with running_cloud(broker) as cloud:
            await cloud.until(lambda: set(given) <= set(cloud.received))
            await until(lambda: is_empty(outbox))
            await until(lambda: uplink.is_current)
    outbox.close()


async def test_old_epochs_are_sent_under_their_own_name(broker: BrokerConfig, path: Path) -> None:
    """After an unclean stop what waited goes first, as it was named; its receipts are honoured."""
    outbox = open_outbox(path)
    old = outbox.append_all([(Lane.LIVE, body())] * 2)
    kill(outbox)
    outbox = open_outbox(path)
    new = outbox.append(Lane.LIVE, body())
    async with running_cloud(broker) as cloud, running(make_uplink(outbox, broker)):
        await until(lambda: is_empty(outbox))
        assert cloud.received == [*old, new]
        assert {status.epochs[0].epoch for status in cloud.statuses} == {new.epoch}
    outbox.close()


async def test_a_killed_gateway_leaves_its_will(outbox: Outbox, broker: BrokerConfig) -> None:
    """When the connection ends without a goodbye the retained status says offline, under the same session."""
    async with running_cloud(broker) as cloud:
        task = asyncio.create_task(make_uplink(outbox, broker).run())
        await cloud.until(lambda: cloud.statuses)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await cloud.until(lambda: not cloud.statuses[-1].online)
        assert cloud.statuses[-1].session == cloud.statuses[0].session
    outbox.close()


async def test_each_connection_has_its_own_session(server: Mosquitto, broker: BrokerConfig, outbox: Outbox) -> None:
    """So that the will of an older connection can be told from the status of a newer one."""
    sessions = set()
    async with running(make_uplink(outbox, broker)):
        for _ in range(2):
            async with running_cloud(broker) as cloud:
                await cloud.until(lambda: cloud.statuses and cloud.statuses[-1].online)
                sessions.add(cloud.statuses[-1].session)
            server.restart()
    assert len(sessions) == 2
    outbox.close()


async def test_live_only_while_the_cloud_keeps_up(outbox: Outbox, broker: BrokerConfig) -> None:
    """is_current needs a connection and a live lane that is nearly drained."""
    uplink = make_uplink(outbox, broker)
    assert not uplink.is_current
    async with running_cloud(broker, silent) as cloud, running(uplink):
        await cloud.until(lambda: cloud.statuses)
        assert uplink.is_current
        outbox.append_all([(Lane.LIVE, body())] * (NEARLY_DRAINED + 1))
        assert not uplink.is_current
        uplink.notify()
        await cloud.until(lambda: cloud.received)
        await cloud.send_receipt(cloud.received[0])
        await until(lambda: uplink.is_current)
    assert not uplink.is_current
    outbox.close()


async def test_stop_without_a_broker(outbox: Outbox) -> None:
    """With nobody to say goodbye to, run() ends by itself."""
    [port] = free_ports(1)
    uplink = make_uplink(outbox, BrokerConfig(host="127.0.0.1", port=port))
    async with running(uplink):
        await until(lambda: uplink._said)
    outbox.close()


async def test_stop_while_the_broker_hangs(
    outbox: Outbox, broker: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A goodbye that gets no answer does not hold up the stop."""
    monkeypatch.setattr(uplink_module, "STOP_S", 0.5)
    monkeypatch.setattr(Connection, "_on_answer", lambda _self, _mid, _codes: None)
    uplink = make_uplink(outbox, broker)
    async with running(uplink):
        await asyncio.sleep(0)
    outbox.close()


async def test_a_refused_password_is_tried_again(
    start_mosquitto: Callable[..., Mosquitto], outbox: Outbox, tmp_path: Path
) -> None:
    """A wrong password does not end the agent: once the file is mended the uplink connects."""
    server = start_mosquitto(users={"gw": "right"})
    secret = tmp_path / "password"
    secret.write_text("wrong")
    broker = BrokerConfig(host="127.0.0.1", port=server.port, username="gw", password_file=secret)
    uplink = make_uplink(outbox, broker)
    async with running(uplink):
        await until(lambda: "check username and password_file" in uplink._said)
        secret.write_text("right")
        await until(lambda: uplink.is_current)
    outbox.close()


async def test_a_timeout_that_nobody_expected_is_no_quiet_end(
    outbox: Outbox, broker: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the deadline of a stop ends run() without an error: an agent must not go on without its uplink."""

    async def time_out(_self: Uplink) -> None:
        raise TimeoutError("a bug")

    monkeypatch.setattr(Uplink, "_session", time_out)
    with pytest.raises(TimeoutError, match="a bug"):
        await make_uplink(outbox, broker).run()
    outbox.close()


async def test_a_connection_lost_while_being_cancelled(
    outbox: Outbox, broker: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An uplink that is cancelled ends, though its connection is lost in the same moment: it must not begin anew."""

    async def lose(_self: Drain) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DisconnectedError("lost just now") from None

    monkeypatch.setattr(Drain, "receive", lose)
    uplink = make_uplink(outbox, broker)
    task = asyncio.create_task(uplink.run())
    await until(lambda: uplink.is_current)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    outbox.close()


async def test_a_failing_disk_ends_the_uplink(
    outbox: Outbox, broker: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the outbox raises when its file fails reaches whoever runs the uplink."""

    def fail(_lane: Lane, *, after: int) -> None:
        raise OutboxBrokenError(f"disk I/O error after {after}")

    outbox.append_all([(Lane.LIVE, body())])
    monkeypatch.setattr(outbox, "next_to_send", fail)
    with pytest.RaisesGroup(OutboxBrokenError):
        await make_uplink(outbox, broker).run()
    outbox.close()
