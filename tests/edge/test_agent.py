"""The agent whole: simulated devices, a real broker, a cloud that receipts; stopped kindly, killed, started again."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from edge.agent import Agent, next_slot, open_agent, phase_ms
from edge.contract.clock import Clock, SteppedClock, SystemClock
from edge.contract.gateway_config import load_gateway_config
from edge.contract.messages import ClockState, Event, EventState, Flag, GiveUpReason, Reading
from edge.drivers import Part, Snapshot
from edge.drivers.modbus import ModbusPoll
from edge.outbox import Outbox
from edge.stamps import class_of
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.faults import Fault, FaultKind
from simulators.modbus_server import ModbusServer
from tests.chaos.neighbourhood import AT_ONCE
from tests.e2e.waiting import until
from tests.edge.cloud_stand_in import CloudStandIn, cloud_for
from tests.edge.hand_clock import RunningClock
from tests.servers import Mosquitto, free_ports

AT = 1_790_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 200


class Site:
    """A gateway's neighbourhood: a road sensor and a meter behind one Modbus port, and the gateway's files."""

    def __init__(self, folder: Path, broker: Mosquitto, modbus: ModbusServer) -> None:
        self.gateway = f"gw-{secrets.token_hex(4)}"
        self.folder = folder
        self.broker = broker
        self.modbus = modbus
        self.road, self.meter = modbus.units[1], modbus.units[2]
        self.journal = folder / "journal.jsonl"

    def write(self, **changes: Any) -> Path:
        """Write gateway.yaml with these keys changed; return its path."""
        address = {"host": "127.0.0.1", "port": self.modbus.port, "timeout_s": 1.0}
        road = {"id": "road-1", "profile": "moxa_e1242_depth", "modbus": {**address, "unit": 1}, "poll_s": 0.2}
        meter = {"id": "meter-1", "profile": "eastron_sdm630", "modbus": {**address, "unit": 2}, "poll_s": 0.2}
        road["rules"] = [{"class": "WATERLOG.ROAD.2", "clear_hold_s": 0.5}]
        road["points"] = AT_ONCE
        document = {
            "gateway": self.gateway,
            "broker": {"host": "127.0.0.1", "port": self.broker.port},
            "data_dir": "data",
            "batch_s": 0.5,
            "status_s": 1,
            "devices": [road, meter, {"id": "gateway", "profile": "anlan_gateway", "poll_s": 1}],
            **changes,
        }
        path = self.folder / "gateway.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def journalled(self) -> dict[tuple[str, str, int], tuple[float | None, int]]:
        """Every reading that the agent's journal says was committed."""
        lines = [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()]
        readings = [reading for line in lines for reading in line.get("readings", [])]
        return {(device, point, at): (value, flag) for device, point, at, value, flag, _ in readings}


@pytest.fixture
async def site(tmp_path: Path, mosquitto: Mosquitto) -> AsyncIterator[Site]:
    """Two devices that answer."""
    units = {1: SimulatedDevice(load_modbus_profile("moxa_e1242_depth"))}
    units[2] = SimulatedDevice(load_modbus_profile("eastron_sdm630"))
    async with ModbusServer(units) as modbus:
        yield Site(tmp_path, mosquitto, modbus)


@asynccontextmanager
async def running(config: Path, clock: Clock, *, is_polling: bool = True) -> AsyncIterator[Agent]:
    """Run an agent in this process, and stop it after."""
    ids = itertools.count(1)
    async with open_agent(load_gateway_config(config), clock=clock, new_id=lambda: f"{next(ids):032x}") as agent:
        work = asyncio.create_task(agent.run(is_polling=is_polling))
        try:
            yield agent
        finally:
            agent.stop()
            await work


