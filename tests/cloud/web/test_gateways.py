"""The gateways: the list with trouble first, one with its account and what to do, and its first readings."""

import html
import re
from typing import Any

import pytest
from sqlalchemy import insert, update

from cloud.dead_letters import unregistered
from cloud.gateway_states import find_state, take_inventory, take_status
from cloud.ledger import CONFLICT, Entry, Name, record
from cloud.registry.gateway_files import GatewayFile, keep_file
from cloud.registry.tables import devices, gateways
from cloud.twins import FORGET_MS
from edge.contract.days import day_of
from edge.contract.messages import (
    Batch,
    ClockState,
    Counts,
    DeviceInventory,
    EpochState,
    Flag,
    Inventory,
    Lane,
    LaneState,
    PointInventory,
    Reading,
    Status,
    Test,
)
from tests.cloud.web.conftest import Site
from tests.cloud.web.scenes import ESCAPED, SCRIPT, hear, keep_letter, list_points, name_everything, read_depth
from tests.cloud.workorders.samples import MINUTE, NOW

HOUR = 60 * MINUTE
EPOCH, OLD_EPOCH = "0123456789abcdef", "fedcba9876543210"


def say(site: Site, *epochs: EpochState, **other: Any) -> None:
    """Take a status of gw-1 with these epochs."""
    fields: dict[str, Any] = {
        "gateway": "gw-1",
        "session": "aa",
        "online": True,
        "sent_at": NOW,
        "clock": ClockState.SYNCHRONISED,
        "config_hash": "ab",
        "epochs": list(epochs),
    }
    status = Status(**{**fields, **other})
    site.write(lambda connection: take_status(connection, status, retained=False, now_ms=NOW))


def enter(site: Site, *seqs: int, epoch: str = EPOCH, readings: int = 10, outcome: Any = "stored") -> None:
    """Let the ledger have these batches."""
    entries = [
        Entry(Name("gw-1", epoch, Lane.LIVE, seq), b"x" * 32, readings, outcome, "", NOW, day_of(NOW)) for seq in seqs
    ]
    site.write(lambda connection: record(connection, entries))


async def store(site: Site, *readings: Reading, kind: str = "waterlogging_sensor") -> None:
    """Store readings of devices of gw-1."""
    kinds = {reading.device: kind for reading in readings}
    batch = Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
    await site.services.series.write([batch])


