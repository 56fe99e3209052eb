"""A Hikvision camera: alertStream, and posts as its HTTP listening sends them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from simulators.cameras.faults import CameraFault
from simulators.cameras.stream import Said, StreamingCamera
from simulators.web import Web

ENTITIES = '<!DOCTYPE a [<!ENTITY a "seen"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'


class HikvisionCamera(StreamingCamera):
    """``see("fielddetection")`` and ``see("fielddetection", is_over=True)``."""

    path: ClassVar[str] = "/ISAPI/Event/notification/alertStream"
    multipart: ClassVar[str] = "multipart/mixed"
    boundary: ClassVar[str] = "boundary"

    def heartbeat(self) -> Said:
        """Videoloss inactive."""
        return self._alert("videoloss", "inactive")

    def see(self, kind: str, *, is_over: bool = False, picture: bytes | None = None) -> None:
        """Say that something began, or is over."""
        if is_over and CameraFault.NEVER_ENDING in self.faults:
            return
        said = self._alert(kind, "inactive" if is_over else "active")
        self.say(said, *([Said("image/jpeg", picture)] if picture else []))

    async def post(self, base_url: str, *, camera: str, password: str, kind: str, picture: bytes) -> list[str]:
        """Post to the gateway's listener as HTTP listening does, and return ids of events. Raises WebError."""
        alert = self._alert(kind, "active")
        form = {kind: (f"{kind}.xml", alert.body, alert.content_type), "detectionPicture": picture}
        async with Web(base_url, sign_in=(camera, password)) as gateway:
            answer = await gateway.request("POST", f"/v1/cameras/{camera}/hikvision", files=form)
        return [str(event) for event in answer.json()["events"]]

    def _alert(self, kind: str, state: str) -> Said:
        entities = ENTITIES if CameraFault.ENTITIES in self.faults else ""
        text = f"""<?xml version="1.0" encoding="UTF-8"?>
{entities}<EventNotificationAlert version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema">
<ipAddress>192.0.2.20</ipAddress>
<portNo>80</portNo>
<protocol>HTTP</protocol>
<channelID>1</channelID>
<dateTime>{self._now()}</dateTime>
<activePostCount>1</activePostCount>
<eventType>{kind}</eventType>
<eventState>{state}</eventState>
<eventDescription>{kind} alarm</eventDescription>
</EventNotificationAlert>"""
        return Said('application/xml; charset="UTF-8"', text.replace("\n", "\r\n").encode())

    def _now(self) -> str:
        if CameraFault.UNDATED in self.faults:
            return "0000-00-00T00:00:00+08:00"
        late = timedelta(minutes=90 if CameraFault.WRONG_CLOCK in self.faults else 0)
        return (datetime.now().astimezone() - late).isoformat(timespec="seconds")
