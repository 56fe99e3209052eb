"""Asks an ONVIF camera to post its notifications: subscribes, stays subscribed, and unsubscribes at the end.

WS-BaseNotification 1.3: a producer sends ``Notify`` to whom ``Subscribe`` names as its consumer, until the time that it
granted; ``Renew`` moves that time, ``Unsubscribe`` ends it. A camera forgets its subscriptions when it starts anew, and
says nothing about it: so it is asked for its time now and then, which is a heartbeat too, and ``Renew`` tells the rest.
What is so now is said again after subscribing (ONVIF core, SetSynchronizationPoint; openvideolibs/
python-onvif-zeep-async 39: not every camera does it by itself; home-assistant/core 91089: not every one may).

What the camera posts is taken by the listener, at its :class:`edge.drivers.cameras.access.Door`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from edge.contract.camera_config import CameraConfig, PushConfig
from edge.drivers.cameras import CameraTime, Intake, soap
from edge.drivers.cameras.access import Door
from edge.drivers.cameras.onvif_session import FaultError, OnvifSession
from edge.drivers.cameras.pulling import Rhythm, keep_asking
from edge.drivers.cameras.web import CameraWeb, UnreachableError


async def push_onvif(camera: CameraConfig, intake: Intake, door: Door, *, rhythm: Rhythm | None = None) -> None:
    """Let a camera post to the door, until cancelled."""
    push = camera.push
    if push is None:
        return

    async def session(web: CameraWeb) -> None:
        await _Push(push, OnvifSession(push, web, intake, hide=door.hide), intake, door).run()

    await keep_asking(push, intake, session, rhythm=rhythm or Rhythm())


class _Push:
    """One subscription after the other, while the camera can be reached."""

    def __init__(self, push: PushConfig, session: OnvifSession, intake: Intake, door: Door) -> None:
        self._push, self._session, self._intake, self._door = push, session, intake, door
        self._is_doubtful = True  # whether the camera can reach us

    async def run(self) -> None:
        """Stay subscribed until the camera is lost. Raises UnreachableError and Refused."""
        await self._look()
        while True:
            async with self._session.subscribed(self._subscribe, action=soap.SUBSCRIBE_ACTION) as subscription:
                # Whoever may not ask for it loses what began before: the camera is subscribed at all the same.
                with suppress(UnreachableError):
                    await self._session.ask(
                        subscription.path, soap.SYNCHRONIZE, action=soap.SYNCHRONIZE_ACTION, subscription=subscription
                    )
                with suppress(FaultError):  # it was started anew, or never renews: subscribe again
                    await self._keep(subscription)

    def _subscribe(self, end: str) -> str:
        return soap.subscribe(self._door.url, end)

    async def _keep(self, subscription: soap.Subscription) -> None:
        while True:
            due_s = max(self._session.renew_at_s - time.monotonic(), 0)
            await asyncio.sleep(min(self._push.timeout_s / 2, due_s))
            await self._look()
            self._tell_doubt()
            if time.monotonic() >= self._session.renew_at_s:
                await self._session.renew(subscription)

    def _tell_doubt(self) -> None:
        """Say once where a camera that was asked to say what is so now has said nothing."""
        if self._is_doubtful and not self._door.times_opened:
            self._intake.doubt(self._door.hide(self._door.url))
        self._is_doubtful = False

    async def _look(self) -> None:
        at_ms = await self._session.ask_clock()
        await self._session.note_alive(CameraTime(at_ms, ""))
