"""What gateways have learned: kept by point, the latest word counts, and no gateway fills the database with it."""

import json
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cloud.database import Database
from cloud.dead_letters import newest
from cloud.events import EventTaker
from cloud.quality import limits
from cloud.quality.limits import PointLearned, find_limits, learned_limits
from cloud.registry.registry import Registry
from edge.contract.clock import SteppedClock
from edge.contract.messages import DeviceLimits, LearnedLimit, PointLimits, Test, topic
from tests.cloud.workorders.samples import MINUTE, NOW

RATE = LearnedLimit(test=Test.RATE, high=4.5, unit="mm/min", samples=900)
FLAT = LearnedLimit(test=Test.FLAT, high=21_600.0, unit="s", source="site")


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(NOW)


@pytest.fixture
def taker(neighbourhood: Database, tmp_path: Path, clock: SteppedClock) -> EventTaker:
    return EventTaker(neighbourhood, Registry(neighbourhood), clock, blobs_folder=tmp_path)


def learned(points: dict[str, list[LearnedLimit]], *, gateway: str = "gw-1", device: str = "road-1") -> bytes:
    told = [PointLimits(point, found) for point, found in points.items()]
    return DeviceLimits(gateway=gateway, device=device, points=told).to_bytes()


def count(database: Database) -> int:
    return database.read_now(lambda c: c.scalar(select(func.count()).select_from(learned_limits))) or 0


async def test_the_latest_word_on_a_point_counts(
    taker: EventTaker, neighbourhood: Database, clock: SteppedClock
) -> None:
    """A point that is named again is replaced, with the time of it; one that is not stays; other devices too."""
    await taker.take(topic("gw-1", "limits"), learned({"depth": [RATE], "wet": [FLAT]}))
    await taker.take(topic("gw-1", "limits"), learned({"depth": [FLAT]}, device="road-2"))
    await clock.advance_to(NOW + MINUTE)
    assert await taker.take(topic("gw-1", "limits"), learned({"depth": [FLAT, RATE], "flow": []})) is None
    assert neighbourhood.read_now(lambda c: find_limits(c, "gw-1", "road-1")) == {
        "depth": PointLearned([FLAT, RATE], NOW + MINUTE),
        "flow": PointLearned([], NOW + MINUTE),
        "wet": PointLearned([FLAT], NOW),
    }
    assert neighbourhood.read_now(lambda c: find_limits(c, "gw-1", "road-2")) == {"depth": PointLearned([FLAT], NOW)}


async def test_strangers_keep_nothing_here(taker: EventTaker, neighbourhood: Database) -> None:
    """What an unregistered gateway has learned is dropped without a letter: it says it again."""
    await taker.take(topic("gw-9", "limits"), learned({"depth": [RATE]}, gateway="gw-9"))
    assert (count(neighbourhood), neighbourhood.read_now(lambda c: newest(c, limit=9))) == (0, [])


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        learned({"depth": [RATE]}, gateway="gw-2"),
        json.dumps({"v": 1, "gateway": "gw-1", "device": "a\0b", "points": []}).encode(),
        json.dumps({"v": 1, "gateway": "gw-1", "device": "a", "points": [{"point": "p", "limits": [{}]}]}).encode(),
        learned({f"point-{number}": [] for number in range(513)}),
        learned({"depth": [RATE] * 33}),
        b'{"v":1,"gateway": "gw-1", "device": "a","points": [{"point": "p", "limits": [{"test": 1, "high": 1e999}]}]}',
        b"[" * 200_000,
    ],
    ids=["cut", "another's", "nul", "no test", "points", "limits", "infinite", "deep"],
)
async def test_what_is_no_limit_is_set_aside(taker: EventTaker, neighbourhood: Database, payload: bytes) -> None:
    """Hostile bytes end nothing and are kept for a person with one sentence."""
    await taker.take(topic("gw-1", "limits"), payload)
    [letter] = neighbourhood.read_now(lambda c: newest(c, limit=9))
    assert "limits" in letter.reason
    assert count(neighbourhood) == 0


async def test_invented_names_fill_nothing(
    taker: EventTaker, neighbourhood: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many devices a gateway invents, only so many points of it are kept: those heard last."""
    monkeypatch.setattr(limits, "MOST_POINTS", 4)
    for number in range(5):
        await clock.advance_to(NOW + number)
        await taker.take(topic("gw-1", "limits"), learned({"a": [RATE], "b": [FLAT]}, device=f"device-{number}"))
    assert count(neighbourhood) == 4
    assert set(neighbourhood.read_now(lambda c: find_limits(c, "gw-1", "device-4"))) == {"a", "b"}
