"""How channels are judged: by age against the promised interval, by what the newest reading says, by their gateway."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.database import Database
from cloud.gateway_states import take_inventory, take_status
from cloud.health import (
    RULES,
    Condition,
    Counts,
    DeviceFacts,
    DeviceHealth,
    GatewayFacts,
    Health,
    Reason,
    everything_stopped,
    judge,
)
from cloud.health_reader import read_health, read_last_events
from cloud.series import LastHeard
from cloud.series.sqlite import SqliteStore
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import OrderRule
from edge.contract.messages import (
    Batch,
    ClockState,
    DeviceInventory,
    EventState,
    Flag,
    Inventory,
    PointInventory,
    Reading,
    Status,
    Test,
)
from tests.cloud.workorders.samples import NOW, flood

SECOND, MINUTE = 1000, 60_000
HEARTBEAT_S = 300.0
ROAD = DeviceInventory("road-1", "waterlogging_sensor", "generic", [PointInventory("depth", "mm", 60, HEARTBEAT_S)])


def heard(age_ms: int, *, device: str = "road-1", point: str = "depth", **said: Any) -> LastHeard:
    """Return what was last heard of a point that long ago."""
    taken_at = NOW - age_ms
    fields = {"value": 1.0, "flag": Flag.PASS, "tests": 0, "valued_at": taken_at, **said}
    return LastHeard("gw-1", device, point, "waterlogging_sensor", taken_at, **fields)


def missing(age_ms: int, tests: int, *, valued_age_ms: int | None) -> LastHeard:
    """Return a newest reading that has no value."""
    valued_at = None if valued_age_ms is None else NOW - valued_age_ms
    return heard(age_ms, value=None, flag=Flag.MISSING, tests=tests, valued_at=valued_at)


def gateway(*devices: DeviceInventory, online: bool | None = True, silent_ms: int = 0) -> GatewayFacts:
    """Return gw-1, with statuses every minute, silent for that long; never heard when `online` is None."""
    seen = NOW - silent_ms
    return GatewayFacts(
        gateway="gw-1",
        name="和平路网关",
        site="tunnel",
        online=online,
        last_seen=None if online is None else seen,
        fresh_until=seen + 3 * MINUTE,
        inventory=Inventory(gateway="gw-1", config_hash="ab", devices=list(devices)) if devices else None,
    )


def health_of(
    facts: GatewayFacts, *readings: LastHeard, registered: Sequence[str] = (), cam_at: int | None = None
) -> Health:
    devices = {("gw-1", name): DeviceFacts(name=f"name of {name}", site="river") for name in registered}
    last_events = {} if cam_at is None else {("gw-1", "cam-1"): cam_at}
    return judge([facts], devices, readings, last_events=last_events, now_ms=NOW)


def device_of(health: Health) -> DeviceHealth:
    [[device]] = [one.devices for one in health.gateways]
    return device


def test_what_a_gateways_machine_cannot_tell_is_no_fault() -> None:
    """A gateway without a thermometer is in order; a meter that refuses a register is not."""
    points = [PointInventory("temperature", "°C", 60, 60), PointInventory("uptime", "s", 60, 60)]
    readings = [
        msgspec.structs.replace(
            missing(SECOND, Test.REFUSED, valued_age_ms=None), device="gateway", point="temperature"
        ),
        heard(SECOND, device="gateway", point="uptime"),
    ]
    own = device_of(health_of(gateway(DeviceInventory("gateway", "gateway", "anlan_gateway", points)), *readings))
    assert (own.condition, own.reason) == (Condition.OK, None)
    assert [point.reason for point in own.points] == [Reason.NOT_OFFERED, None]
    meter = device_of(health_of(gateway(DeviceInventory("gateway", "electricity_meter", "x", points)), *readings))
    assert (meter.condition, meter.reason) == (Condition.OFFLINE, Reason.REFUSED)


def test_what_a_camera_never_says_is_no_fault() -> None:
    """A camera that gives no time with what it sees is in order: its gateway cannot know how its clock is."""
    points = [PointInventory("clock_offset", "ms", 60, 60), PointInventory("offline", "1", 60, 60)]
    readings = [
        msgspec.structs.replace(
            missing(SECOND, Test.REFUSED, valued_age_ms=None), device="cam-1", point="clock_offset"
        ),
        heard(SECOND, device="cam-1", point="offline"),
    ]
    camera = device_of(health_of(gateway(DeviceInventory("cam-1", "camera", "anlan_camera", points)), *readings))
    assert (camera.condition, camera.reason) == (Condition.OK, None)


@pytest.mark.parametrize(
    ("age_s", "condition"),
    [
        (0, Condition.OK),
        (-30, Condition.OK),  # a clock a little ahead
        (3 * HEARTBEAT_S, Condition.OK),
        (3 * HEARTBEAT_S + 1, Condition.STALE),
        (10 * HEARTBEAT_S, Condition.STALE),
        (10 * HEARTBEAT_S + 1, Condition.OFFLINE),
    ],
)
def test_a_point_is_judged_by_its_own_interval(age_s: float, condition: Condition) -> None:
    """Three heartbeats late is stale, ten is offline, since the last reading; the device is as its point."""
    device = device_of(health_of(gateway(ROAD), heard(round(age_s * SECOND))))
    [point] = device.points
    assert (point.condition, device.condition) == (condition, condition)
    expected = (None, None) if condition is Condition.OK else (Reason.SILENT, NOW - round(age_s * SECOND))
    assert (device.reason, device.since) == expected


@pytest.mark.parametrize(
    ("interval_s", "stale_s", "offline_s"), [(10, 600, 600), (60, 600, 600), (90, 600, 900), (3600, 10_800, 36_000)]
)
def test_nothing_is_stale_within_ten_minutes(interval_s: float, stale_s: float, offline_s: float) -> None:
    """However often a point is read; and nothing is offline before it would be stale."""
    assert RULES.limits_ms(interval_s) == (stale_s * SECOND, offline_s * SECOND)


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        (Test.NO_ANSWER, Reason.NO_ANSWER),
        (Test.REFUSED, Reason.REFUSED),
        (Test.SENTINEL, Reason.SENTINEL),
        (Test.NO_ANSWER | Test.SENTINEL, Reason.NO_ANSWER),
        (0, Reason.MISSING),
    ],
)
def test_what_is_read_and_gives_nothing_is_offline_at_once(tests: int, reason: Reason) -> None:
    """A missing value says why it is missing, since when there was one; fresh as it is, it is no sign of health."""
    device = device_of(health_of(gateway(ROAD), missing(SECOND, tests, valued_age_ms=5 * MINUTE)))
    assert (device.condition, device.reason, device.since) == (Condition.OFFLINE, reason, NOW - 5 * MINUTE)
    assert (device.heard_at, device.valued_at) == (NOW - SECOND, NOW - 5 * MINUTE)
    never = device_of(health_of(gateway(ROAD), missing(SECOND, tests, valued_age_ms=None)))
    assert (never.condition, never.since) == (Condition.OFFLINE, None)


def test_a_missing_value_long_ago_is_silence() -> None:
    """Whatever the last word was, after ten intervals nothing is known but that nothing comes."""
    device = device_of(health_of(gateway(ROAD), missing(2 * 3600 * SECOND, Test.NO_ANSWER, valued_age_ms=None)))
    assert (device.condition, device.reason) == (Condition.OFFLINE, Reason.SILENT)


@pytest.mark.parametrize("flag", [Flag.SUSPECT, Flag.FAIL, Flag.NOT_EVALUATED])
def test_a_value_that_is_wrong_is_heard(flag: Flag) -> None:
    """Whether to trust a value is not whether it comes."""
    assert device_of(health_of(gateway(ROAD), heard(0, flag=flag))).condition is Condition.OK


# --- gateways ---


@pytest.mark.parametrize(
    ("online", "silent_ms", "condition", "reason"),
    [
        (True, 0, Condition.OK, None),
        (True, 3 * MINUTE, Condition.OK, None),
        (True, 3 * MINUTE + 1, Condition.STALE, Reason.SILENT),
        (True, 10 * MINUTE, Condition.STALE, Reason.SILENT),
        (True, 10 * MINUTE + 1, Condition.OFFLINE, Reason.SILENT),
        (False, 0, Condition.OFFLINE, Reason.CLOSED),
        (None, 0, Condition.NEVER, Reason.NEVER_HEARD),
    ],
)
def test_a_gateway_is_judged_by_its_statuses(
    online: bool | None,  # noqa: FBT001 -- a column
    silent_ms: int,
    condition: Condition,
    reason: Reason | None,
) -> None:
    """Told to be offline it is so at once; silent, after three and ten of its own intervals."""
    [found] = health_of(gateway(online=online, silent_ms=silent_ms)).gateways
    assert (found.condition, found.reason) == (condition, reason)
    assert found.since == (None if condition in {Condition.OK, Condition.NEVER} else NOW - silent_ms)


def test_one_dead_gateway_is_one_cause() -> None:
    """What is behind it is offline because of it, since it is, and counted apart; what was never heard stays never."""
    other = DeviceInventory("road-2", "waterlogging_sensor", "generic", ROAD.points)
    found = health_of(gateway(ROAD, other, online=False, silent_ms=SECOND), heard(2 * SECOND))
    behind, never = found.gateways[0].devices
    assert (behind.condition, behind.reason, behind.since) == (Condition.OFFLINE, Reason.GATEWAY, NOW - SECOND)
    assert (never.condition, never.reason) == (Condition.NEVER, Reason.NEVER_HEARD)
    assert found.of_gateways == Counts(offline=1)
    assert found.of_devices == found.of_points == Counts(behind_gateway=1, never=1)


def test_an_online_gateway_does_not_make_its_sensors_well() -> None:
    """Gateway alive is not sensor alive."""
    found = health_of(gateway(ROAD), heard(3600 * SECOND))
    assert (found.of_gateways, found.of_devices) == (Counts(ok=1), Counts(offline=1))


# --- devices ---

METER = DeviceInventory(
    "meter-1", "electricity_meter", "generic", [PointInventory(name, "V", 10, 60) for name in ("a", "b", "c")]
)


def meter(point: str, age_ms: int = 0) -> LastHeard:
    return heard(age_ms, device="meter-1", point=point)


@pytest.mark.parametrize(
    ("readings", "condition", "reason"),
    [
        ([meter("a"), meter("b"), meter("c")], Condition.OK, None),
        ([meter("a"), meter("b", 3600_000), meter("c")], Condition.OFFLINE, Reason.SILENT),
        ([meter("a"), meter("b")], Condition.OFFLINE, Reason.NEVER_HEARD),
        ([], Condition.NEVER, Reason.NEVER_HEARD),
    ],
)
def test_a_device_is_as_its_worst_point(
    readings: Sequence[LastHeard], condition: Condition, reason: Reason | None
) -> None:
    """One silent point is enough; a device of which nothing was ever heard is never, not offline."""
    device = device_of(health_of(gateway(METER), *readings))
    assert (device.condition, device.reason) == (condition, reason)
    assert [point.point for point in device.points] == ["a", "b", "c"]


def test_registered_and_listed_devices_are_all_there() -> None:
    """By id: with the name and site that the registry gives, or the gateway's site where nobody registered it."""
    [found] = health_of(gateway(ROAD, METER), registered=["road-1", "cover-1"]).gateways
    assert [(one.device, one.name, one.site, one.kind) for one in found.devices] == [
        ("cover-1", "name of cover-1", "river", ""),
        ("meter-1", None, "tunnel", "electricity_meter"),
        ("road-1", "name of road-1", "river", "waterlogging_sensor"),
    ]


