"""Pictures are deleted when the days of their class are over, and not before nobody needs them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, update

from cloud.blobs import blobs, forgotten_pictures, keep_picture, path_of, take_piece
from cloud.database import Database
from cloud.picture_upkeep import DAY_MS, forget_pictures_hourly
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import add_evidence
from cloud.workorders.tables import orders
from edge.contract.clock import SteppedClock
from edge.contract.messages import EventState, split_blob
from tests.cloud.workorders.samples import NOW, make_event, with_pictures

JPEG = b"\xff\xd8\xff\xe0 rubbish"
OPENS = OrderRule(accepts=True)
WATCHES = OrderRule(opens_order=False)


def see(
    database: Database, folder: Path, *, code: str = "CAM.GARBAGE", rule: OrderRule = WATCHES, event: str = "a"
) -> str:
    """An event of that class with a picture that came when it did; returns the picture's name."""
    name = database.write_now(lambda c: keep_picture(c, JPEG, "image/jpeg", folder, now_ms=NOW))
    made = msgspec.structs.replace(make_event(EventState.CONFIRMED, 1, event_id=event * 32), class_code=code)
    database.write_now(lambda c: record_event(c, with_pictures(made, name), rule_of=lambda _: rule, now_ms=NOW))
    return name


async def after(database: Database, folder: Path, days: float) -> set[str]:
    """Names that are still kept when the job has run so many days after the pictures came."""
    clock = SteppedClock(NOW + round(days * DAY_MS))
    job = asyncio.create_task(forget_pictures_hourly(database, folder, clock))
    async with asyncio.timeout(20):
        while not clock._sleepers:  # noqa: ASYNC110 -- it sleeps when it has done its work
            await asyncio.sleep(0.01)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    return set(database.read_now(lambda c: c.scalars(select(blobs.c.sha256)).all()))


async def test_a_picture_goes_when_its_days_are_over(neighbourhood: Database, tmp_path: Path) -> None:
    """Row and file go together; what is noted says what it was, and a gateway that sends it again brings nothing."""
    name = see(neighbourhood, tmp_path)
    assert await after(neighbourhood, tmp_path, 29.9) == {name}
    assert path_of(tmp_path, name).is_file()
    assert await after(neighbourhood, tmp_path, 30) == set()
    assert not path_of(tmp_path, name).exists()
    [noted] = neighbourhood.read_now(lambda c: c.execute(select(forgotten_pictures)).all())
    assert (noted.sha256, noted.class_code, noted.received_at) == (name, "CAM.GARBAGE", NOW)
    [piece] = split_blob("gw-1", JPEG, "image/jpeg")
    assert neighbourhood.write_now(lambda c: take_piece(c, piece, tmp_path, now_ms=NOW))
    assert not path_of(tmp_path, name).exists()


async def test_classes_keep_their_pictures_for_their_own_days(neighbourhood: Database, tmp_path: Path) -> None:
    """A picture of two events stays for the longer of their classes."""
    name = see(neighbourhood, tmp_path)
    see(neighbourhood, tmp_path, code="CAM.FIRELANE", event="b")
    assert await after(neighbourhood, tmp_path, 89.9) == {name}
    assert await after(neighbourhood, tmp_path, 90) == set()


@pytest.mark.parametrize("state", ["raised", "on_hold", "rework"])
async def test_an_order_under_work_keeps_its_pictures(neighbourhood: Database, tmp_path: Path, state: str) -> None:
    """However old, until the order is finished."""
    name = see(neighbourhood, tmp_path, rule=OPENS)
    neighbourhood.write_now(lambda c: c.execute(update(orders).values(state=state)))
    assert await after(neighbourhood, tmp_path, 400) == {name}
    neighbourhood.write_now(lambda c: c.execute(update(orders).values(state="closed")))
    assert await after(neighbourhood, tmp_path, 400) == set()


async def test_evidence_of_a_person_stays(neighbourhood: Database, tmp_path: Path) -> None:
    """What somebody has added to an order is part of its file."""
    name = see(neighbourhood, tmp_path, rule=OPENS)
    neighbourhood.write_now(lambda c: c.execute(update(orders).values(state="closed")))
    neighbourhood.write_now(lambda c: add_evidence(c, 1, kind="photo", who="li", now_ms=NOW, sha256=name))
    assert await after(neighbourhood, tmp_path, 400) == {name}
