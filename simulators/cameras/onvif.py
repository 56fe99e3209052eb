"""An ONVIF camera: its clock, its event service, and subscriptions, pulled from or posted to their consumers.

It takes a token only when it is dated by its own clock, as real ones do, and ends subscriptions by that clock too.
"""

from __future__ import annotations

import asyncio
import base64
import html
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha1
from typing import Final, Unpack

from simulators.cameras.faults import CameraFault
from simulators.cameras.http_side import Answer, Options, Request, SimulatedCamera
from simulators.cameras.stream import HUGE, STORM
from simulators.web import Web, WebError

CONTENT_TYPE: Final = "application/soap+xml; charset=utf-8"
NAMES: Final = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:b="http://docs.oasis-open.org/wsn/b-2" '
    'xmlns:t="http://www.onvif.org/ver10/schema" xmlns:e="http://www.onvif.org/ver10/events/wsdl" '
    'xmlns:d="http://www.onvif.org/ver10/device/wsdl" xmlns:a="http://www.w3.org/2005/08/addressing" '
    'xmlns:v="http://vendor.example/subscription" xmlns:tns1="http://www.onvif.org/ver10/topics"'
)
DRIFT_S: Final = 5  # of a token
ENTITIES: Final = '<!DOCTYPE a [<!ENTITY a "seen">]>\n'


LONGEST_S: Final = 600.0  # for which a subscription is granted


@dataclass
class Subscription:
    """What waits for one subscriber, until when, and where it is posted to; pulled where that is empty."""

    ends_at_s: float
    consumer: str = ""
    waiting: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    is_synchronized: bool = False