def text_of(page: str) -> str:
    """Return what a page says, without its tags."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", page.partition("<main")[2].partition(">")[2]))
    return re.sub(r"\s+", " ", text).replace(" : ", ": ")


def lines(page: str) -> list[str]:
    """Return what the lines of the list say, in order."""
    return [text_of(f"<main>{row}") for row in re.findall(r'<tr id="g-.*?</tr>', page, re.DOTALL)]


ROLES = [("chen", 200), ("zhao", 200), ("sun", 200), ("wang", 404), (None, 303)]


@pytest.mark.parametrize("path", ["/gateways", "/gateways/gw-1", "/gateways/gw-1/live"])
@pytest.mark.parametrize(("login", "status"), ROLES)
async def test_gateways_are_for_operators_and_installers(site: Site, path: str, login: str | None, status: int) -> None:
    """For a worker they do not exist."""
    assert (await site.visit(login, path)).status_code == status


@pytest.mark.parametrize("gateway", ["gw-9", "%3Cscript%3E", "a" * 300, "gw-1%00"])
async def test_a_gateway_that_was_never_heard_of_is_not_there(site: Site, gateway: str) -> None:
    """Nor is anything else that is put into its place."""
    for path in (f"/gateways/{gateway}", f"/gateways/{gateway}/live"):
        assert (await site.visit("chen", path)).status_code == 404


async def test_what_needs_somebody_comes_first(site: Site) -> None:
    """Offline, silent, not registered, with losses, then the others; each with what is known of it."""
    rows = [{"id": f"gw-{n}", "name": f"网关 {n}", "site": "tunnel", "active": True} for n in range(2, 6)]
    site.write(lambda c: c.execute(insert(gateways), rows))
    hear(site)
    hear(site, gateway="gw-2", lost=3)
    hear(site, gateway="gw-3", online=False)
    hear(site, gateway="gw-4", at_ms=NOW - 4 * MINUTE)
    hear(site, gateway="gw-9")
    keep_letter(site, b"1", unregistered("gw-9"), gateway="gw-9")
    keep_letter(site, b"2", unregistered("gw-9"), gateway="gw-9")
    found = lines(await site.see("chen", "/gateways"))
    starts = [
        "offline 网关 3 gw-3",
        "silent 网关 4 gw-4",
        "not registered gw-9",
        "online 网关 2 gw-2",
        "never online 网关 5 gw-5",
        "online 和平路网关 gw-1",
    ]
    assert [line.strip()[: len(start)] for line, start in zip(found, starts, strict=True)] == starts
    assert "its connection ended" in found[0]
    assert "4 minutes ago" in found[1]
    assert "2 messages, until it is registered" in found[2]
    assert "3 messages" in found[3]


async def test_the_list_can_be_narrowed(site: Site) -> None:
    """By condition and by words of id, name or site; an unknown condition is no page."""
    site.write(lambda c: c.execute(insert(gateways).values(id="gw-2", name="桥", site="river", active=True)))
    hear(site)
    assert len(lines(await site.see("chen", "/gateways"))) == 2
    assert len(lines(await site.see("chen", "/gateways?state=ok"))) == 1
    assert "清水河" in lines(await site.see("chen", "/gateways?q=清水"))[0]
    assert "None that fits" in await site.see("chen", "/gateways?q=nothing&state=")
    assert (await site.visit("chen", "/gateways?state=broken")).status_code == 404


async def test_devices_in_trouble_and_waiting_messages_are_counted(site: Site) -> None:
    """Its own health is no device of it; what it keeps is as it said last."""
    list_points(site)
    say(site, EpochState(EPOCH, {"live": LaneState(5, 12), "events": LaneState(1, 2)}, Counts(given_up=30)))
    await read_depth(site, "road-1", NOW)
    [line] = lines(await site.see("chen", "/gateways"))
    assert "2 1 in trouble" in line
    assert "8 messages" in line
    assert "30 readings given up" in line


async def test_without_a_gateway_the_list_says_what_to_do(site: Site) -> None:
    """Who may add one is given the way; who may not is not."""
    site.write(lambda c: c.execute(update(gateways).values(active=False)))
    for login, may in {"sun": True, "zhao": True, "chen": False}.items():
        page = await site.see(login, "/gateways")
        assert "There is no gateway yet" in page
        assert ('class="button primary" href="/gateways/new"' in page) is may


async def test_the_account_names_where_every_reading_is(site: Site) -> None:
    """Each outcome with its number and meaning, the sum, and the messages that will never come."""
    enter(site, 1, 2, 5)
    enter(site, 3, readings=4, outcome="refused")
    enter(site, 1, epoch=OLD_EPOCH)
    say(site, EpochState(EPOCH, {"live": LaneState(8, 8)}, Counts(taken=100, unchanged=40, given_up=6, refused=4)))
    page = text_of(await site.see("chen", "/gateways/gw-1"))
    for line in ("unchanged 40", "stored 30", "refused 4", "pending 0", "given up 6", "missing 20", "taken 100"):
        assert line in page
    assert "Never came, and the gateway does not have it any more." in page
    assert "3 messages are lost: Readings 4 Readings 6–7" in page
    assert "3 messages will never come" in page
    assert f"Epoch {OLD_EPOCH}, which the gateway reports no more · 10 readings" in page


async def test_a_long_account_is_settled_apart(site: Site) -> None:
    """The page does not wait for it: it is asked for afterwards, and has a page of its own."""
    enter(site, 1)
    say(site, EpochState(EPOCH, {"live": LaneState(2, 50_000)}, Counts(taken=100)))
    page = await site.see("sun", "/gateways/gw-1")
    assert 'hx-trigger="load"' in page
    assert "stored" not in text_of(page)
    assert 'href="/gateways/gw-1/account"' in page
    assert "stored 10" in text_of(await site.see("sun", "/gateways/gw-1/account"))
    assert (await site.visit("sun", "/gateways/gw-9/account")).status_code == 404
    assert (await site.visit("wang", "/gateways/gw-1/account")).status_code == 404


async def test_what_waits_is_shown_by_lane(site: Site) -> None:
    """Events before readings before pictures before those from before."""
    lanes = {
        "events": LaneState(1, 3),
        "live": LaneState(4, 5),
        "blobs": LaneState(1, 10),
        "backlog": LaneState(1, 400),
    }
    say(site, EpochState(EPOCH, lanes, Counts()))
    page = text_of(await site.see("chen", "/gateways/gw-1"))
    assert "Events 2 Readings 1 Pictures 9 Backlog readings 399" in page


ADVICE: dict[str, dict[str, Any]] = {
    "It is offline": {"online": False},
    "Its clock is not set": {"session": "bb", "sent_at": 946_684_900_000},
    "Its clock is 2 minutes fast": {"session": "bb", "sent_at": NOW + 2 * MINUTE},
    "Its clock is 5 minutes slow": {"session": "bb", "sent_at": NOW - 5 * MINUTE},
}


@pytest.mark.parametrize("title", ADVICE)
async def test_each_trouble_comes_with_what_to_do(site: Site, title: str) -> None:
    """What is wrong, what it means, and steps to try."""
    say(site)
    assert 'class="advice' not in await site.see("chen", "/gateways/gw-1")
    say(site, **ADVICE[title])
    page = await site.see("chen", "/gateways/gw-1")
    [advice] = re.findall(r'<section class="advice.*?</section>', page, re.DOTALL)
    assert title in advice
    assert "<li>" in advice


@pytest.mark.parametrize(
    ("sent_at", "said"),
    [
        (946_684_900_000, "clock not set"),
        (NOW + 2 * MINUTE, "clock 2 minutes fast"),
        (NOW - 5 * MINUTE, "clock 5 minutes slow"),
        (NOW - MINUTE, ""),
    ],
)
async def test_the_list_says_whose_clock_is_wrong(site: Site, sent_at: int, said: str) -> None:
    """An operator sees it without opening each gateway; up to a minute is not worth a word."""
    say(site, session="bb", sent_at=sent_at)
    [line] = lines(await site.see("chen", "/gateways"))
    assert said in line if said else "clock" not in line


async def test_a_gateway_that_was_never_heard_has_its_first_steps(site: Site) -> None:
    """What to type there, and where to watch the first readings."""
    page = await site.see("sun", "/gateways/gw-1")
    assert "It has never been heard" in page
    assert "anlan-edge run --config gateway.yaml" in page
    assert 'href="/gateways/gw-1/live"' in page


async def test_a_stranger_can_be_registered_by_who_may(site: Site) -> None:
    """An installer is led to the form with its id in it; an operator is told whom to ask."""
    hear(site, gateway="gw-9")
    keep_letter(site, b"1", unregistered("gw-9"), gateway="gw-9")
    page = await site.see("sun", "/gateways/gw-9")
    assert 'href="/gateways/new?gateway=gw-9"' in page
    assert "1 message waits." in page
    page = await site.see("chen", "/gateways/gw-9")
    assert "Ask an installer" in page
    assert "/gateways/new" not in page
    keep_letter(site, b"1", unregistered("gw-8"), gateway="gw-8")
    assert "It is not registered" in await site.see("sun", "/gateways/gw-8")


async def test_messages_that_were_not_taken_are_told(site: Site) -> None:
    """Two under one name are an alarm of their own; the letters themselves are an operator's."""
    say(site)
    keep_letter(site, b"1", CONFLICT)
    keep_letter(site, b"2", "unreadable")
    page = await site.see("chen", "/gateways/gw-1")
    assert "It seems to be there twice" in page
    assert "1 message was not taken" in page
    assert 'href="/letters?gateway=gw-1"' in page
    assert "/letters" not in await site.see("sun", "/gateways/gw-1")