def test_a_registered_device_that_no_gateway_reads_is_said_to_be_unlisted() -> None:
    """Never heard, or once heard and silent since it was taken out: the gateway's configuration is what to look at."""
    never = device_of(health_of(gateway(), registered=["road-1"]))
    assert (never.condition, never.reason) == (Condition.NEVER, Reason.NEVER_HEARD)
    [found] = health_of(
        gateway(ROAD), heard(0), heard(9 * 3600_000, device="old-1"), registered=["old-1", "new-1"]
    ).gateways
    conditions = {one.device: (one.condition, one.reason) for one in found.devices}
    assert conditions == {
        "road-1": (Condition.OK, None),
        "old-1": (Condition.OFFLINE, Reason.UNLISTED),
        "new-1": (Condition.NEVER, Reason.UNLISTED),
    }


def test_what_is_in_neither_is_not_shown() -> None:
    """Old series of a device that is neither registered nor read any more do not come back."""
    [found] = health_of(gateway(ROAD), heard(0), heard(0, device="gone-1")).gateways
    assert [one.device for one in found.devices] == ["road-1"]


@pytest.mark.parametrize(
    ("online", "last_event", "condition", "reason"),
    [
        (True, None, Condition.NEVER, Reason.NEVER_HEARD),
        (True, NOW - 90 * 24 * 3600_000, Condition.OK, Reason.ONLY_EVENTS),
        (False, NOW, Condition.OFFLINE, Reason.GATEWAY),
    ],
)
def test_a_camera_is_known_by_its_events(
    *, online: bool, last_event: int | None, condition: Condition, reason: Reason
) -> None:
    """It gives no readings: after its first event it is not called silent, and not called more than that."""
    camera = DeviceInventory("cam-1", "camera", "", [])
    device = device_of(health_of(gateway(camera, online=online), cam_at=last_event))
    assert (device.condition, device.reason, device.heard_at) == (condition, reason, last_event)