class OnvifCamera(SimulatedCamera):
    """``see("RuleEngine/CellMotionDetector/Motion", "IsMotion")`` and the same with ``is_over=True``."""

    asks_for_digest = False  # tokens sign in here

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.subscriptions: dict[str, Subscription] = {}
        self.longest_s = LONGEST_S
        self.renewals = 0
        self.posts: list[int] = []  # statuses, 0 where nobody answered
        self._states: dict[str, tuple[str, str]] = {}
        self.is_heard = asyncio.Event()

    def see(self, topic: str, item: str = "State", *, is_over: bool = False) -> None:
        """Say that something began, or is over."""
        if is_over and CameraFault.NEVER_ENDING in self.faults:
            return
        self._states[topic] = (item, "false" if is_over else "true")
        message = self._message(topic, *self._states[topic])
        for subscription in self.subscriptions.values():
            for _ in range(STORM if CameraFault.STORM in self.faults else 1):
                subscription.waiting.put_nowait(message)

    async def post(self, base_url: str, *, camera: str, password: str, topic: str, item: str) -> list[str]:
        """Post a Notify to the gateway's listener, and return ids of events. Raises WebError."""
        body = self._envelope(f"<b:Notify>{self._message(topic, item, 'true')}</b:Notify>")
        async with Web(base_url, sign_in=(camera, password)) as gateway:
            answer = await gateway.request(
                "POST", f"/v1/cameras/{camera}/onvif", content=body, headers={"content-type": CONTENT_TYPE}
            )
        return [str(event) for event in answer.json()["events"]]

    async def answer(self, request: Request) -> Answer:
        """Answer by what the body asks for."""
        text = request.body.decode()
        is_within = "<PullMessages" in text or "<Renew" in text
        if CameraFault.SILENT in self.faults and is_within:
            await asyncio.sleep(3600)
        if CameraFault.HUGE in self.faults and is_within:
            return Answer("200 OK", CONTENT_TYPE, b" " * HUGE)
        if CameraFault.TRICKLING in self.faults and is_within:
            return Answer("200 OK", CONTENT_TYPE, _blanks())
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
        if "<CreatePullPointSubscription" in text or "<Subscribe " in text:
            return self._subscribe(text)
        for number in [number for number, each in self.subscriptions.items() if each.ends_at_s <= self._now_s()]:
            del self.subscriptions[number]
        named = re.search(r":SubscriptionId [^>]*>(\d+)<", text)
        subscription = self.subscriptions.get(named[1]) if named else None
        if named is None or subscription is None:
            return self._fault("wsrf-r:ResourceUnknownFault")
        if "<Renew" in text:
            return self._renew(text, subscription)
        if "<Unsubscribe" in text:
            del self.subscriptions[named[1]]
            return self._answered("<b:UnsubscribeResponse/>")
        if "<SetSynchronizationPoint" in text:
            subscription.is_synchronized = True
            for topic, (item, value) in self._states.items():
                subscription.waiting.put_nowait(self._message(topic, item, value, operation="Initialized"))
            return self._answered("<e:SetSynchronizationPointResponse/>")
        return await self._pull(text, subscription)

    def _subscribe(self, text: str) -> Answer:
        ends_at_s = self._end(text)
        if ends_at_s is None:
            return self._fault("wsnt:UnacceptableInitialTerminationTimeFault")
        consumer = re.search(r"<ConsumerReference><Address [^>]*>([^<]+)<", text)
        name, space = ("Subscribe", "b") if consumer else ("CreatePullPointSubscription", "e")
        number = str(len(self.subscriptions) + 1 + self.connections)
        made = self.subscriptions[number] = Subscription(ends_at_s, html.unescape(consumer[1]) if consumer else "")
        if made.consumer:
            task = asyncio.create_task(self._post_for_ever(number, made))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.is_heard.set()
        return self._answered(
            f"<{space}:{name}Response><{space}:SubscriptionReference>"
            "<a:Address>http://192.0.2.9:8000/onvif/event_service/subscription</a:Address><a:ReferenceParameters>"
            f'<v:SubscriptionId v:a="1">{number}</v:SubscriptionId></a:ReferenceParameters>'
            f"</{space}:SubscriptionReference>{self._until(made)}</{space}:{name}Response>"
        )

    def _renew(self, text: str, subscription: Subscription) -> Answer:
        ends_at_s = self._end(text)
        if ends_at_s is None or CameraFault.NEVER_RENEWING in self.faults:
            return self._fault("wsnt:UnacceptableTerminationTimeFault")
        self.renewals += 1
        subscription.ends_at_s = ends_at_s
        return self._answered(f"<b:RenewResponse>{self._until(subscription)}</b:RenewResponse>")

    def _end(self, text: str) -> float | None:
        """Return when what is asked for ends, by this camera's clock; None where it does not take that."""
        said = re.search(r"TerminationTime>(?:PT([\d.]+)S|([^<]+))<", text)
        if said is None or (said[1] and CameraFault.ONLY_TIMES in self.faults):
            return None
        wanted_s = self._now_s() + float(said[1]) if said[1] else datetime.fromisoformat(said[2]).timestamp()
        return min(wanted_s, self._now_s() + self.longest_s)

    def _until(self, subscription: Subscription) -> str:
        end = datetime.fromtimestamp(subscription.ends_at_s, UTC).isoformat().replace("+00:00", "Z")
        now = datetime.fromtimestamp(self._now_s(), UTC).isoformat().replace("+00:00", "Z")
        return f"<b:CurrentTime>{now}</b:CurrentTime><b:TerminationTime>{end}</b:TerminationTime>"

    async def _post_for_ever(self, number: str, subscription: Subscription) -> None:
        """Post what is seen, as long as the subscription lasts; what nobody takes is lost."""
        async with Web("") as web:
            while True:
                message = await subscription.waiting.get()
                if number not in self.subscriptions or subscription.ends_at_s <= self._now_s():
                    return
                if CameraFault.SILENT in self.faults:
                    continue
                said = "" if CameraFault.TRICKLING in self.faults else f"<b:Notify>{message}</b:Notify>"
                body = self._envelope(said)
                try:
                    headers = {"content-type": CONTENT_TYPE}
                    answer = await web.request("POST", subscription.consumer, content=body, headers=headers)
                    self.posts.append(answer.status_code)
                except WebError as error:
                    self.posts.append(error.status)

    async def _pull(self, text: str, subscription: Subscription) -> Answer:
        said = re.search(r"<Timeout>PT(\d+)S</Timeout>", text)
        wait_s, waiting, messages = int(said[1]) if said else 1, subscription.waiting, []
        try:
            async with asyncio.timeout(wait_s):
                messages.append(await waiting.get())
        except TimeoutError:
            pass
        subscription.ends_at_s = max(subscription.ends_at_s, self._now_s() + wait_s)  # whoever pulls keeps it
        while not waiting.empty() and len(messages) < 50:
            messages.append(waiting.get_nowait())
        body = f"<e:CurrentTime>{self._shown()}</e:CurrentTime>{''.join(messages)}"
        return self._answered(f"<e:PullMessagesResponse>{body}</e:PullMessagesResponse>")

    def _message(self, topic: str, item: str, value: str, *, operation: str = "Changed") -> str:
        return (
            '<b:NotificationMessage><b:Topic Dialect="http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">'
            f'tns1:{topic}</b:Topic><b:Message><t:Message UtcTime="{self._shown()}" PropertyOperation="{operation}">'
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


async def _blanks() -> AsyncIterator[bytes]:
    """Bytes that never become an answer."""
    while True:
        yield b" "
        await asyncio.sleep(0.02)
