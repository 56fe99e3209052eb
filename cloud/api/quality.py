"""How far readings can be trusted: what gateways have learned of their sensors, and what people say of flags."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from cloud.api.bounds import EARLIEST_MS, FAR_FUTURE_MS, MAX_ID, InMs
from cloud.api.errors import ERRORS, errors
from cloud.api.history import IdPart, check_device, check_series
from cloud.api.services import Anyone, Operating, ServicesHere
from cloud.quality.limits import find_limits
from cloud.quality.reviews import LONGEST_REASON, Review, ReviewWanted, Verdict, add_review, find_reviews
from edge.contract.messages import ID_PATTERN

router = APIRouter(responses=ERRORS | errors(404), tags=["quality"])

MAX_REVIEWS = 500
AHEAD_MS = 600_000
"""How far ahead of our clock a reading may be, as where they are taken in."""
Id = Annotated[str, Field(pattern=ID_PATTERN.replace(r"\A", "^").replace(r"\Z", "$"))]


class LimitAnswer(BaseModel):
    """Between `low` and `high` one test flags nothing; null where there is none on that side."""

    test: int = Field(description="one bit of `tests`", examples=[32])
    low: float | None
    high: float | None = Field(examples=[4.5])
    unit: str = Field(description="where it is not the point's", examples=["mm/min"])
    source: Literal["learned", "profile", "site", "default"]
    since: int | None = Field(description="learned from readings of this time on, ms UTC")
    until: int | None
    samples: int
    note: str = Field(description="how it was found")


class PointLimitsAnswer(BaseModel):
    """What a gateway has learned of one point; no limits where it is still learning."""

    point: str = Field(examples=["depth"])
    received_at: int = Field(description="when the gateway said so, ms UTC")
    limits: list[LimitAnswer]


class ReviewAnswer(BaseModel):
    """What somebody said of the flags of a span of one point."""

    id: int
    start: int = Field(serialization_alias="from", description="ms UTC, included")
    end: int = Field(serialization_alias="to", description="ms UTC, not included")
    tests: int | None = Field(description="mask of the tests whose flags it speaks of; null: all")
    verdict: Verdict
    by: str = Field(description="login")
    at: int = Field(description="ms UTC")
    reason: str


class ReviewRequest(BaseModel):
    """What you say of the flags of a span: that they are right (`confirmed`), or wrong (`overruled`)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "gateway": "gw-1",
                    "device": "road-1",
                    "point": "depth",
                    "from": 1795312800000,
                    "to": 1795316400000,
                    "tests": 32,
                    "verdict": "overruled",
                    "reason": "the street was under water, seen on site",
                }
            ]
        },
    )

    gateway: Id
    device: Id
    point: Id
    start: InMs = Field(alias="from", description="ms UTC, included")
    end: InMs = Field(alias="to", description="ms UTC, not included")
    tests: Annotated[int, Field(ge=1, lt=2**31)] | None = Field(default=None, description="a mask; null: all")
    verdict: Verdict
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_REASON)]

    @model_validator(mode="after")
    def _is_span(self) -> Self:
        if self.start >= self.end:
            raise ValueError("from must be before to")
        return self

    def wanted(self, *, now_ms: int) -> ReviewWanted:
        """Return what is to be kept; answers 422 to what speaks of readings that nobody has seen yet."""
        if self.end > now_ms + AHEAD_MS:
            raise HTTPException(422, "to: must not be in the future: nobody has seen those readings")
        return ReviewWanted(
            gateway=self.gateway,
            device=self.device,
            point=self.point,
            begins_at=self.start,
            ends_at=self.end,
            tests=self.tests,
            verdict=self.verdict,
            reason=self.reason,
        )


@router.get("/limits", summary="What was learned of a device's sensors")
async def list_limits(
    services: ServicesHere, person: Anyone, gateway: IdPart, device: IdPart
) -> list[PointLimitsAnswer]:
    """Return the limits by which the gateway flags readings, and where they come from, by point."""
    await check_device(services, person, gateway, device)
    found = await services.database.read(lambda connection: find_limits(connection, gateway, device))
    return [
        PointLimitsAnswer(
            point=point,
            received_at=learned.received_at,
            limits=[LimitAnswer.model_validate(one, from_attributes=True) for one in learned.limits],
        )
        for point, learned in found.items()
    ]


@router.get("/flag-reviews", summary="What people say of flags")
async def list_reviews(
    *,
    services: ServicesHere,
    person: Anyone,
    gateway: IdPart,
    device: IdPart,
    point: IdPart,
    start: Annotated[InMs, Query(alias="from", description="ms UTC, included")] = EARLIEST_MS,
    end: Annotated[InMs, Query(alias="to", description="ms UTC, not included")] = FAR_FUTURE_MS,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="id of the last of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_REVIEWS)] = 100,
) -> list[ReviewAnswer]:
    """Return the reviews that speak of a span, newest first: of two that speak of one flag the first counts."""
    await check_device(services, person, gateway, device)
    found = await services.database.read(
        lambda c: find_reviews(c, gateway, device, point, start=start, end=end, before=before, most=limit)
    )
    return [_answer(review) for review in found]


@router.post("/flag-reviews", summary="Confirm or overrule flags", status_code=201, responses=errors(400, 403, 413))
async def make_review(wanted: ReviewRequest, services: ServicesHere, person: Operating) -> ReviewAnswer:
    """Say what you know of the flags of a span; the flags themselves stay as they are, and a later word counts more."""
    await check_device(services, person, wanted.gateway, wanted.device)
    await check_series(services, wanted.gateway, wanted.device, wanted.point)
    now_ms = services.clock.now_ms()
    review = wanted.wanted(now_ms=now_ms)
    return _answer(await services.database.write(lambda c: add_review(c, review, person=person, now_ms=now_ms)))


def _answer(review: Review) -> ReviewAnswer:
    return ReviewAnswer(
        id=review.id,
        start=review.begins_at,
        end=review.ends_at,
        tests=review.tests,
        verdict=review.verdict,
        by=review.who,
        at=review.at,
        reason=review.reason,
    )