@asynccontextmanager
async def process(site: Site) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the agent as a process of its own; what is left of it at the end is killed."""
    command = [sys.executable, "-m", "edge", "run", "--config", str(site.folder / "gateway.yaml")]
    with (site.folder / "agent.log").open("ab") as log:
        agent = await asyncio.create_subprocess_exec(*command, "--journal", str(site.journal), stdout=log, stderr=log)
    try:
        yield agent
    finally:
        if agent.returncode is None:
            agent.kill()
            await agent.wait()


async def terminate(agent: asyncio.subprocess.Process) -> None:
    """Send SIGTERM; the agent must end by itself, with 0."""
    agent.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(agent.wait(), 20) == 0


def open_outbox(path: Path) -> Outbox:
    path.parent.mkdir(exist_ok=True)
    return Outbox.open(path, max_bytes=10**8, max_age_ms=10**12, clock=SystemClock())


def keep_state(path: Path, key: str, state: str) -> None:
    """Leave the state of an open event in an outbox."""
    outbox = open_outbox(path)
    outbox.append_all([], open_events={key: state})
    outbox.close()


def stored(cloud: CloudStandIn) -> dict[tuple[str, str, int], tuple[float | None, int]]:
    return {key: (reading.value, reading.flag) for key, reading in cloud.readings.items()}


def depths(cloud: CloudStandIn) -> set[float | None]:
    return {reading.value for reading in cloud.readings.values() if reading.point == "depth"}


def shows(cloud: CloudStandIn, depth: float) -> bool:
    return depth in depths(cloud)


def said(events: Sequence[Event]) -> list[tuple[int, str]]:
    return [(event.revision, event.state.value) for event in events]


async def test_readings_and_events_arrive(site: Site) -> None:
    """Values arrive as the registers hold them, and a flood as revisions of one event, each at its moment."""
    site.meter.set("voltage_l1", 230.5)
    site.road.set("depth", 20)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(), SystemClock()):
        await cloud.wait_for(lambda: 230.5 in {r.value for r in cloud.readings.values()}, "the meter's voltage")
        site.road.set("depth", 300)
        await cloud.wait_for(lambda: len(cloud.events) == 2, "the flood's beginning")
        site.road.set("depth", 20)
        await cloud.wait_for(lambda: len(cloud.events) == 3, "the flood's end")
        assert said(cloud.revisions()) == [(1, "suspect"), (2, "confirmed"), (3, "ended")]
        first, confirmed, ended = cloud.revisions()
        assert {event.id for event in cloud.revisions()} == {first.id}
        assert (confirmed.class_code, confirmed.device, confirmed.point) == ("WATERLOG.ROAD.2", "road-1", "depth")
        assert (ended.value, ended.threshold, ended.unit) == (300.0, 150.0, "mm")
        await cloud.wait_for(lambda: depths(cloud) == {20.0, 300.0}, "both depths")
        assert cloud.inventory is not None
        assert [(d.device, d.kind, len(d.points)) for d in cloud.inventory.devices] == [
            ("road-1", "waterlogging_sensor", 2),
            ("meter-1", "electricity_meter", 17),
            ("gateway", "gateway", 8),
        ]
        await cloud.wait_for(lambda: "road-1" in cloud.limits, "by what the road is judged")
        assert "depth" in [each.point for each in cloud.limits["road-1"].points if each.limits]
        assert "cpu_load" in {point for _, point, _ in cloud.readings}


async def test_one_silent_device_leaves_the_others_alone(site: Site) -> None:
    """Behind the same address one unit falls silent: it is missing, the other goes on, and it comes back."""
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(), SystemClock()):
        site.meter.silent = True

        def missing() -> list[Reading]:
            return [r for r in cloud.readings.values() if r.device == "meter-1" and r.flag == Flag.MISSING]

        await cloud.wait_for(lambda: len(missing()) == 17, "every point of the meter, missing")
        assert {(r.value, r.tests) for r in missing()} == {(None, 1)}
        site.road.set("depth", 42)
        await cloud.wait_for(lambda: shows(cloud, 42.0), "the road's depth")
        silent_since = max(r.taken_at for r in missing())
        site.meter.silent = False
        await cloud.wait_for(
            lambda: any(r.device == "meter-1" and r.flag == Flag.PASS and r.taken_at > silent_since
                        for r in cloud.readings.values()),
            "the meter again",
        )  # fmt: skip


async def test_a_term_signal_loses_nothing(site: Site) -> None:
    """SIGTERM in the middle of work: exit code 0, and everything the agent took is in the cloud before it ends."""
    site.write()
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with process(site) as agent:
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
    site.write()
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with process(site) as agent:
            await cloud.wait_for(lambda: len(cloud.events) == 2, "the flood")
            agent.kill()
            await agent.wait()
        before = site.journalled()
        site.road.set("depth", 20)
        async with process(site) as agent:
            await cloud.wait_for(lambda: len(cloud.events) == 3, "its end")
            await terminate(agent)
        assert said(cloud.revisions()) == [(1, "suspect"), (2, "confirmed"), (3, "ended")]
        assert len({event.id for event in cloud.revisions()}) == 1
        assert before.items() <= site.journalled().items()
        assert stored(cloud) == site.journalled()


async def test_a_kill_takes_no_readings_that_were_drafted(site: Site) -> None:
    """Long before a batch is due readings are on disk: after -9 the next start sends them, and what it takes itself."""
    site.write(batch_s=3600)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with process(site) as agent:
            await until(lambda: site.journal.exists() and site.journal.read_text().count("draft") >= 2, "two drafts")
            agent.kill()
            await agent.wait()
        assert stored(cloud) == {}
        before = site.journalled()
        async with process(site) as agent:
            await cloud.wait_for(lambda: before.items() <= stored(cloud).items(), "what was drafted")
            await terminate(agent)
        assert stored(cloud) == site.journalled()


async def test_a_replay_drives_the_agent_poll_by_poll(site: Site) -> None:
    """Polled at chosen times on a stepped clock, every stamp is the clock's and the flood ends after its half hour."""
    path = site.write(devices=[{
        "id": "road-1", "profile": "moxa_e1242_depth", "rules": [{"class": "WATERLOG.ROAD.2"}],
        "modbus": {"host": "127.0.0.1", "port": site.modbus.port, "unit": 1},
    }])  # fmt: skip
    clock = SteppedClock(AT)
    async with (
        cloud_for(site.gateway, site.broker.port) as cloud,
        running(path, clock, is_polling=False) as agent,
    ):
        stamps: list[int] = []
        for minute, depth in [(0, 20), (7, 160), (9, 170), (15, 90), (30, 10), (44, 10), (45, 10), (46, 160), (47, 0)]:
            await clock.advance_to(AT + minute * MINUTE)
            site.road.set("depth", depth)
            taken = await agent.poll("road-1")
            stamps += [(r.taken_at - AT) // MINUTE for r in taken.readings if r.point == "depth"]
        assert stamps == [0, 7, 9, 15, 30, 44, 45, 46, 47]  # those that were doubtful came with the poll after theirs
        await cloud.wait_for(lambda: len(cloud.events) == 5, "five revisions")
        flood, blip = cloud.revisions()[:3], cloud.revisions()[3:]
        assert said(flood) == [(1, "suspect"), (2, "confirmed"), (3, "ended")]
        assert [(e.updated_at - AT) / MINUTE for e in flood] == [7, 9, 45]
        assert said(blip) == [(1, "suspect"), (2, "withdrawn")]


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
    """What an older program left of an open event is said and dropped; the flood is seen anew."""
    path = site.write()
    for key in ("road-1/WATERLOG.ROAD.2:depth", "gone-1/WATERLOG.ROAD.2:depth"):
        keep_state(site.folder / "data" / "outbox.sqlite", key, '{"event": {}}')
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(path, SystemClock()):
        await cloud.wait_for(lambda: len(cloud.events) == 2, "the flood")
    assert said(cloud.revisions()) == [(1, "suspect"), (2, "confirmed")]
    outbox = open_outbox(site.folder / "data" / "outbox.sqlite")
    kept = [key for key in outbox.open_events() if not key.startswith("quality/")]
    assert kept == ["agent/stamps", "road-1/WATERLOG.ROAD.2:depth"]
    outbox.close()


async def test_what_is_read_before_the_time_is_known_is_dated_when_it_is(site: Site) -> None:
    """Without a battery, over a restart of the agent: readings and a flood are kept, and come with their dates."""
    path, clock = site.write(), RunningClock(5_000)
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with running(path, clock):
            await cloud.wait_for(lambda: cloud.status is not None and cloud.status.online, "a status")
            await clock.slept(10)
        async with running(path, clock) as agent:
            began = clock.monotonic_ms()
            await clock.slept(10)
            assert not cloud.readings
            assert not cloud.events
            assert cloud.status is not None
            assert (cloud.status.clock, cloud.status.sent_at < AT - HOUR) == (ClockState.UNKNOWN, True)
            known_at = agent.clock.monotonic_ms()
            clock.set(AT)
            site.road.set("depth", 20)
            await cloud.wait_for(lambda: len(cloud.events) == 3, "the flood and its end")
            await cloud.wait_for(lambda: any(at >= AT for *_, at in cloud.readings), "readings of now")
        suspect, confirmed, ended = cloud.revisions()
        assert said([suspect, confirmed, ended]) == [(1, "suspect"), (2, "confirmed"), (3, "ended")]
        assert len({event.id for event in cloud.revisions()}) == 1
        assert {event.began_at for event in cloud.revisions()} == {suspect.began_at}
        assert suspect.began_at < AT + began - known_at < AT < (ended.ended_at or 0)  # before the restart
        assert confirmed.readings[0] in cloud.readings.values()
        early = {clock for key, clock in cloud.clocks.items() if key[2] < AT - 100}
        assert {state for state, _ in early} == {ClockState.FREE_RUNNING}
        assert all(abs((since or 0) - AT) < MINUTE for _, since in early)
        assert min(at for *_, at in cloud.readings) > AT - HOUR


async def test_what_another_run_of_the_machine_left_undated_is_given_up_and_counted(site: Site) -> None:
    """Nobody can know when that was; but a flood that goes on is told, as of now at the latest."""
    path = site.write()
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        clock = RunningClock(5_000, "first")
        async with running(path, clock):
            await clock.slept(10)
        async with running(path, RunningClock(AT, "second")):
            await cloud.wait_for(lambda: len(cloud.events) == 3, "the flood")
            await cloud.wait_for(
                lambda: cloud.status is not None and any(
                    day.given_up.get(GiveUpReason.UNDATED) for epoch in cloud.status.epochs for day in epoch.days
                ), "the account of what is lost",
            )  # fmt: skip
        told = [cloud.events[f"{1:032x}", revision] for revision in (1, 2, 3)]
        assert [event.state.value for event in told] == ["suspect", "confirmed", "updated"]
        assert all(abs(event.began_at - AT) < MINUTE for event in told)
        assert "did not know the time" in told[0].note
        assert min(at for *_, at in cloud.readings) >= AT


async def test_a_clock_that_is_lost_stops_nothing(site: Site) -> None:
    """What was known goes on by the ruler, when somebody sets the clock to nonsense; so does a poll under way."""
    clock = RunningClock(AT)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(), clock):
        await cloud.wait_for(lambda: len({d for d, *_ in cloud.readings}) == 3, "readings of every device")
        began = clock.monotonic_ms()
        clock.set(5_000)
        await clock.slept(10)
        lost_ms = clock.monotonic_ms() - began
        await cloud.wait_for(lambda: any(at >= AT + lost_ms for *_, at in cloud.readings), "readings while it is lost")
    assert all(AT <= at < AT + MINUTE for *_, at in cloud.readings)


