"""Talks with one ONVIF camera: signed requests, its clock, and a subscription that is kept and left in order.

The camera's clock is asked first, so that the token is dated by it. A subscription ends by that clock too: the camera
says until when it is granted. What differs in the field, from issues: kerberos-io/onvif 5 (durations are refused by old
Hikvision, Dahua and Bosch firmware: then the end is said as a time), openvideolibs/python-onvif-zeep-async 32 and
home-assistant/core 91485 (cameras grant what they like; one that was not left keeps its slot until it ends, so it is
short), home-assistant/core 92551 (renewing too often makes some cameras crash, and minutes are read as seconds).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from edge.contract.camera_config import AskConfig
from edge.drivers.cameras import CameraTime, Intake, Refused, Sighting, Why, soap
from edge.drivers.cameras.pulling import take_surely
from edge.drivers.cameras.web import CameraWeb, SignInError, UnreachableError
from edge.drivers.cameras.xml import Element, read_xml

DEVICE_SERVICE: Final = "/onvif/device_service"
HEARTBEAT: Final = "CurrentTime"
LASTS_S: Final = 300  # a subscription, as we ask for it
SHORTEST_S: Final = 20.0  # whatever a camera grants: more often it is not renewed
ANSWER_S: Final = 15.0
LEAVE_S: Final = 3.0


class FaultError(UnreachableError):
    """The camera answered that it cannot do this."""


class OnvifSession:
    """One camera, for as long as it can be reached."""

    def __init__(self, login: AskConfig, web: CameraWeb, intake: Intake, *, hide: Callable[[str], str] = str) -> None:
        """``hide`` takes out of a camera's words what no log may have."""
        self._login, self._web, self._intake, self._hide = login, web, intake, hide
        self._wait_s = min(ANSWER_S, login.timeout_s)
        self._clock_ms = time.time() * 1000  # the camera's, at this moment of ours:
        self._at_s = time.monotonic()
        self._is_let_in = False
        self._knows_durations = True
        self.renew_at_s = 0.0  # by our monotonic clock

    async def ask_clock(self) -> int | None:
        """Learn the camera's clock, which needs no sign-in; one that does not tell is taken to go on as it did.

        Raises UnreachableError.
        """
        try:
            _, body = await self._web.post(
                DEVICE_SERVICE,
                soap.envelope(soap.GET_CLOCK, token=None),
                content_type=soap.CONTENT_TYPE,
                wait_s=self._wait_s,
            )
            at_ms = soap.read_clock(read_xml(body))
        except Refused as refused:
            self._intake.refuse(refused)
            return None
        if at_ms is not None:
            self._clock_ms, self._at_s = at_ms, time.monotonic()
        return at_ms

    async def note_alive(self, shown: CameraTime) -> None:
        """Let the intake know that the camera is there, and what its clock shows."""
        self._intake.hear()
        await take_surely(self._intake, Sighting(HEARTBEAT, "heartbeat", shown.at_ms, said_at=shown.said_at))

    @asynccontextmanager
    async def subscribed(self, write: Callable[[str], str], *, action: str) -> AsyncIterator[soap.Subscription]:
        """Subscribe, and unsubscribe at the end; ``write`` makes the request for an end. Raises as `ask`."""
        service = soap.read_event_service(await self.ask(DEVICE_SERVICE, soap.GET_EVENT_SERVICE))
        subscription = soap.read_subscription(await self._ask_lasting(service, write, action=action))
        try:
            yield subscription
        finally:
            with suppress(UnreachableError, Refused, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self.ask(
                        subscription.path, soap.UNSUBSCRIBE, action=soap.UNSUBSCRIBE_ACTION, subscription=subscription
                    )

    async def renew(self, subscription: soap.Subscription) -> None:
        """Keep the subscription. Raises as `ask`; FaultError where the camera does not renew, or knows it no more."""
        await self._ask_lasting(subscription.path, soap.renew, action=soap.RENEW_ACTION, subscription=subscription)

    async def _ask_lasting(
        self, path: str, write: Callable[[str], str], *, action: str, subscription: soap.Subscription | None = None
    ) -> Element:
        """Ask for what ends at a time: as a duration, or by the camera's clock where it takes none."""
        if self._knows_durations:
            try:
                return self._granted(
                    await self.ask(path, write(soap.duration(LASTS_S)), action=action, subscription=subscription)
                )
            except FaultError:
                pass
        end = soap.moment(self._now_ms() + LASTS_S * 1000)
        answer = await self.ask(path, write(end), action=action, subscription=subscription)
        self._knows_durations = False
        return self._granted(answer)

    def _granted(self, answer: Element) -> Element:
        """Take note of how long it lasts, and return the answer."""
        granted_s = soap.read_granted(answer)
        lasts_s = LASTS_S if granted_s is None else min(max(granted_s, SHORTEST_S), LASTS_S)
        self.renew_at_s = time.monotonic() + lasts_s / 2
        return answer

    async def ask(
        self,
        path: str,
        body: str,
        *,
        action: str = "",
        subscription: soap.Subscription | None = None,
        wait_s: float | None = None,
    ) -> Element:
        """Ask signed, and return the answer. Raises UnreachableError and Refused."""
        request = soap.envelope(body, token=self._token(), action=action, subscription=subscription)
        content_type = f'{soap.CONTENT_TYPE}; action="{action}"' if action else soap.CONTENT_TYPE
        try:
            status, answer = await self._web.post(
                path, request, content_type=content_type, wait_s=wait_s or self._wait_s
            )
        except SignInError as error:
            raise self._not_let_in(str(error).partition(":")[0]) from error
        root = _read(answer, status, path)
        fault = self._hide(soap.read_fault(root))
        if "NotAuthorized" in fault:
            raise self._not_let_in(fault)
        if fault or status != 200:
            raise FaultError(f"status {status} for {path}: {fault}")
        self._is_let_in = True
        return root

    def _not_let_in(self, reason: str) -> UnreachableError:
        """Whoever was let in before is not now because somebody has set the camera's clock: soon again."""
        if self._is_let_in:
            return UnreachableError(f"{reason}: has its clock been set?")
        return SignInError(f"{reason}: user, password, or what the user may see is not right")

    def _now_ms(self) -> int:
        return int(self._clock_ms + (time.monotonic() - self._at_s) * 1000)

    def _token(self) -> soap.Token:
        return soap.Token(self._login.username, self._web.password, self._now_ms(), os.urandom(16))


def _read(answer: bytes, status: int, path: str) -> Element:
    """Return the root; some say in HTML what they cannot do. Raises FaultError and Refused."""
    try:
        return read_xml(answer)
    except Refused as refused:
        if status != 200 and refused.why is Why.MALFORMED:
            raise FaultError(f"status {status} for {path}") from refused
        raise
