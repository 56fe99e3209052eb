"""The overview: counts, what needs a look, what happened; and the banner while nothing is heard."""

import re
import sqlite3

import pytest
from sqlalchemy import update

from cloud.dead_letters import unregistered
from cloud.ledger import CONFLICT
from cloud.registry.tables import gateways
from cloud.series.sqlite import SqliteStore
from cloud.workorders.states import State
from edge.contract.messages import EventState, Severity
from tests.cloud.api.callers import record
from tests.cloud.web.conftest import Site
from tests.cloud.web.scenes import (
    ESCAPED,
    SCRIPT,
    handler_of,
    hear,
    keep_letter,
    list_points,
    move,
    name_everything,
    raise_order,
    raise_rubbish,
    read_depth,
)
from tests.cloud.workorders.samples import MINUTE, NOW, flood

HOUR = 60 * MINUTE


def notices(text: str) -> list[tuple[str, str, str]]:
    """Return of each line where it leads, what it says, and why."""
    lines = re.findall(r'<li id="notice-[^"]+"><a href="([^"]+)".*?</li>', text, re.DOTALL)
    words = re.findall(r'<span class="what">(.*?)</span>\s*<small class="text">(.*?)</small>', _list(text))
    return [(path, what, why) for path, (what, why) in zip(lines, words, strict=True)]


def _list(text: str) -> str:
    return text.partition('id="notices"')[2].partition("</section>")[0]


def tiles(text: str) -> dict[str, int]:
    """Return the numbers of the strip by where they lead."""
    found = re.findall(r'<a class="count[^"]*" href="([^"]+)"><span class="number">([0-9]+)', text)
    return {path: int(number) for path, number in found}


@pytest.mark.parametrize("path", ["/overview", "/banner"])
@pytest.mark.parametrize(("login", "status"), [("chen", 200), ("zhao", 200), ("wang", 404), ("sun", 404), (None, 303)])
async def test_the_overview_is_for_operators(site: Site, path: str, login: str | None, status: int) -> None:
    """For anybody else it does not exist."""
    assert (await site.visit(login, path)).status_code == status


async def test_a_fresh_install_says_what_comes_first(site: Site) -> None:
    """Without a gateway there is one thing to do, and who may not do it is told who does."""
    site.write(lambda c: c.execute(update(gateways).values(active=False)))
    assert 'href="/gateways/new"' in await site.see("zhao", "/overview")
    text = await site.see("chen", "/overview")
    assert "No gateway yet" in text
    assert 'href="/gateways/new"' not in text


async def test_when_all_is_well_it_says_so(site: Site) -> None:
    """Everything heard in time, no order: the list is empty, and the counts are green."""
    hear(site)
    list_points(site)
    await read_depth(site, "road-1", NOW)
    await read_depth(site, "river-1", NOW)
    text = await site.see("chen", "/overview")
    assert "Nothing needs a look" in text
    assert tiles(text)["/sensors?state=ok"] == 2
    assert tiles(text)["/gateways?state=ok"] == 1


async def test_what_is_silent_is_counted_and_named(site: Site) -> None:
    """One sensor is late, the other says nothing: each has its count, its line, and a way to it."""
    hear(site)
    list_points(site)
    await read_depth(site, "road-1", NOW)
    await read_depth(site, "river-1", NOW + HOUR)
    await site.clock.advance_to(NOW + HOUR)
    hear(site, at_ms=NOW + HOUR)
    text = await site.see("chen", "/overview")
    assert (tiles(text)["/sensors?state=ok"], tiles(text)["/sensors?state=offline"]) == (1, 1)
    [(path, what, why)] = notices(text)
    assert (path, what) == ("/gateways/gw-1/devices/road-1", "路面积水传感器")
    assert "和平路网关" in why


async def test_an_offline_gateway_is_one_line(site: Site) -> None:
    """What is behind it is not told again."""
    hear(site)
    list_points(site)
    await read_depth(site, "road-1", NOW)
    hear(site, at_ms=NOW + 1000, online=False)
    await site.clock.advance_to(NOW + MINUTE)
    text = await site.see("chen", "/overview")
    [(path, what, why)] = notices(text)
    assert (path, what) == ("/gateways/gw-1", "Gateway 和平路网关")
    assert "2 devices behind it" in why
    assert tiles(text)["/sensors?state=behind_gateway"] == 1


