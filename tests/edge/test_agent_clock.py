"""The agent on machines that do not know the time, lose it, or are set to another one."""

from __future__ import annotations

from edge.contract.messages import ClockState, GiveUpReason
from edge.stamps import class_of
from tests.edge.agent_site import Site, running, said
from tests.edge.cloud_stand_in import cloud_for
from tests.edge.hand_clock import RunningClock

AT = 1_790_000_000_000
MINUTE, HOUR = 60_000, 3_600_000


async def test_what_is_read_before_the_time_is_known_is_dated_when_it_is(site: Site) -> None:
    """Without a battery, over a restart of the agent: readings and a flood are kept, and come with their dates."""
    path, clock = site.write(), RunningClock(5_000)
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        async with running(path, clock):
            await cloud.wait_for(lambda: cloud.status is not None and cloud.status.online, "a status")
            await clock.slept(10)
        async with running(path, clock) as agent:
            began = clock.monotonic_ms()
            await clock.slept(10)
            assert not cloud.readings
            assert not cloud.events
            assert cloud.status is not None
            assert (cloud.status.clock, cloud.status.sent_at < AT - HOUR) == (ClockState.UNKNOWN, True)
            known_at = agent.clock.monotonic_ms()
            clock.set(AT)
            site.road.set("depth", 20)
            await cloud.wait_for(lambda: len(cloud.events) == 3, "the flood and its end")
            await cloud.wait_for(lambda: any(at >= AT for *_, at in cloud.readings), "readings of now")
        suspect, confirmed, ended = cloud.revisions()
        assert said([suspect, confirmed, ended]) == [(1, "suspect"), (2, "confirmed"), (3, "ended")]
        assert len({event.id for event in cloud.revisions()}) == 1
        assert {event.began_at for event in cloud.revisions()} == {suspect.began_at}
        assert suspect.began_at < AT + began - known_at < AT < (ended.ended_at or 0)  # before the restart
        assert confirmed.readings[0] in cloud.readings.values()
        early = {clock for key, clock in cloud.clocks.items() if key[2] < AT - 100}
        assert {state for state, _ in early} == {ClockState.FREE_RUNNING}
        assert all(abs((since or 0) - AT) < MINUTE for _, since in early)
        assert min(at for *_, at in cloud.readings) > AT - HOUR


async def test_what_another_run_of_the_machine_left_undated_is_given_up_and_counted(site: Site) -> None:
    """Nobody can know when that was; but a flood that goes on is told, as of now at the latest."""
    path = site.write()
    site.road.set("depth", 300)
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        clock = RunningClock(5_000, "first")
        async with running(path, clock):
            await clock.slept(10)
        async with running(path, RunningClock(AT, "second")):
            await cloud.wait_for(lambda: len(cloud.events) == 3, "the flood")
            await cloud.wait_for(
                lambda: cloud.status is not None and any(
                    day.given_up.get(GiveUpReason.UNDATED) for epoch in cloud.status.epochs for day in epoch.days
                ), "the account of what is lost",
            )  # fmt: skip
        told = [cloud.events[f"{1:032x}", revision] for revision in (1, 2, 3)]
        assert [event.state.value for event in told] == ["suspect", "confirmed", "updated"]
        assert all(abs(event.began_at - AT) < MINUTE for event in told)
        assert "did not know the time" in told[0].note
        assert min(at for *_, at in cloud.readings) >= AT


async def test_a_clock_that_is_lost_stops_nothing(site: Site) -> None:
    """What was known goes on by the ruler, when somebody sets the clock to nonsense; so does a poll under way."""
    clock = RunningClock(AT)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(), clock):
        await cloud.wait_for(lambda: len({d for d, *_ in cloud.readings}) == 3, "readings of every device")
        began = clock.monotonic_ms()
        clock.set(5_000)
        await clock.slept(10)
        lost_ms = clock.monotonic_ms() - began
        await cloud.wait_for(lambda: any(at >= AT + lost_ms for *_, at in cloud.readings), "readings while it is lost")
    assert all(AT <= at < AT + MINUTE for *_, at in cloud.readings)


async def test_a_clock_that_is_set_leaves_no_polls_out(site: Site) -> None:
    """Time servers set a clock on by hours after a start without a battery: polls go on, and none was left out."""
    clock = RunningClock(AT)
    async with cloud_for(site.gateway, site.broker.port) as cloud, running(site.write(), clock) as agent:
        for count, now in enumerate((AT, AT + HOUR, AT - HOUR), start=1):
            clock.set(now)
            site.road.set("depth", 20 * count)
            site.meter.set("voltage_l1", 200 + 10 * count)

            def is_read_now(now: int = now) -> bool:
                read = {device for device, _, at in cloud.readings if now <= at < now + MINUTE}
                return read >= {"road-1", "meter-1"}

            await cloud.wait_for(is_read_now, "readings of both devices")
        assert agent.skipped() == 0


async def test_a_time_lived_through_again_after_a_restart_has_other_milliseconds(site: Site) -> None:
    """The machine comes back with a clock that is behind: no reading gets the time of one from before."""
    path = site.write()
    async with cloud_for(site.gateway, site.broker.port) as cloud:
        for boot, now in (("first", AT), ("second", AT - 1000)):
            known = set(cloud.readings)
            site.road.set("depth", 20 if boot == "first" else 40)
            async with running(path, RunningClock(now, boot)):
                await cloud.wait_for(lambda known=known: len(cloud.readings.keys() - known) > 20, "readings")  # type: ignore[misc]
            if boot == "first":
                assert {class_of(at) for *_, at in cloud.readings} == {0}
            else:
                assert {class_of(at) for *_, at in cloud.readings.keys() - known} == {1}
