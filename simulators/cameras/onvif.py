"""An ONVIF camera: its clock, its event service, pull points; and notifications that it posts.

It takes a token only when it is dated by its own clock, as real ones do.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from datetime import UTC, datetime
from hashlib import sha1
from typing import Final, Unpack

from simulators.cameras.faults import CameraFault
from simulators.cameras.http_side import Answer, Options, Request, SimulatedCamera
from simulators.cameras.stream import HUGE, STORM
from simulators.web import Web

CONTENT_TYPE: Final = "application/soap+xml; charset=utf-8"
NAMES: Final = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:b="http://docs.oasis-open.org/wsn/b-2" '
    'xmlns:t="http://www.onvif.org/ver10/schema" xmlns:e="http://www.onvif.org/ver10/events/wsdl" '
    'xmlns:d="http://www.onvif.org/ver10/device/wsdl" xmlns:a="http://www.w3.org/2005/08/addressing" '
    'xmlns:v="http://vendor.example/subscription" xmlns:tns1="http://www.onvif.org/ver10/topics"'
)
DRIFT_S: Final = 5  # of a token
ENTITIES: Final = '<!DOCTYPE a [<!ENTITY a "seen">]>\n'


class OnvifCamera(SimulatedCamera):
    """``see("RuleEngine/CellMotionDetector/Motion", "IsMotion")`` and the same with ``is_over=True``."""

    asks_for_digest = False  # tokens sign in here

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.subscriptions: dict[str, asyncio.Queue[str]] = {}
        self.renewals = 0
        self.is_heard = asyncio.Event()

    def see(self, topic: str, item: str = "State", *, is_over: bool = False) -> None:
        """Say that something began, or is over."""
        if is_over and CameraFault.NEVER_ENDING in self.faults:
            return
        message = self._message(topic, item, value="false" if is_over else "true")
        for waiting in self.subscriptions.values():
            for _ in range(STORM if CameraFault.STORM in self.faults else 1):
                waiting.put_nowait(message)

    async def post(self, base_url: str, *, camera: str, password: str, topic: str, item: str) -> list[str]:
        """Post a Notify to the gateway's listener, and return ids of events. Raises WebError."""
        body = self._envelope(f"<b:Notify>{self._message(topic, item, value='true')}</b:Notify>")
        async with Web(base_url, sign_in=(camera, password)) as gateway:
            answer = await gateway.request(
                "POST", f"/v1/cameras/{camera}/onvif", content=body, headers={"content-type": CONTENT_TYPE}
            )
        return [str(event) for event in answer.json()["events"]]

    async def answer(self, request: Request) -> Answer:
        """Answer by what the body asks for."""
        text = request.body.decode()
        if CameraFault.SILENT in self.faults and "<PullMessages" in text:
            await asyncio.sleep(3600)
        if CameraFault.HUGE in self.faults and "<PullMessages" in text:
            return Answer("200 OK", CONTENT_TYPE, b" " * HUGE)
        if "<GetSystemDateAndTime" in text:
            return self._answered(self._clock())
        if not self._is_let_in(text):
            self.refusals += 1
            return self._fault("ter:NotAuthorized")
        return await self._service(text)

    async def _service(self, text: str) -> Answer:
        if "<GetCapabilities" in text:
            address = "http://192.0.2.9:8000/onvif/event_service"  # as it is known behind its router
            return self._answered(
                f"<d:GetCapabilitiesResponse><d:Capabilities><t:Events><t:XAddr>{address}</t:XAddr>"
                "</t:Events></d:Capabilities></d:GetCapabilitiesResponse>"
            )
        if "<CreatePullPointSubscription" in text:
            return self._answered(self._subscribe())
        named = re.search(r":SubscriptionId [^>]*>(\d+)<", text)
        waiting = self.subscriptions.get(named[1]) if named else None
        if named is None or waiting is None:
            return self._fault("wsrf-r:ResourceUnknownFault")
        if "<Renew" in text:
            self.renewals += 1
            return self._answered("<b:RenewResponse/>")
        if "<Unsubscribe" in text:
            del self.subscriptions[named[1]]
            return self._answered("<b:UnsubscribeResponse/>")
        return await self._pull(text, waiting)

    def _subscribe(self) -> str:
        number = str(len(self.subscriptions) + 1 + self.connections)
        self.subscriptions[number] = asyncio.Queue()
        self.is_heard.set()
        return (
            "<e:CreatePullPointSubscriptionResponse><e:SubscriptionReference>"
            "<a:Address>http://192.0.2.9:8000/onvif/event_service/subscription</a:Address><a:ReferenceParameters>"
            f'<v:SubscriptionId v:a="1">{number}</v:SubscriptionId></a:ReferenceParameters></e:SubscriptionReference>'
            "</e:CreatePullPointSubscriptionResponse>"
        )

    async def _pull(self, text: str, waiting: asyncio.Queue[str]) -> Answer:
        said = re.search(r"<Timeout>PT(\d+)S</Timeout>", text)
        messages = []
        try:
            async with asyncio.timeout(int(said[1]) if said else 1):
                messages.append(await waiting.get())
        except TimeoutError:
            pass
        while not waiting.empty() and len(messages) < 50:
            messages.append(waiting.get_nowait())
        body = f"<e:CurrentTime>{self._shown()}</e:CurrentTime>{''.join(messages)}"
        return self._answered(f"<e:PullMessagesResponse>{body}</e:PullMessagesResponse>")

    def _message(self, topic: str, item: str, *, value: str) -> str:
        return (
            '<b:NotificationMessage><b:Topic Dialect="http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">'
            f'tns1:{topic}</b:Topic><b:Message><t:Message UtcTime="{self._shown()}" PropertyOperation="Changed">'
            '<t:Source><t:SimpleItem Name="VideoSourceConfigurationToken" Value="V_1"/></t:Source>'
            f'<t:Data><t:SimpleItem Name="{item}" Value="{value}"/></t:Data>'
            "</t:Message></b:Message></b:NotificationMessage>"
        )

    def _is_let_in(self, text: str) -> bool:
        """Whether the token is right and dated by this camera's clock."""
        fields = [
            re.search(rf"<\w+:{name}(?: [^>]*)?>([^<]*)<", text)
            for name in ("Username", "Password", "Nonce", "Created")
        ]
        username, password, nonce, created = (found[1] if found else "" for found in fields)
        try:
            drift_s = abs(datetime.fromisoformat(created).timestamp() - self._now_s())
            digest = sha1(base64.b64decode(nonce) + (created + self.password).encode(), usedforsecurity=False).digest()
        except ValueError:
            return False
        return username == self.username and password == base64.b64encode(digest).decode() and drift_s <= DRIFT_S

    def _clock(self) -> str:
        now = datetime.fromtimestamp(self._now_s(), UTC)
        clock = f"<t:Hour>{now.hour}</t:Hour><t:Minute>{now.minute}</t:Minute><t:Second>{now.second}</t:Second>"
        day = f"<t:Year>{now.year}</t:Year><t:Month>{now.month}</t:Month><t:Day>{now.day}</t:Day>"
        shown = f"<t:UTCDateTime><t:Time>{clock}</t:Time><t:Date>{day}</t:Date></t:UTCDateTime>"
        return (
            f"<d:GetSystemDateAndTimeResponse><d:SystemDateAndTime>{shown}</d:SystemDateAndTime>"
            "</d:GetSystemDateAndTimeResponse>"
        )

    def _now_s(self) -> float:
        return time.time() - (5400 if CameraFault.WRONG_CLOCK in self.faults else 0)

    def _shown(self) -> str:
        if CameraFault.UNDATED in self.faults:
            return "0000-00-00T00:00:00Z"
        return datetime.fromtimestamp(self._now_s(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _answered(self, body: str) -> Answer:
        return Answer("200 OK", CONTENT_TYPE, self._envelope(body))

    def _fault(self, code: str) -> Answer:
        fault = f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{code}</s:Value></s:Subcode></s:Code>"
        return Answer("400 Bad Request", CONTENT_TYPE, self._envelope(f"{fault}</s:Fault>"))

    def _envelope(self, body: str) -> bytes:
        entities = ENTITIES if CameraFault.ENTITIES in self.faults else ""
        document = f"<s:Envelope {NAMES}><s:Body>{body}</s:Body></s:Envelope>"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{entities}{document}'.encode()