# --- everything ---


def facts(silent_ms: int | None, interval_s: int = 60) -> GatewayFacts:
    if silent_ms is None:
        return GatewayFacts(gateway="gw", name="", site="")
    seen = NOW - silent_ms
    return GatewayFacts(
        gateway="gw", name="", site="", online=True, last_seen=seen, fresh_until=seen + 3 * interval_s * SECOND
    )


@pytest.mark.parametrize(
    ("gateways", "since"),
    [
        ([], None),
        ([facts(None)], None),
        ([facts(3 * MINUTE)], None),
        ([facts(3 * MINUTE + 1)], NOW - 3 * MINUTE - 1),
        ([facts(3 * MINUTE + 1), facts(None), facts(9 * MINUTE)], NOW - 3 * MINUTE - 1),
        ([facts(9 * MINUTE), facts(MINUTE)], None),
        ([facts(2 * MINUTE, interval_s=20)], None),  # three minutes at least
        ([facts(9 * MINUTE), facts(9 * MINUTE, interval_s=600)], None),  # one that seldom says anything
    ],
)
def test_everything_has_stopped_when_nobody_is_heard(gateways: Sequence[GatewayFacts], since: int | None) -> None:
    """Since the last of them was heard; not while one may still be in time, and not where none was ever heard."""
    assert everything_stopped(gateways, now_ms=NOW) == since


