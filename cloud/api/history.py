"""The history: which series there are, and their readings."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from cloud.api.bounds import EARLIEST_MS, FAR_FUTURE_MS, InMs
from cloud.api.errors import ERRORS, errors
from cloud.api.services import Anyone, Services, ServicesHere
from cloud.quality.reviews import JUDGED, Reviews, Verdict, find_reviews
from cloud.registry.person import Person, Role
from cloud.registry.registry import find_place
from edge.contract.config_file import nearest
from edge.contract.messages import ID_PATTERN, Reading

router = APIRouter(responses=ERRORS, tags=["history"])

MAX_READINGS = 10_000
IdPart = Annotated[str, Query(pattern=ID_PATTERN.replace(r"\A", "^").replace(r"\Z", "$"))]


class Series(BaseModel):
    """One point of one device, with the kind that its device has."""

    gateway: str = Field(examples=["gw-1"])
    device: str = Field(examples=["road-1"])
    point: str = Field(examples=["depth"])
    kind: str = Field(examples=["waterlogging_sensor"])


class ReadingAnswer(BaseModel):
    """One value of one point at one time; `value` is null exactly when the flag is 9 (missing)."""

    taken_at: int = Field(description="ms UTC", examples=[1795312800000])
    value: int | float | None = Field(examples=[182.5])
    flag: int = Field(description="1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing", examples=[1])
    tests: int = Field(description="bit mask of the tests that set the flag", examples=[0])


class LatestReading(ReadingAnswer):
    """The newest reading of one point."""

    point: str = Field(examples=["depth"])


class ReviewedReading(ReadingAnswer):
    """A reading, and what somebody said of its flag; the flag itself is the gateway's, for ever."""

    review: Verdict | None = Field(description="confirmed: the flag is right; overruled: the value is", examples=[None])


class Readings(BaseModel):
    """A page of readings, oldest first; `next_from` is the `from` of the next page, null on the last."""

    readings: list[ReviewedReading]
    next_from: int | None
    singles_since: int = Field(
        description="of what is older, /chart has the extremes and counts of hours; 0: all is here"
    )


@router.get("/series", summary="Series")
async def list_series(services: ServicesHere, person: Anyone, gateway: IdPart | None = None) -> list[Series]:
    """Return every series that holds a reading; a worker's are those of devices in their grids."""
    found = await services.series.series(gateway)
    devices = {(one.gateway, one.device) for one in found}
    allowed = await services.database.read(lambda c: {device for device in devices if _may_see(c, person, *device)})
    return [
        Series(gateway=one.gateway, device=one.device, point=one.point, kind=one.kind)
        for one in found
        if (one.gateway, one.device) in allowed
    ]


@router.get("/readings", summary="Readings of one point", responses=errors(404))
async def list_readings(
    *,
    services: ServicesHere,
    person: Anyone,
    gateway: IdPart,
    device: IdPart,
    point: IdPart,
    start: Annotated[InMs, Query(alias="from", description="ms UTC, included")] = EARLIEST_MS,
    end: Annotated[InMs, Query(alias="to", description="ms UTC, not included")] = FAR_FUTURE_MS,
    limit: Annotated[int, Query(ge=1, le=MAX_READINGS)] = 1000,
) -> Readings:
    """Return readings with from <= taken_at < to, flags included: missing is said as missing, never as zero."""
    await check_device(services, person, gateway, device)
    found = await services.series.read(gateway, device, point, start_ms=start, end_ms=end, limit=limit + 1)
    if not found:
        await check_series(services, gateway, device, point)
    reviews = await reviews_of(services, gateway, device, point, found[:limit])
    page = [
        ReviewedReading(taken_at=one.taken_at, value=one.value, flag=one.flag, tests=one.tests, review=review)
        for one, review in zip(found[:limit], reviews, strict=True)
    ]
    return Readings(
        readings=page,
        next_from=found[limit].taken_at if len(found) > limit else None,
        singles_since=await services.series.singles_since(device),
    )


@router.get("/latest", summary="Latest readings of a device", responses=errors(404))
async def list_latest(services: ServicesHere, person: Anyone, gateway: IdPart, device: IdPart) -> list[LatestReading]:
    """Return the newest reading of each point, by point; how old it is, its time says."""
    await check_device(services, person, gateway, device)
    found = await services.series.latest(gateway, device)
    return [
        LatestReading(point=one.point, taken_at=one.taken_at, value=one.value, flag=one.flag, tests=one.tests)
        for one in found
    ]


async def reviews_of(
    services: Services, gateway: str, device: str, point: str, readings: Sequence[Reading]
) -> list[Verdict | None]:
    """Return what counts of what people said of each reading's flag; readings are in order."""
    if not any(one.flag in JUDGED for one in readings):
        return [None] * len(readings)
    span = {"start": readings[0].taken_at, "end": readings[-1].taken_at + 1}
    found = await services.database.read(lambda c: find_reviews(c, gateway, device, point, **span))
    reviews = Reviews(found)
    return [review.verdict if (review := reviews.of(one)) else None for one in readings]


async def check_series(services: Services, gateway: str, device: str, point: str) -> None:
    """Tell an empty page from a point that no reading ever came from; answers 404 to the latter."""
    points = [one.point for one in await services.series.series(gateway) if one.device == device]
    if point not in points:
        raise HTTPException(404, f"point {gateway}/{device}/{point}: never heard{nearest(point, points)}")


async def check_device(services: Services, person: Person, gateway: str, device: str) -> None:
    """Answer 404 to somebody who may not see this device, or when there is none."""
    if not await services.database.read(lambda connection: _may_see(connection, person, gateway, device)):
        raise HTTPException(404, f"device {gateway}/{device}: not found")


def _may_see(connection: Connection, person: Person, gateway: str, device: str) -> bool:
    """Whoever installs or operates sees every device of a registered gateway, a worker those of their grids."""
    place = find_place(connection, gateway, device)
    if place is None:
        return False
    return person.is_operator or Role.INSTALLER in person.roles or person.is_worker_of(place.grid)