async def test_a_gateway_is_not_one_of_its_devices(site: Site) -> None:
    """What it tells of itself stands on its page; wherever devices are counted, it is not among them."""
    hear(site)
    list_points(site, itself=True)
    await read_depth(site, "road-1", NOW)
    await read_depth(site, "gateway", NOW)
    assert tiles(await site.see("chen", "/overview"))["/sensors?state=ok"] == 1
    hear(site, at_ms=NOW + 1000, online=False)
    overview, sensors = await site.see("chen", "/overview"), await site.see("chen", "/sensors")
    assert "2 devices behind it" in notices(overview)[0][2]
    assert tiles(overview)["/sensors?state=behind_gateway"] == 1
    assert re.search(r'id="count-all".*?<span class="number">2<', sensors, re.DOTALL)
    assert "/devices/gateway" not in sensors
    assert "2 devices with it" in sensors
    assert re.search(r'data-label="Devices"><span class="number">2<', await site.see("chen", "/gateways"))


async def test_orders_come_first_by_severity(site: Site) -> None:
    """What waits for the duty officer and what is late, the gravest first, each with why and where to handle it."""
    raise_rubbish(site, 1)
    raise_order(site, 2)
    raise_order(site, 3, severity=Severity.RED)
    keep_letter(site, b"x", "checksum does not match: the message was damaged")
    await site.clock.advance_to(NOW + 12 * MINUTE)
    text = await site.see("chen", "/overview")
    assert [path for path, _, _ in notices(text)] == [
        "/orders/WO-000003",
        "/orders/WO-000002",
        "/orders/WO-000001",
        "/letters?gateway=gw-1",
    ]
    assert "2 minutes overdue" in notices(text)[1][2]
    assert "2 overdue" in text
    assert re.search(r'href="/board\?stage=raised">.*?<td class="number">1</td>', text, re.DOTALL)


async def test_what_stays_suspected_is_told_after_an_hour(site: Site) -> None:
    """Where it is, that it is not proved, and the way to the sensor."""
    record(site.database, *flood(EventState.SUSPECT))
    await site.clock.advance_to(NOW + 59 * MINUTE)
    hear(site, at_ms=NOW + 59 * MINUTE)
    assert notices(await site.see("chen", "/overview")) == []
    await site.clock.advance_to(NOW + 61 * MINUTE)
    [(path, what, why)] = notices(await site.see("chen", "/overview"))
    assert path == "/gateways/gw-1/devices/road-1"
    assert what == "Suspected: road waterlogging · 和平路下穿通道"
    assert why == "路面积水传感器 · The sensor can neither prove nor withdraw it: have somebody look."


async def test_what_is_silent_comes_before_the_least_grave(site: Site) -> None:
    """An offline device stands below what is orange, and above rubbish that waits for the duty officer."""
    raise_rubbish(site, 1)
    raise_order(site, 2)
    list_points(site)
    await read_depth(site, "road-1", NOW - HOUR)
    await site.clock.advance_to(NOW + 12 * MINUTE)
    hear(site, at_ms=NOW + 12 * MINUTE)
    found = [path for path, _, _ in notices(await site.see("chen", "/overview"))]
    assert found == ["/orders/WO-000002", "/gateways/gw-1/devices/road-1", "/orders/WO-000001"]


async def test_orders_that_go_their_way_are_seen_too(site: Site) -> None:
    """A flood stands there as soon as it has begun, with whose turn it is; once it is late it moves up."""
    raise_order(site, 1)
    raise_order(site, 2, severity=Severity.RED)
    raise_rubbish(site, 3)
    text = (await site.see("chen", "/overview")).partition('id="underway"')[2].partition("</section>")[0]
    assert re.findall(r'href="(/orders/[^"]+)"', text) == ["/orders/WO-000002", "/orders/WO-000001"]
    assert "Waits for" in text
    assert "10 minutes left" in text
    await site.clock.advance_to(NOW + 11 * MINUTE)
    text = await site.see("chen", "/overview")
    assert 'id="underway"' not in text
    assert len(notices(text)) == 3