@given(ages=st.lists(st.integers(0, 12 * 3600), min_size=1, max_size=12), silent_s=st.integers(0, 1200))
def test_every_channel_is_counted_once(ages: list[int], silent_s: int) -> None:
    """Whatever is silent, the counts add up to what there is."""
    devices = [DeviceInventory(f"d-{number}", "x", "x", ROAD.points) for number in range(len(ages) + 1)]
    readings = [heard(age * SECOND, device=f"d-{number}") for number, age in enumerate(ages)]
    found = health_of(gateway(*devices, silent_ms=silent_s * SECOND), *readings)
    for counts in (found.of_devices, found.of_points):
        total = counts.ok + counts.stale + counts.offline + counts.never + counts.behind_gateway
        assert (total, counts.never) == (len(devices), 1)


def test_two_thousand_channels_take_no_time() -> None:
    """A page asks for them each time: 200 gateways with ten channels each are judged in less than 30 ms of this CPU."""
    inventories = [DeviceInventory(f"d-{number}", "x", "x", ROAD.points) for number in range(10)]
    world = [
        GatewayFacts(
            gateway=f"gw-{number}",
            name="",
            site="",
            online=True,
            last_seen=NOW,
            fresh_until=NOW + MINUTE,
            inventory=Inventory(gateway=f"gw-{number}", config_hash="ab", devices=inventories),
        )
        for number in range(200)
    ]
    readings = [
        LastHeard(one.gateway, device.device, "depth", "x", NOW, 1.0, Flag.PASS, 0, NOW)
        for one in world
        for device in inventories
    ]

    def seconds_of_cpu() -> float:
        began = time.process_time()
        found = judge(world, {}, readings, last_events={}, now_ms=NOW)
        assert found.of_points == Counts(ok=2000)
        return time.process_time() - began

    assert min(seconds_of_cpu() for _ in range(5)) < 0.030


