"""Asks an ONVIF camera for its notifications: a pull point, kept alive, and left in order at the end.

The camera's clock is asked first, so that the token is dated by it and its offset is seen: each answer to a pull says
the camera's time, which goes on as a heartbeat.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import Final

from edge.contract.camera_config import CameraConfig, PullConfig
from edge.drivers.cameras import Intake, Refused, Sighting, read_time, soap
from edge.drivers.cameras.onvif import read_notifications
from edge.drivers.cameras.pulling import Rhythm, keep_asking, take_surely
from edge.drivers.cameras.web import CameraWeb, SignInError, UnreachableError
from edge.drivers.cameras.xml import Element, read_xml

DEVICE_SERVICE: Final = "/onvif/device_service"
HEARTBEAT: Final = "PullMessages"
MOST_MESSAGES: Final = 50
LONGEST_WAIT_S: Final = 20  # of one pull: long enough to be rare, short enough to be a heartbeat
LASTS_S: Final = 300  # a subscription
ANSWER_S: Final = 15.0
LEAVE_S: Final = 3.0
QUICK_S: Final = 0.5  # some cameras answer an empty pull at once: then the next one waits
PAUSE_S: Final = 2.0


async def pull_onvif(camera: CameraConfig, intake: Intake, *, rhythm: Rhythm | None = None) -> None:
    """Take in the notifications of a camera, until cancelled."""
    pull = camera.pull
    if pull is None:
        return

    async def session(web: CameraWeb) -> None:
        await _Session(pull, web, intake).run()

    await keep_asking(pull, intake, session, rhythm=rhythm or Rhythm())


class _Session:
    """One subscription."""

    def __init__(self, pull: PullConfig, web: CameraWeb, intake: Intake) -> None:
        self._pull, self._web, self._intake = pull, web, intake
        self._clock_ms = time.time() * 1000  # the camera's, at this moment of ours:
        self._at_s = time.monotonic()
        self._is_let_in = False

    async def run(self) -> None:
        """Subscribe and pull until the camera is lost. Raises UnreachableError and Refused."""
        await self._ask_clock()
        service = soap.read_event_service(await self._ask(DEVICE_SERVICE, soap.GET_EVENT_SERVICE))
        created = await self._ask(service, soap.create(LASTS_S), action=soap.CREATE_ACTION)
        subscription = soap.read_subscription(created)
        try:
            await self._pull_for_ever(subscription)
        finally:
            with suppress(UnreachableError, Refused, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._ask(
                        subscription.path, soap.UNSUBSCRIBE, action=soap.UNSUBSCRIBE_ACTION, subscription=subscription
                    )

    async def _ask_clock(self) -> None:
        """Learn the camera's clock, which needs no sign-in; a camera that does not tell is taken to have ours."""
        with suppress(Refused):
            _, body = await self._web.post(
                DEVICE_SERVICE,
                soap.envelope(soap.GET_CLOCK, token=None),
                content_type=soap.CONTENT_TYPE,
                wait_s=ANSWER_S,
            )
            at_ms = soap.read_clock(read_xml(body))
            if at_ms is not None:
                self._clock_ms, self._at_s = at_ms, time.monotonic()

    async def _pull_for_ever(self, subscription: soap.Subscription) -> None:
        wait_s = int(min(LONGEST_WAIT_S, self._pull.timeout_s / 2))
        renewed_s = time.monotonic()
        while True:
            began_s = time.monotonic()
            answer = await self._ask(
                subscription.path,
                soap.pull(wait_s, MOST_MESSAGES),
                action=soap.PULL_ACTION,
                subscription=subscription,
                wait_s=max(self._pull.timeout_s, wait_s + 1.0),
            )
            count = await self._take(answer)
            if time.monotonic() - renewed_s > LASTS_S / 3:
                renewed_s = time.monotonic()
                await self._renew(subscription)
            if not count and time.monotonic() - began_s < QUICK_S:
                await asyncio.sleep(PAUSE_S)

    async def _take(self, answer: Element) -> int:
        """Take in what a pull brought, and return how many messages that were."""
        self._intake.hear()
        response = next(answer.all("PullMessagesResponse"), None)
        time_of_camera = read_time(response.word("CurrentTime") if response else "")
        await take_surely(
            self._intake, Sighting(HEARTBEAT, "heartbeat", time_of_camera.at_ms, said_at=time_of_camera.said_at)
        )
        try:
            sightings = read_notifications(answer)
        except Refused as refused:
            self._intake.refuse(refused)
            return 0
        for sighting in sightings:
            await take_surely(self._intake, sighting)
        return len(sightings)

    async def _renew(self, subscription: soap.Subscription) -> None:
        """Keep the subscription; cameras that cannot renew keep it while it is pulled from, or say so at the next."""
        with suppress(_FaultError):
            await self._ask(subscription.path, soap.renew(LASTS_S), action=soap.RENEW_ACTION, subscription=subscription)

    async def _ask(
        self,
        path: str,
        body: str,
        *,
        action: str = "",
        subscription: soap.Subscription | None = None,
        wait_s: float = ANSWER_S,
    ) -> Element:
        """Ask signed, and return the answer. Raises UnreachableError and Refused."""
        request = soap.envelope(body, token=self._token(), action=action, subscription=subscription)
        content_type = f'{soap.CONTENT_TYPE}; action="{action}"' if action else soap.CONTENT_TYPE
        try:
            status, answer = await self._web.post(path, request, content_type=content_type, wait_s=wait_s)
        except SignInError as error:
            raise self._not_let_in(str(error)) from error
        root = read_xml(answer)
        fault = soap.read_fault(root)
        if "NotAuthorized" in fault:
            raise self._not_let_in(fault)
        if fault or status != 200:
            raise _FaultError(f"status {status} for {path}: {fault}")
        self._is_let_in = True
        return root

    def _not_let_in(self, reason: str) -> UnreachableError:
        """Whoever was let in before is not now because somebody has set the camera's clock: soon again."""
        if self._is_let_in:
            return UnreachableError(f"{reason}: has its clock been set?")
        return SignInError(f"{reason}: user, password, or what the user may see is not right")

    def _token(self) -> soap.Token:
        at_ms = self._clock_ms + (time.monotonic() - self._at_s) * 1000
        return soap.Token(self._pull.username, self._web.password, int(at_ms), os.urandom(16))


class _FaultError(UnreachableError):
    """The camera answered that it cannot do this."""
