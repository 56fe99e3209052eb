"""Says in plain words why a channel is not as it should be, and since when: 设备没有应答，自 14:03:20 起.

The badge beside it is `conditions.badge(condition)` of templates/parts/conditions.html.
"""

import asyncio
from collections.abc import Iterable, Mapping

from cloud.health import DeviceHealth, GatewayHealth, Health, Key, PointHealth, Reason
from cloud.health_reader import read_health
from cloud.web.formats import Formats
from cloud.web.page import Page
from cloud.web.sensor_list import telling_point
from cloud.web.words import N_, Words

SINCE: Mapping[Reason, str] = {
    Reason.SILENT: N_("nothing has come since %(time)s"),
    Reason.NO_ANSWER: N_("the device has not answered since %(time)s"),
    Reason.REFUSED: N_("the device has answered with an error since %(time)s"),
    Reason.SENTINEL: N_("the device has had no value since %(time)s"),
    Reason.MISSING: N_("there has been no value since %(time)s"),
    Reason.CLOSED: N_("its connection ended at %(time)s"),
    Reason.GATEWAY: N_("its gateway has been offline since %(time)s"),
    Reason.UNLISTED: N_("its gateway has not read it since %(time)s"),
}
ALONE: Mapping[Reason, str] = {
    Reason.SILENT: N_("nothing comes"),
    Reason.NO_ANSWER: N_("the device has never answered"),
    Reason.REFUSED: N_("the device answers with an error, and always has"),
    Reason.SENTINEL: N_("the device has never had a value"),
    Reason.MISSING: N_("there has never been a value"),
    Reason.CLOSED: N_("its connection has ended"),
    Reason.GATEWAY: N_("its gateway is offline"),
    Reason.NEVER_HEARD: N_("nothing has ever come"),
    Reason.UNLISTED: N_("its gateway does not read it"),
    Reason.ONLY_EVENTS: N_("says something only when something happens"),
    Reason.NOT_OFFERED: N_("this machine cannot tell"),
}
"""Where it is not known since when, or never was otherwise."""
MISSING: Mapping[Reason, str] = {
    Reason.NO_ANSWER: N_("the device does not answer"),
    Reason.REFUSED: N_("the device answers with an error"),
    Reason.SENTINEL: N_("the device has no value"),
    Reason.MISSING: N_("there is no value"),
}
"""Why readings are missing; since when that is so, only the store knows: since the first of them."""


def sentence(words: Words, formats: Formats, reason: Reason | None, since: int | None) -> str:
    """Return why, and since when, to the second where it is today; empty where there is nothing to say."""
    if reason is None:
        return ""
    if since is None or reason not in SINCE:
        return words.text(ALONE[reason])
    return words.text(SINCE[reason]) % {"time": formats.time(since)}


def brief(words: Words, formats: Formats, one: GatewayHealth | DeviceHealth) -> str:
    """Return why without asking the store since when: of missing readings, how long ago the last value was taken."""
    if one.reason is None or one.reason not in MISSING or one.since is None:
        return sentence(words, formats, one.reason, one.since)
    last = words.text(N_("last value %(time)s")) % {"time": formats.time(one.since)}
    return f"{words.text(MISSING[one.reason])} · {last}"


async def silent_since(page: Page, device: DeviceHealth, point: PointHealth | None) -> int | None:
    """Return since when a point, or a device without points, is as it is: where readings miss, since the first one.

    Raises SeriesError.
    """
    if point is None:
        return device.since
    if point.reason not in MISSING:
        return point.since
    began = await page.services.series.silent_since(device.gateway, device.device, point.point)
    return point.since if began is None else began


async def silences(page: Page, devices: Iterable[DeviceHealth]) -> dict[Key, int | None]:
    """Return since when each device is as it is; the store is asked for those whose readings miss.

    Raises SeriesError.
    """
    found = {(one.gateway, one.device): one for one in devices}
    since = await asyncio.gather(*(silent_since(page, one, telling_point(one)) for one in found.values()))
    return dict(zip(found, since, strict=True))


async def health_of(page: Page, gateway: str | None = None) -> Health:
    """Judge how everything is, or one gateway alone. Raises DatabaseError, SeriesError."""
    heard = await page.services.series.last_heard(gateway)
    return await page.read(lambda connection: read_health(connection, heard, now_ms=page.now_ms, gateway=gateway))