async def test_polls_that_take_too_long_are_left_out_and_counted(site: Site) -> None:
    """A device that is slower than it is polled is read as often as it can be: no queue, no burst, and it is said."""
    site.modbus.faults.begin(1, Fault.of(FaultKind.SLOW, 0.35))
    road = {"id": "road-1", "profile": "moxa_e1242_depth", "modbus": {"host": "127.0.0.1", "port": site.modbus.port}}
    devices = [{**road, "poll_s": 0.1}, {"id": "gateway", "profile": "anlan_gateway", "poll_s": 0.5}]
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(devices=devices), SystemClock()):

        def is_told() -> bool:
            told = [one.value for one in cloud.readings.values() if one.point == "polls_skipped"]
            return any(value is not None and value >= 5 for value in told)

        await cloud.wait_for(is_told, "five polls left out")
    times = sorted({at for device, _, at in cloud.readings if device == "road-1"})
    assert all(later - earlier >= 300 for earlier, later in pairwise(times))


async def test_a_clock_that_is_set_leaves_no_polls_out(site: Site) -> None:
    """Time servers set a clock on by hours after a start without a battery: polls go on, and none was left out."""
    clock = RunningClock(AT)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(), clock) as agent:
        for count, now in enumerate((AT, AT + HOUR, AT - HOUR), start=1):
            clock.set(now)
            site.road.set("depth", 20 * count)
            site.meter.set("voltage_l1", 200 + 10 * count)

            def is_read_now(now: int = now) -> bool:
                read = {device for device, _, at in cloud.readings if now <= at < now + MINUTE}
                return read >= {"road-1", "meter-1"}

            await cloud.wait_for(is_read_now, "readings of both devices")
        assert agent.skipped() == 0


