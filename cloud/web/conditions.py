"""Says in plain words why a channel is not as it should be, and since when: 设备没有应答，自 14:03:20 起.

The badge beside it is `conditions.badge(condition)` of templates/parts/conditions.html.
"""

from collections.abc import Mapping

from msgspec import structs

from cloud.health import Health, Reason
from cloud.health_reader import read_health
from cloud.web.formats import Formats
from cloud.web.page import Page
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
    Reason.NOT_OFFERED: N_("its machine does not tell this"),
    Reason.NOT_OFFERED: N_("this machine cannot tell"),
}
"""Where it is not known since when, or never was otherwise."""


def sentence(words: Words, formats: Formats, reason: Reason | None, since: int | None) -> str:
    """Return why, and since when, to the second where it is today; empty where there is nothing to say."""
    if reason is None:
        return ""
    if since is None or reason not in SINCE:
        return words.text(ALONE[reason])
    return words.text(SINCE[reason]) % {"time": formats.time(since)}


async def health_of(page: Page, gateway: str | None = None) -> Health:
    """Judge how everything is, or one gateway alone. Raises DatabaseError, SeriesError."""
    heard = await page.services.series.last_heard(gateway)
    health = await page.read(lambda connection: read_health(connection, heard, now_ms=page.now_ms))
    if gateway is None:
        return health
    return structs.replace(health, gateways=[one for one in health.gateways if one.gateway == gateway])