# --- read from the database ---


async def test_health_is_read_from_what_is_there(neighbourhood: Database, tmp_path: Path) -> None:
    """Registry, inventory, status, events and the series store together: a sensor, a silent one, and a camera."""
    camera = DeviceInventory("cam-1", "camera", "", [])
    river = DeviceInventory("river-1", "level_transmitter", "generic", [PointInventory("water_level", "mm", 60, 600)])
    inventory = Inventory(gateway="gw-1", config_hash="ab", devices=[ROAD, river, camera])
    status = Status(
        gateway="gw-1",
        session="aa",
        online=True,
        sent_at=NOW,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[],
    )
    [event] = flood(EventState.CONFIRMED)
    neighbourhood.write_now(lambda c: take_inventory(c, inventory, now_ms=NOW))
    before = neighbourhood.read_now(lambda c: read_health(c, [], now_ms=NOW))
    assert (before.of_gateways, before.of_devices) == (Counts(never=1), Counts(never=3))
    neighbourhood.write_now(lambda c: take_status(c, status, retained=False, now_ms=NOW))
    neighbourhood.write_now(lambda c: record_event(c, event, rule_of=lambda _: OrderRule(), now_ms=NOW))
    store = SqliteStore(tmp_path / "series.db")
    readings = [Reading("river-1", "water_level", NOW, 1.0), Reading("river-1", "old_point", NOW - 9**12, 1.0)]
    await store.write(
        [
            Batch.of(
                readings,
                gateway="gw-1",
                config_hash="ab",
                clock=ClockState.SYNCHRONISED,
                kinds={"river-1": "level_transmitter"},
            )
        ]
    )
    last = await store.last_heard()
    await store.close()
    [found] = neighbourhood.read_now(lambda c: read_health(c, last, now_ms=NOW)).gateways
    assert (found.condition, found.name, found.site) == (Condition.OK, "和平路网关", "tunnel")
    assert {one.device: (one.condition, one.site) for one in found.devices} == {
        "cam-1": (Condition.NEVER, "tunnel"),
        "river-1": (Condition.OK, "river"),
        "road-1": (Condition.NEVER, "tunnel"),
    }
    assert neighbourhood.read_now(lambda c: read_last_events(c, [("gw-1", "road-1"), ("gw-1", "cam-1")])) == {
        ("gw-1", "road-1"): event.updated_at
    }
