"""The agent whole: simulated devices, a real broker, a cloud that receipts."""

from __future__ import annotations

import base64
from itertools import pairwise

import httpx
import pytest

from edge.agent import next_slot, phase_ms
from edge.contract.clock import SteppedClock, SystemClock
from edge.contract.messages import EventState, Flag, Reading
from simulators.faults import Fault, FaultKind
from tests.edge.agent_site import Site, depths, running, said, shows
from tests.edge.cloud_stand_in import cloud_for
from tests.servers import free_ports

AT = 1_790_000_000_000
MINUTE = 60_000
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 200


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
