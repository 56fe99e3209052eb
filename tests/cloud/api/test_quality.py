"""What was learned and what people say of flags, through the API: who sees it, who says it, and what is refused."""

from typing import Any

import pytest

from cloud.quality.limits import take_limits
from edge.contract.messages import Batch, ClockState, DeviceLimits, Flag, LearnedLimit, PointLimits, Reading, Test
from tests.cloud.api.callers import Caller
from tests.cloud.workorders.samples import NOW

WHERE = "gateway=gw-1&device=road-1&point=depth"
SPAN = {"from": NOW - 1000, "to": NOW + 3000}
BASE = {"gateway": "gw-1", "device": "road-1", "point": "depth", "verdict": "overruled", "reason": "seen on site"}


async def say(caller: Caller, login: str = "chen", **change: Any) -> Any:
    return await caller.ask(login, "flag-reviews", method="POST", json={**BASE, **SPAN, **change})


async def test_a_flag_is_overruled_and_stays(caller: Caller) -> None:
    """The review is kept with who, when and why; readings and chart tell it beside the gateway's own flag."""
    doubted = [Reading("road-1", "depth", NOW + 500, 99.0, Flag.SUSPECT, Test.BOX)]
    kinds = {"road-1": "waterlogging_sensor"}
    batch = Batch.of(doubted, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
    services = caller.client._transport.app.state.services  # type: ignore[attr-defined]
    await services.series.write([batch])
    made = await say(caller)
    assert made.status_code == 201
    kept = {"id": 1, **SPAN, "tests": None, "verdict": "overruled", "by": "chen", "at": NOW, "reason": "seen on site"}
    assert made.json() == kept
    assert (await say(caller, tests=Test.RATE, verdict="confirmed")).status_code == 201
    found = await caller.get("wang", f"flag-reviews?{WHERE}")
    assert [one["verdict"] for one in found] == ["confirmed", "overruled"]
    assert await caller.get("chen", f"flag-reviews?{WHERE}&limit=1&before=2") == [kept]
    readings = (await caller.get("sun", f"readings?{WHERE}&from={NOW}&to={NOW + 1000}"))["readings"]
    assert [(one["flag"], one["tests"], one["review"]) for one in readings] == [
        (1, 0, None),
        (3, Test.BOX, "overruled"),
    ]
    chart = await caller.get("wang", f"chart?{WHERE}&from={NOW}&to={NOW + 1000}")
    assert chart["readings"]["reviews"] == [None, "overruled"]


@pytest.mark.parametrize(("login", "status"), [("wang", 403), ("sun", 403), ("zhao", 201), ("nobody", 401)])
async def test_only_operators_say_something(caller: Caller, login: str, status: int) -> None:
    """Workers and installers see reviews and make none."""
    assert (await say(caller, login)).status_code == status


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"reason": "  "}, 422, "reason: String should have at least 1 character"),
        ({"reason": "x" * 501}, 422, "reason: String should have at most 500"),
        ({"tests": 0}, 422, "tests"),
        ({"tests": 2**31}, 422, "tests"),
        ({"to": NOW - 1000}, 422, "from must be before to"),
        ({"to": NOW + 600_001}, 422, "to: must not be in the future"),
        ({"from": 1}, 422, "from: must be from"),
        ({"verdict": "deleted"}, 422, "verdict"),
        ({"point": "Depth"}, 422, "point"),
        ({"point": "dept"}, 404, 'never heard (did you mean "depth"?)'),
        ({"device": "road-77"}, 404, "never heard"),
        ({"gateway": "gw-77"}, 404, "not found"),
        ({"flag": 1}, 422, "flag: Extra inputs"),
    ],
)
async def test_what_is_no_review_is_refused(caller: Caller, change: dict[str, Any], status: int, sentence: str) -> None:
    """In one sentence that names the field; nothing is kept."""
    answer = await say(caller, **change)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert await caller.get("chen", f"flag-reviews?{WHERE}") == []


async def test_limits_with_their_source(caller: Caller) -> None:
    """By point, as the gateway said; for those who see the device, and empty where it said nothing."""
    limit = LearnedLimit(test=Test.RATE, high=46.5, unit="mm/min", since=NOW - 9, until=NOW, samples=9, note="how")
    told = DeviceLimits(gateway="gw-1", device="road-1", points=[PointLimits("depth", [limit])])
    services = caller.client._transport.app.state.services  # type: ignore[attr-defined]
    services.database.write_now(lambda c: take_limits(c, told, now_ms=NOW))
    for login in ("wang", "sun", "chen"):
        assert await caller.get(login, "limits?gateway=gw-1&device=road-1") == [
            {
                "point": "depth",
                "received_at": NOW,
                "limits": [
                    {
                        "test": Test.RATE, "low": None, "high": 46.5, "unit": "mm/min", "source": "learned",
                        "since": NOW - 9, "until": NOW, "samples": 9, "note": "how",
                    }
                ],
            }
        ]  # fmt: skip
    assert await caller.get("chen", "limits?gateway=gw-1&device=river-1") == []
    assert (await caller.ask("wang", "limits?gateway=gw-1&device=river-1")).status_code == 404