async def test_messages_that_need_somebody_have_their_lines(site: Site) -> None:
    """A conflict, a loss, a gateway that waits to be registered, a letter without a sender: each leads on."""
    hear(site, lost=3)
    keep_letter(site, b"a", CONFLICT)
    keep_letter(site, b"b", unregistered("gw-9"), gateway="gw-9")
    keep_letter(site, b"c", "topic 'x': not a gateway id", gateway=None)
    found = {path: f"{what}: {why}" for path, what, why in notices(await site.see("chen", "/overview"))}
    assert "seems to be there twice" in found["/letters?gateway=gw-1"]
    assert "3 messages are lost" in found["/gateways/gw-1"]
    assert "Gateway gw-9 is not registered: 1 message waits" in found["/letters?tab=waiting"]
    assert "Messages of an unknown sender" in found["/letters"]


async def test_more_than_the_list_holds_is_counted(site: Site) -> None:
    """A storm does not push everything else off the page."""
    for number in range(1, 40):
        raise_rubbish(site, number)
    keep_letter(site, b"c", "not an Anlan message")
    text = await site.see("chen", "/overview")
    lines = notices(text)
    assert lines[-1][0] == "/letters?gateway=gw-1"
    rest = 39 - (len(lines) - 1)
    assert f'<a class="button" href="/board">{rest} more waiting orders</a>' in text


async def test_the_newest_events_stand_at_the_foot(site: Site) -> None:
    """With how deep it is and how it stands; a suspect has no order and leads to its device."""
    [suspect] = flood(EventState.SUSPECT)
    record(site.database, suspect)
    raise_order(site, 2)
    text = (await site.see("chen", "/overview")).partition("Newest events")[2]
    assert "suspected" in text
    assert "going on" in text
    assert 'href="/gateways/gw-1/devices/road-1"' in text
    assert 'href="/orders/WO-000001"' in text
    assert "18 cm" in text


async def test_orders_are_seen_while_the_series_store_is_away(site: Site) -> None:
    """How the sensors are is not known then, and that is what the page says; no sensor is called offline."""
    hear(site)
    raise_rubbish(site, 1)
    store = site.services.series
    assert isinstance(store, SqliteStore)
    with sqlite3.connect(store.path) as file:
        for (table,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            file.execute(f"DROP TABLE {table}")
    text = await site.see("chen", "/overview")
    assert "The series store does not answer" in text
    assert "/sensors?state=offline" not in tiles(text)
    assert [path for path, _, _ in notices(text)] == ["/orders/WO-000001"]


async def test_the_banner_comes_when_everything_has_stopped(site: Site) -> None:
    """On the overview even without scripts, elsewhere as a part; it says since when, and goes when one is heard."""
    hear(site)
    assert "Everything has stopped" not in await site.see("chen", "/overview")
    await site.clock.advance_to(NOW + 4 * MINUTE)
    text = await site.see("chen", "/overview")
    assert "Everything has stopped" in text
    assert notices(text) == []
    part = await site.see("chen", "/banner")
    assert "Everything has stopped: no gateway has been heard since" in part
    assert f'name="shown" value="{NOW}"' in part
    assert (await site.visit("chen", f"/banner?shown={NOW}")).status_code == 204
    hear(site, at_ms=NOW + 4 * MINUTE)
    assert "Everything has stopped" not in await site.see("chen", f"/banner?shown={NOW}")
    assert (await site.visit("chen", "/banner?shown=none")).status_code == 204


async def test_the_banner_is_asked_for_on_the_pages_of_operators_alone(site: Site) -> None:
    """A worker's page does not ask for what it is not given."""
    assert 'hx-get="/banner"' in await site.see("chen", "/board")
    assert 'hx-get="/banner"' not in await site.see("wang", "/account")


async def test_what_is_shown_is_text(site: Site) -> None:
    """Names and reasons that people and gateways give are never run."""
    name_everything(site, SCRIPT)
    hear(site, lost=1)
    raise_order(site, 1)
    move(site, 1, (handler_of(site, 1), State.RETURNED), reason=SCRIPT)
    raise_order(site, 2)
    keep_letter(site, b"x", SCRIPT)
    await site.clock.advance_to(NOW + HOUR)
    for language in ("en", "zh"):
        text = await site.see("chen", "/overview", language=language)
        assert SCRIPT not in text
        assert ESCAPED in text