async def test_two_that_take_turns_are_told(site: Site) -> None:
    """Two outboxes that do not know each other and speak in turn are an alarm, on the overview too."""
    for epoch in ("aa" * 8, "bb" * 8) * 2:
        say(site, EpochState(epoch, {}, Counts()), session=epoch)
    page = await site.see("chen", "/gateways/gw-1")
    assert "It seems to be there twice" in page
    assert "Two programs enter by its name in turn" in page
    overview = await site.see("chen", "/overview")
    assert "Two programs enter by its name in turn" in overview
    await site.clock.advance_to(NOW + FORGET_MS + 1)
    assert "seems to be there twice" not in await site.see("chen", "/overview")


async def test_a_full_disk_is_told(site: Site) -> None:
    """Its own health has values, bars, and a warning over ninety per cent."""
    points = [PointInventory(name, "%", 60, 600) for name in ("disk_used", "memory_used")]
    inventory = Inventory(
        gateway="gw-1", config_hash="cd", devices=[DeviceInventory("gateway", "gateway", "anlan_gateway", points)]
    )
    site.write(lambda connection: take_inventory(connection, inventory, now_ms=NOW))
    say(site)
    disk, memory = Reading("gateway", "disk_used", NOW, 93.5), Reading("gateway", "memory_used", NOW, 41.0)
    await store(site, disk, memory, kind="gateway")
    page = await site.see("chen", "/gateways/gw-1")
    assert "Its disk is nearly full" in page
    assert "Its memory is nearly full" not in page
    assert re.search(r'<meter [^>]*value="93.5"', page)
    assert "another configuration (cd)" in page


