"""Asks an ONVIF camera for its notifications: a pull point, kept alive, and left in order at the end.

Each answer to a pull says the camera's time, which goes on as a heartbeat.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from edge.contract.camera_config import AskConfig, CameraConfig
from edge.drivers.cameras import Intake, Refused, read_time, soap
from edge.drivers.cameras.onvif import read_notifications
from edge.drivers.cameras.onvif_session import FaultError, OnvifSession
from edge.drivers.cameras.pulling import Rhythm, keep_asking, take_surely
from edge.drivers.cameras.web import CameraWeb
from edge.drivers.cameras.xml import Element

MOST_MESSAGES: Final = 50
LONGEST_WAIT_S: Final = 20  # of one pull: long enough to be rare, short enough to be a heartbeat
QUICK_S: Final = 0.5  # some cameras answer an empty pull at once: then the next one waits
PAUSE_S: Final = 2.0


async def pull_onvif(camera: CameraConfig, intake: Intake, *, rhythm: Rhythm | None = None) -> None:
    """Take in the notifications of a camera, until cancelled."""
    pull = camera.pull
    if pull is None:
        return

    async def session(web: CameraWeb) -> None:
        await _Pull(pull, OnvifSession(pull, web, intake), intake).run()

    await keep_asking(pull, intake, session, rhythm=rhythm or Rhythm())


class _Pull:
    """One subscription."""

    def __init__(self, pull: AskConfig, session: OnvifSession, intake: Intake) -> None:
        self._pull, self._session, self._intake = pull, session, intake

    async def run(self) -> None:
        """Subscribe and pull until the camera is lost. Raises UnreachableError and Refused."""
        await self._session.ask_clock()
        async with self._session.subscribed(soap.create, action=soap.CREATE_ACTION) as subscription:
            while True:
                began_s = time.monotonic()
                count = await self._take(await self._ask(subscription))
                if time.monotonic() >= self._session.renew_at_s:
                    # Cameras that cannot renew keep it while it is pulled from, or say so at the next.
                    with suppress(FaultError):
                        await self._session.renew(subscription)
                if not count and time.monotonic() - began_s < QUICK_S:
                    await asyncio.sleep(PAUSE_S)

    async def _ask(self, subscription: soap.Subscription) -> Element:
        wait_s = int(min(LONGEST_WAIT_S, self._pull.timeout_s / 2))
        return await self._session.ask(
            subscription.path,
            soap.pull(wait_s, MOST_MESSAGES),
            action=soap.PULL_ACTION,
            subscription=subscription,
            wait_s=max(self._pull.timeout_s, wait_s + 1.0),
        )

    async def _take(self, answer: Element) -> int:
        """Take in what a pull brought, and return how many messages that were."""
        response = next(answer.all("PullMessagesResponse"), None)
        await self._session.note_alive(read_time(response.word("CurrentTime") if response else ""))
        try:
            sightings = read_notifications(answer)
        except Refused as refused:
            self._intake.refuse(refused)
            return 0
        for sighting in sightings:
            await take_surely(self._intake, sighting)
        return len(sightings)
