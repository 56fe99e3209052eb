"""What `cloud init` makes on an InfluxDB server, and what `cloud check` finds missing there.

Both look first, and change nothing by it: a write of no lines is answered as any other is, up to where the lines would
be stored. So rights are proved, and not read off a list that only an administrator may see.

A retention is made longer without asking. Made shorter it deletes readings: somebody has to ask for that.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloud.series import MisconfiguredError, SeriesError
from cloud.series.influx_http import InfluxHttp
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influx_setup_v1 import V1Setup
from cloud.series.influx_setup_v2 import V2Setup
from cloud.series.influx_standing import Setup, Standing
from edge.contract.program import command

DAY_S = 86_400
_MAJOR = re.compile(r"v?(\d+)\.")


async def set_up(settings: InfluxSettings, *, may_shorten: bool) -> str:
    """Create the database or bring it to what is wanted; return what was done. Raises SeriesError."""
    async with _server(settings) as (server, version):
        standing = await server.look()
        done, faults = "is there", []
        if not standing.exists:
            await server.create(settings.retention_s)
            done = "created"
        elif _differs(standing, settings):
            if _is_shorter(settings.retention_s, standing.retention_s) and not may_shorten:
                faults.append(_mismatch(standing, settings))
            else:
                await server.alter(standing, settings.retention_s)
                done = f"kept readings {_time(standing.retention_s)} before"
        await server.mend(await server.look())
        standing = await server.look()
        _raise(settings, [*faults, *standing.faults])
    return f"{settings.place} {done}: {_kept(standing)} ({version})"


async def check(settings: InfluxSettings) -> str:
    """Return how the database stands. Raises SeriesError with all that is missing; changes nothing."""
    async with _server(settings) as (server, version):
        standing = await server.look()
        if not standing.exists:
            raise MisconfiguredError(f"{settings.place}: not there: {command('cloud', 'init')} creates it")
        mismatch = [_mismatch(standing, settings)] if _differs(standing, settings) else []
        _raise(settings, [*standing.faults, *mismatch])
    return f"{settings.place}: may be written and read, {_kept(standing)} ({version})"


@asynccontextmanager
async def _server(settings: InfluxSettings) -> AsyncIterator[tuple[Setup, str]]:
    http = InfluxHttp(settings)
    try:
        version = await _version(http)
        yield (V1Setup(http) if settings.api == "v1" else V2Setup(http)), version
    finally:
        await http.close()


async def _version(http: InfluxHttp) -> str:
    """Return what the server calls itself. Raises MisconfiguredError for one that speaks another api, or is none."""
    settings = http.settings
    answer = await http.ask("GET", "/ping")
    if answer.status >= 500:
        raise answer.sorted(settings)
    if not answer.version:
        raise MisconfiguredError(
            f"InfluxDB {settings.url}: what answers there is no InfluxDB (GET /ping gives {answer.status} and no "
            "version): correct url"
        )
    found = _MAJOR.match(answer.version)
    name = f"InfluxDB {answer.version.removeprefix('v')}"
    if found and settings.api == "v1" and int(found[1]) > 1:
        raise MisconfiguredError(f"InfluxDB {settings.url}: is {name}: set api: v2, with token_file and org")
    if found and settings.api == "v2" and int(found[1]) == 1:
        raise MisconfiguredError(f"InfluxDB {settings.url}: is {name}: set api: v1, with username and password_file")
    return name


def _raise(settings: InfluxSettings, faults: list[str]) -> None:
    if faults:
        error: SeriesError = MisconfiguredError(f"{settings.place}: {'; '.join(faults)}")
        raise error


def _differs(standing: Standing, settings: InfluxSettings) -> bool:
    return standing.is_retention_known and standing.retention_s != settings.retention_s


def _is_shorter(one: int | None, other: int | None) -> bool:
    return one is not None and (other is None or one < other)


def _mismatch(standing: Standing, settings: InfluxSettings) -> str:
    is_now, shall_be = _time(standing.retention_s), _time(settings.retention_s)
    if _is_shorter(settings.retention_s, standing.retention_s):
        do = f"{command('cloud', 'init --shorten-retention')} changes that, and deletes what is older"
    else:
        do = f"{command('cloud', 'init')} changes that"
    return f"keeps readings {is_now}, the configuration says {shall_be}: {do}"


def _kept(standing: Standing) -> str:
    if not standing.is_retention_known:
        return "how long readings are kept is set there"
    return f"readings are kept {_time(standing.retention_s)}"


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "for ever"
    if seconds % DAY_S == 0:
        return f"for {seconds // DAY_S} days"
    return f"for {seconds / 3600:.6g} hours"
