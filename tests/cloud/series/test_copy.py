"""A copy from one series store into another: whole in each direction, and resumed after any end."""

import asyncio
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from cloud.series import UnavailableError
from cloud.series import copy as copying
from cloud.series.influx_settings import InfluxSettings
from cloud.series.tally import Sums
from edge.contract.messages import Batch, ClockState, Flag, Reading
from tests.cloud.series.copies import Run, Stores, days_in_journal
from tests.cloud.series.gate import gate_before
from tests.cloud.series.history import DAYS, START, history
from tests.cloud.series.suite import DAY, batch_of, by_series, everything
from tests.servers import InfluxDB


@pytest.mark.parametrize(
    ("way", "days"),
    [
        ("files to influx", range(DAYS)),
        ("files to files", range(DAYS)),
        ("influx to files", range(DAYS)),
        ("influx to influx", range(DAYS // 2 - 2, DAYS // 2 + 2)),
    ],
)
async def test_everything_is_there_after_a_copy(
    way: str, *, days: range, stores: Stores, run: Run, influxdb: InfluxDB, influx_settings: InfluxSettings
) -> None:
    """Every reading is in the target bit for bit, whichever engines they are, and the proof counts and sums all."""
    before, _, after = way.split()
    source, target = (
        stores.files(name) if engine == "files" else stores.influx(influxdb, f"{influx_settings.database}_{name}")
        for name, engine in (("source", before), ("target", after))
    )
    batches = [history()[day] for day in days]
    await source.write(batches)
    proof = await run(source, target)
    assert await everything(target) == by_series(batches)
    assert proof.holds
    assert len(proof.days) == len(days)
    readings = [reading for batch in batches for reading in batch.readings()]
    sums = sum(proof.days.values(), Sums())
    assert sums.flags == {flag: sum(one.flag == flag for one in readings) for flag in Flag}
    assert sums.integers == sum(one.value for one in readings if isinstance(one.value, int))
    assert sums.floats == sum(Fraction(one.value) for one in readings if isinstance(one.value, float))
    assert {(one.device, one.kind) for one in await target.series()} == {
        (one.device, one.kind) for one in await source.last_heard()
    }


async def test_a_copy_goes_on_where_a_server_ended_it(
    stores: Stores, tmp_path: Path, start_influxdb: Callable[..., InfluxDB]
) -> None:
    """A target killed in the middle is asked again for a while, then named; a second start copies the other days."""
    server = start_influxdb()
    source, run = stores.files("source"), Run(tmp_path, patience_s=1)
    await source.write(history()[:12])
    with gate_before(server.url, hold_after=10) as gate:
        target = stores.influx(server, "anlan", url=gate.url)
        first = asyncio.create_task(run(source, target))
        await asyncio.to_thread(gate.held.wait)
        server.kill()
        gate.open()
        with pytest.raises(UnavailableError, match=r"no answer \(.+\): is it running there\?"):
            await first
        assert "is it running there?; trying again for 1 s" in run.said
        done = len(days_in_journal(tmp_path))
        assert 2 <= done < 10
        server.start()
        proof = await run(source, target)
        assert run.copied == 12 - done
        assert (proof.holds, len(proof.days)) == (True, 12)
        assert await everything(target) == by_series(history()[:12])


async def test_a_short_silence_is_waited_for(
    stores: Stores, tmp_path: Path, start_influxdb: Callable[..., InfluxDB]
) -> None:
    """A target that is restarted in the middle holds the copy up, and nothing more."""
    server = start_influxdb()
    source, run = stores.files("source"), Run(tmp_path, patience_s=30)
    await source.write(history()[:4])
    with gate_before(server.url, hold_after=3) as gate:
        target = stores.influx(server, "anlan", url=gate.url)
        copied = asyncio.create_task(run(source, target))
        await asyncio.to_thread(gate.held.wait)
        server.kill()
        gate.open()
        server.start()
        proof = await copied
    assert proof.holds
    assert len(proof.days) == 4


async def test_days_with_new_readings_are_copied_again(stores: Stores, run: Run) -> None:
    """A source that still receives readings is copied again where it did, so that a last run has little to do."""
    source, target = stores.files("source"), stores.files("target")
    await source.write(history()[:5])
    assert (await run(source, target)).holds
    assert run.copied == 5
    await source.write([batch_of(Reading("meter-1", "voltage", START + 2 * DAY + 5, 1.0))])
    assert (await run(source, target)).holds
    assert run.copied == 1
    assert (await run(source, target)).holds
    assert run.copied == 0
    assert await everything(target) == await everything(source)


async def test_readings_that_come_meanwhile_are_told_apart_from_lost_ones(stores: Stores, run: Run) -> None:
    """A day of which the source has received readings since it was copied is no difference, and is no proof either."""
    source, target = stores.files("source"), stores.files("target")
    await source.write(history()[:3])
    with run.opened(source, target) as copy:
        days = await copy.days()
        await copy.copy(days)
        await source.write([batch_of(Reading("meter-1", "voltage", START + DAY + 5, 1.0))])
        proof = await copy.verify(days)
    assert (proof.changed_days, proof.different_days) == ([days[1].name], [])
    assert not proof.holds


async def test_a_target_that_has_more_is_no_worse(stores: Stores, run: Run) -> None:
    """A cloud may write to the target meanwhile: later readings, late ones and other points disturb no proof."""
    source, target = stores.files("source"), stores.files("target")
    await source.write(history()[:2])
    received = [
        Reading("meter-1", "voltage", START + 2 * DAY - 1, 1.0),
        Reading("meter-1", "voltage", START + 3 * DAY, 1.0),
        Reading("road-8", "depth", START + 5, 1.0),
    ]
    await target.write([batch_of(*received)])
    proof = await run(source, target)
    assert proof.holds
    assert proof.more == 2  # in the days that the source has
    assert sum(sums.readings for sums in proof.days.values()) == sum(
        len(one) for one in by_series(history()[:2]).values()
    )


async def test_a_copy_keeps_the_kind_that_a_device_has_now(stores: Stores, run: Run) -> None:
    """A device whose kind was corrected on the new cloud keeps it when its older readings come after."""
    source, target = stores.files("source"), stores.files("target")
    await source.write(history()[:2])
    newer = Batch.of(
        [Reading("road-3", "depth", START + 9 * DAY, 1.0)],
        gateway="gw-1",
        config_hash="c0ffee",
        clock=ClockState.SYNCHRONISED,
        kinds={"road-3": "level_transmitter"},
    )
    await target.write([newer])
    assert (await run(source, target)).holds
    assert {one.kind for one in await target.series() if one.device == "road-3"} == {"level_transmitter"}


async def test_a_full_day_is_held_in_pieces(stores: Stores, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many readings a day has, or one moment of it, no more are read at once than fit."""
    monkeypatch.setattr(copying, "PIECE", 300)
    source, target = stores.files("source"), stores.files("target")
    crowd = [Reading("road-7", f"point-{number}", START + DAY - 1, 1.0) for number in range(400)]
    await source.write([*history()[:2], batch_of(*crowd)])
    held: list[int] = []
    read_span = source.read_span

    async def counted(*, start_ms: int, end_ms: int) -> list[Batch]:
        found = await read_span(start_ms=start_ms, end_ms=end_ms)
        held.append(sum(1 for batch in found for _ in batch.readings()))
        return found

    monkeypatch.setattr(source, "read_span", counted)
    assert (await run(source, target)).holds
    assert await everything(target) == await everything(source)
    most, *others = sorted(set(held), reverse=True)
    assert most == 400  # of one millisecond, which cannot be cut
    assert max(others) <= 300
