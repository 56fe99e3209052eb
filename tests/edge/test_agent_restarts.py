"""The agent stopped kindly, killed, and started again on what was left: nothing that was committed is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import pytest

from edge.contract.clock import SystemClock
from edge.contract.messages import EventState
from edge.drivers import Part, Snapshot
from edge.drivers.modbus import ModbusPoll
from tests.e2e.waiting import until
from tests.edge.agent_site import Site, keep_state, open_outbox, process, running, said, shows, stored, terminate
from tests.edge.cloud_stand_in import cloud_for

AT = 1_790_000_000_000


async def test_a_term_signal_loses_nothing(site: Site) -> None:
    """SIGTERM in the middle of work: exit code 0, and everything the agent took is in the cloud before it ends."""
    config = site.write()
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with process(config, "--journal", site.journal) as agent:
            for depth in (300.0, 310.0, 320.0):
                site.road.set("depth", depth)
                await cloud.wait_for(partial(shows, cloud, depth), "the road's depth")
            await terminate(agent)
        await cloud.wait_for(lambda: cloud.status is not None and not cloud.status.online, "the goodbye")
        assert stored(cloud) == site.journalled()
        assert len(cloud.events) == 2
        assert cloud.status is not None
        [epoch] = cloud.status.epochs
        assert all(lane.oldest_kept == lane.next_seq for lane in epoch.lanes.values())
        assert epoch.counts.taken == epoch.counts.unchanged + len(cloud.readings)


async def test_a_corrupt_outbox_is_an_event(site: Site) -> None:
    """The gateway says of itself that its storage goes bad, with what was taken over."""
    outbox = site.folder / "data" / "outbox.sqlite"
    outbox.parent.mkdir()
    outbox.write_bytes(b"no database" * 1000)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(), SystemClock()):
        await cloud.wait_for(lambda: len(cloud.events) == 1, "the event")
        [event] = cloud.revisions()
    assert (event.class_code, event.device, event.state) == ("DEV.OUTBOX", "gateway", EventState.CONFIRMED)
    assert event.note == "taken over: 0 messages, 0 drafts; lost: 0 readings"


async def test_a_kill_loses_nothing_committed_and_the_event_goes_on(site: Site) -> None:
    """After -9 during a flood, all that the journal has arrives, and the restarted agent ends the same event."""
    config = site.write()
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with process(config, "--journal", site.journal) as agent:
            await cloud.wait_for(lambda: len(cloud.events) == 2, "the flood")
            agent.kill()
            await agent.wait()
        before = site.journalled()
        site.road.set("depth", 20)
        async with process(config, "--journal", site.journal) as agent:
            await cloud.wait_for(lambda: len(cloud.events) == 3, "its end")
            await terminate(agent)
        assert said(cloud.revisions()) == [(1, "suspect"), (2, "confirmed"), (3, "ended")]
        assert len({event.id for event in cloud.revisions()}) == 1
        assert before.items() <= site.journalled().items()
        assert stored(cloud) == site.journalled()


async def test_a_kill_takes_no_readings_that_were_drafted(site: Site) -> None:
    """Long before a batch is due readings are on disk: after -9 the next start sends them, and what it takes itself."""
    config = site.write(batch_s=3600)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with process(config, "--journal", site.journal) as agent:
            await until(lambda: site.journal.exists() and site.journal.read_text().count("draft") >= 2, "two drafts")
            agent.kill()
            await agent.wait()
        assert stored(cloud) == {}
        before = site.journalled()
        async with process(config, "--journal", site.journal) as agent:
            await cloud.wait_for(lambda: before.items() <= stored(cloud).items(), "what was drafted")
            await terminate(agent)
        assert stored(cloud) == site.journalled()


async def test_an_event_whose_rule_was_removed_is_ended(site: Site) -> None:
    """No event stays open for ever because somebody changed gateway.yaml."""
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with running(site.write(), SystemClock()):
            await cloud.wait_for(lambda: len(cloud.events) == 2, "the flood")
        address = {"host": "127.0.0.1", "port": site.modbus.port, "unit": 1}
        road = {"id": "road-1", "profile": "moxa_e1242_depth", "modbus": address}
        async with running(site.write(devices=[road]), SystemClock()):
            await cloud.wait_for(lambda: len(cloud.events) == 3, "its end")
        last = cloud.revisions()[-1]
        assert (last.revision, last.state) == (3, EventState.ENDED)
        assert "no longer configured" in last.note


async def test_a_state_that_cannot_be_read_does_not_keep_the_agent_down(site: Site) -> None:
    """What an older program left of events and of judges is said and dropped; the flood is seen anew."""
    path = site.write()
    for key in ("road-1/WATERLOG.ROAD.2:depth", "gone-1/WATERLOG.ROAD.2:depth", "quality/road-1", "quality/meter-1"):
        keep_state(site.folder / "data" / "outbox.sqlite", key, '{"event": {}}')
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(path, SystemClock()):
        await cloud.wait_for(lambda: len(cloud.events) == 2, "the flood")
    assert said(cloud.revisions()) == [(1, "suspect"), (2, "confirmed")]
    outbox = open_outbox(site.folder / "data" / "outbox.sqlite")
    kept = [key for key in outbox.open_events() if not key.startswith("quality/")]
    assert kept == ["agent/stamps", "road-1/WATERLOG.ROAD.2:depth"]
    outbox.close()


async def test_a_poll_that_outlasts_its_cancellation_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a driver still brings after stop() is committed and sent before the agent ends."""
    begun = asyncio.Event()

    async def read_stubbornly(_self: ModbusPoll) -> Snapshot:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        more_work = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, more_work.set)
        await more_work.wait()
        return Snapshot((Part(AT, {"depth": 42.0, "wet_contact": 0.0}),))

    monkeypatch.setattr(ModbusPoll, "read", read_stubbornly)
    road = {"id": "road-1", "profile": "moxa_e1242_depth", "modbus": {"host": "127.0.0.1", "port": site.modbus.port}}
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with running(site.write(devices=[road]), SystemClock()):
            await begun.wait()
        await cloud.wait_for(lambda: shows(cloud, 42.0), "the last poll")