async def test_its_machine_says_since_when_it_runs(site: Site) -> None:
    """Computed from a reading that is sent only when it has changed much; what it cannot tell is no gap of it."""
    points = [PointInventory("uptime", "s", 60, 600), PointInventory("temperature", "°C", 60, 600)]
    listed = [DeviceInventory("gateway", "gateway", "anlan_gateway", points)]
    inventory = Inventory(gateway="gw-1", config_hash="ab", devices=listed)
    site.write(lambda connection: take_inventory(connection, inventory, now_ms=NOW))
    say(site)
    uptime = Reading("gateway", "uptime", NOW - 6 * MINUTE, 60.0)
    await store(site, uptime, Reading("gateway", "temperature", NOW, None, Flag.MISSING, Test.REFUSED), kind="gateway")
    page = text_of(await site.see("chen", "/gateways/gw-1"))
    assert "Runs since 06:06:20" in page
    assert "temperature this machine cannot tell" in page
    device = await site.see("chen", "/gateways/gw-1/devices/gateway")
    row = re.search(r'<tr id="p-temperature".*?</tr>', device, re.DOTALL)
    assert row is not None
    assert "data-strip" not in row.group()
    assert "badge bad" not in row.group()


STOPPED, CUT_OFF = "Its program was stopped", "If its program still runs"


@pytest.mark.parametrize(("sent_at", "told"), [(NOW + 1, STOPPED), (NOW - 1, CUT_OFF)])
async def test_a_gateway_that_was_stopped_reads_nothing(site: Site, sent_at: int, told: str) -> None:
    """It said so itself, after its last status; a last will was written before and says nothing of the program."""
    say(site)
    say(site, online=False, sent_at=sent_at)
    page = text_of(await site.see("chen", "/gateways/gw-1"))
    assert [each for each in (STOPPED, CUT_OFF) if each in page] == [told]
    assert "What has gathered since is not known." in page
    [line] = lines(await site.see("chen", "/gateways"))
    assert "unknown" in line


CLOCKS = {
    ClockState.SYNCHRONISED: "synchronised",
    ClockState.FREE_RUNNING: "set, and free-running",
    ClockState.UNKNOWN: "set, but never synchronised",
}


@pytest.mark.parametrize("clock", CLOCKS)
async def test_its_clock_is_told_in_the_same_words(site: Site, clock: ClockState) -> None:
    """On its page and while its first readings are waited for."""
    say(site, clock=clock)
    words = CLOCKS[clock]
    assert f"Clock {words}" in text_of(await site.see("chen", "/gateways/gw-1"))
    assert f"Its clock is {words}: done already" in await live(site)


async def test_since_when_it_is_online_is_kept(site: Site) -> None:
    """From the status that said so first, over those that repeat it."""
    for ago, online in ((9, False), (5, True), (1, True)):
        at = NOW - ago * HOUR
        hear(site, at_ms=at, online=online)
    state = site.database.read_now(lambda connection: find_state(connection, "gw-1"))
    assert state is not None
    assert state.changed_at == NOW - 5 * HOUR
    say(site)
    assert "online for 5 hours" in text_of(await site.see("chen", "/gateways/gw-1"))


async def test_names_are_text(site: Site) -> None:
    """A name that looks like a script is shown as it is."""
    name_everything(site, SCRIPT)
    site.write(lambda c: c.execute(update(devices).values(name=SCRIPT)))
    hear(site)
    list_points(site)
    for path in ("/gateways", "/gateways/gw-1", "/gateways/gw-1/live"):
        page = await site.see("sun", path)
        assert SCRIPT not in page
        assert ESCAPED in page


async def live(site: Site, login: str = "sun") -> str:
    """Return what the live page says."""
    return text_of(await site.see(login, "/gateways/gw-1/live"))


