"""The cameras of a gateway at work: what listens, what asks, what follows Frigate, and what is due by time.

Only a gateway with cameras imports this: HTTP servers and the like cost memory that others do not have to spare.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from edge.contract.camera_config import CAMERA_KEY
from edge.contract.gateway_config import GatewayConfig
from edge.drivers.cameras.access import Door
from edge.drivers.cameras.brands import pull_of, push_of
from edge.drivers.cameras.health import CameraHealth
from edge.drivers.cameras.intake import CameraIntake, Keeper
from edge.drivers.cameras.tracker import Moment, abandon
from edge.drivers.cameras.witness import UNWATCHED, Witness
from edge.timeline import Timeline

__all__ = ["Cameras", "Keeper"]

LOOK_S: Final = 5.0  # between two looks at what is due by time


class Cameras:
    """All cameras of one gateway."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        clock: Timeline,
        keeper: Keeper,
        used: Sequence[int] = (),
        witness: Witness = UNWATCHED,
    ) -> None:
        """``used``: stamps that their readings may have had before, see :class:`edge.stamps.Stamps`."""
        self._config = config
        self._clock = clock
        self._keeper = keeper
        self._witness = witness
        self.intakes = {
            camera.id: CameraIntake(
                camera, gateway=config.gateway, clock=clock, keeper=keeper, used=used, witness=witness
            )
            for camera in config.cameras
        }
        self._doors = {camera.id: Door(config.post_url(camera)) for camera in config.cameras if camera.push is not None}

    def health_of(self, camera: str) -> CameraHealth:
        """Return what reads the health of a camera. Raises KeyError."""
        return self.intakes[camera].health

    def restore(self, states: dict[str, str]) -> None:
        """Let cameras go on, and take their states out of ``states``; the events of those that are gone are ended."""
        for key in [key for key in states if key.startswith(CAMERA_KEY)]:
            state, camera = states.pop(key), key.removeprefix(CAMERA_KEY)
            if camera in self.intakes:
                self.intakes[camera].restore(state)
                continue
            for event in abandon(state, Moment(self._clock.now_ms(), self._clock.monotonic_ms())):
                self._keeper.hand_over(event, {})
            self._keeper.keep_state(key, None)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take posts within the block, where cameras post; those under way at its end are finished.

        Raises ConfigurationError.
        """
        if self._config.camera_listener is None:
            yield
            return
        from edge.drivers.cameras.listener import CameraListener  # noqa: PLC0415 -- without posts, no HTTP

        intakes = [(one.camera, one) for one in self.intakes.values()]
        config, doors = self._config.camera_listener, self._doors
        async with CameraListener(config, intakes, clock=self._clock, doors=doors, witness=self._witness):
            yield

    async def run(self) -> None:
        """Ask the cameras that are to be asked, follow Frigate, and end what is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in self._work():
                group.create_task(work)

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        asked = [one for one in self.intakes.values() if one.camera.pull is not None]
        work = [pull_of(one.camera.brand)(one.camera, one) for one in asked]
        for name, door in self._doors.items():
            intake = self.intakes[name]
            work.append(push_of(intake.camera.brand)(intake.camera, intake, door))
        told = [one for one in self.intakes.values() if one.camera.brand == "frigate"]
        if self._config.frigate is not None and told:
            from edge.drivers.cameras.frigate import follow  # noqa: PLC0415

            cameras = {one.camera.channel or one.camera.id: one for one in told}
            # A second connection under one name would end the first: whoever watches beside the agent has its own.
            name = f"anlan-{self._config.gateway}-frigate{'' if self._witness is UNWATCHED else '-watched'}"
            work.append(follow(self._config.frigate, cameras, client_id=name, witness=self._witness))
        return [*work, self._look_for_ever()]

    async def _look_for_ever(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            for one in self.intakes.values():
                await one.end_overdue()