async def test_a_time_lived_through_again_after_a_restart_has_other_milliseconds(site: Site) -> None:
    """The machine comes back with a clock that is behind: no reading gets the time of one from before."""
    path = site.write()
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        for boot, now in (("first", AT), ("second", AT - 1000)):
            known = set(cloud.readings)
            site.road.set("depth", 20 if boot == "first" else 40)
            async with running(path, RunningClock(now, boot)):
                await cloud.wait_for(lambda known=known: len(cloud.readings.keys() - known) > 20, "readings")  # type: ignore[misc]
            if boot == "first":
                assert {class_of(at) for *_, at in cloud.readings} == {0}
            else:
                assert {class_of(at) for *_, at in cloud.readings.keys() - known} == {1}


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


async def test_a_camera_post_becomes_an_event_with_its_picture(site: Site) -> None:
    """An authenticated post is answered once it is committed; event and picture arrive, byte for byte."""
    [port] = free_ports(1)
    password = site.folder / "camera.password"
    password.write_text("secret\n", encoding="utf-8")
    password.chmod(0o600)
    path = site.write(
        cameras=[
            {
                "id": "cam-1",
                "purpose": "rubbish at the bins",
                "sign": "at the door",
                "password_file": "camera.password",
                "classes": ["CAM.GARBAGE"],
            }
        ],
        camera_listener={"host": "127.0.0.1", "port": port},
    )
    post = {"class": "CAM.GARBAGE", "note": "north gate", "picture": base64.b64encode(JPEG).decode()}
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(path, SystemClock(), is_polling=False):
        async with httpx.AsyncClient(auth=("cam-1", "secret"), trust_env=False) as camera:
            answer = await camera.post(f"http://127.0.0.1:{port}/v1/trigger", json=post)
        assert answer.status_code == 202, answer.text
        await cloud.wait_for(lambda: len(cloud.events) == 1 and len(cloud.pieces) == 2, "event and picture")
        [event] = cloud.revisions()
        assert (event.id, event.class_code, event.device) == (answer.json()["event"], "CAM.GARBAGE", "cam-1")
        assert event.state is EventState.CONFIRMED
        assert {name for name, _ in cloud.pieces} == set(event.blobs)
        assert b"".join(cloud.pieces[event.blobs[0], index].data for index in (0, 1)) == JPEG


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (0, 1000),  # on time
        (-90, 1000),  # woken early
        (850, 1000),
        (999, 2000),  # took nearly all of the interval
        (1000, 2000),
        (4500, 5000),  # overrun: the next slot of the same grid
        (-3_600_000, -3_599_000),  # the clock was set back by an hour
    ],
)
def test_polls_keep_to_their_grid(now: int, expected: int) -> None:
    """After an overrun or a step of the clock the next poll is the next slot of the same grid, not a burst."""
    assert next_slot(0, now, 1000) == expected


def test_polls_are_spread_over_the_interval_in_groups() -> None:
    """200 devices a second are polled twenty at a time; a few devices lie as far apart as they can."""
    seconds = [phase_ms(index / 200, 1000) for index in range(200)]
    assert sorted(set(seconds)) == list(range(0, 1000, 100))
    assert {seconds.count(phase) for phase in seconds} == {20}
    assert [phase_ms(index / 3, 10_000) for index in range(3)] == [0, 3300, 6600]