async def test_first_readings_are_counted_as_they_arrive(site: Site) -> None:
    """Two points are expected, one has come: its value, its age and that it is right; at the end one can go."""
    say(site, epochs=[])
    list_points(site)
    page = await live(site)
    assert "0 / 2 points have arrived" in page
    assert "Waiting for 1 point" in page
    await read_depth(site, "road-1", NOW - 5000)
    page = await live(site)
    assert "1 / 2 points have arrived" in page
    assert "depth of standing water 12.5 mm right 5 seconds ago" in page
    await read_depth(site, "river-1", NOW)
    assert "All is there. You can go." in await live(site)


CHECKS = (
    "The gateway has been heard: not yet",
    "It is registered",
    "It is online",
    "Its clock is synchronised: done already",
)


async def test_what_to_check_comes_in_order(site: Site) -> None:
    """Only the first thing that is not so has its steps: the others follow from it."""
    page = await live(site)
    assert CHECKS[0] in page
    assert "uplink connected" in page
    assert CHECKS[1] not in page
    hear(site, gateway="gw-9")
    page = text_of(await site.see("sun", "/gateways/gw-9/live"))
    assert f"{CHECKS[1]}: not yet" in page
    assert "Register it" in page
    say(site, online=False)
    page = await live(site)
    assert f"{CHECKS[1]}: done already" in page
    assert f"{CHECKS[2]}: not yet" in page
    assert "Is it powered" in page
    say(site)
    page = await live(site)
    assert f"{CHECKS[2]}: done already" in page
    assert CHECKS[3] in page


TROUBLES = {
    Test.NO_ANSWER: ("no answer", "Is the Modbus unit the one that is set on the device?"),
    Test.REFUSED: ("the device refuses", "Is it really this model?"),
    Test.SENTINEL: ("the device has no value", "Is its probe connected?"),
    Test.NONE: ("no value", "What does the gateway's log say about this device?"),
}


@pytest.mark.parametrize("test", TROUBLES)
async def test_what_is_wrong_with_a_device_is_said_with_what_to_try(site: Site, test: Test) -> None:
    """Once for the device when none of its points has a value, not once for each."""
    say(site)
    list_points(site)
    await store(site, Reading("road-1", "depth", NOW, None, Flag.MISSING, test))
    page = await live(site)
    verdict, step = TROUBLES[test]
    assert f"— {verdict}" in page
    assert page.count(step) == 1


async def test_what_was_wrong_before_a_change_is_not_held_against_it(site: Site) -> None:
    """Until the gateway has read by its new file nobody knows: that is waited for, with nothing to try meanwhile."""
    say(site)
    list_points(site)
    await store(site, Reading("road-1", "depth", NOW - MINUTE, None, Flag.MISSING, Test.NO_ANSWER))
    made = GatewayFile(gateway="gw-1", form={}, text="", made_at=NOW, made_by="sun")
    site.write(lambda connection: keep_file(connection, made))
    page = await live(site)
    assert "waiting for the first reading after the change" in page
    assert TROUBLES[Test.NO_ANSWER][1] not in page
    await store(site, Reading("road-1", "depth", NOW + 1, None, Flag.MISSING, Test.NO_ANSWER))
    assert TROUBLES[Test.NO_ANSWER][1] in await live(site)


async def test_a_value_that_cannot_be_is_said_with_what_can(site: Site) -> None:
    """Out of the sensor's span, suspect, or old: each is told, and not counted as arrived."""
    point = [PointInventory("depth", "mm", 60, 60)]
    listed = [DeviceInventory("road-1", "waterlogging_sensor", "moxa_e1242_depth", point)]
    listed.append(DeviceInventory("road-2", "waterlogging_sensor", "of_their_own", point))
    inventory = Inventory(gateway="gw-1", config_hash="ab", devices=listed)
    site.write(lambda connection: take_inventory(connection, inventory, now_ms=NOW))
    say(site)
    failed = [Reading(device, "depth", NOW, 9999.0, Flag.FAIL, Test.SPAN) for device in ("road-1", "road-2")]
    await store(site, *failed)
    page = await live(site)
    assert "9,999 mm outside what it can measure, \N{MINUS SIGN}20 mm to" in page
    assert "outside what the sensor can measure" in page
    assert "0 / 2 points have arrived" in page
    await store(site, Reading("road-1", "depth", NOW + 1, 5.0, Flag.SUSPECT))
    assert "suspect: compare it with a meter" in await live(site)
    await site.clock.advance_to(NOW + 20 * MINUTE)
    await store(site, Reading("road-2", "depth", NOW + MINUTE, 5.0))
    assert "5 mm nothing new" in await live(site)
