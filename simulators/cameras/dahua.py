"""A Dahua camera: its event manager."""

from __future__ import annotations

import json
import time
from typing import ClassVar

from simulators.cameras.faults import CameraFault
from simulators.cameras.stream import Said, StreamingCamera


class DahuaCamera(StreamingCamera):
    """``see("CrossRegionDetection")`` and ``see("CrossRegionDetection", is_over=True)``."""

    path: ClassVar[str] = "/cgi-bin/eventManager.cgi"
    multipart: ClassVar[str] = "multipart/x-mixed-replace"
    boundary: ClassVar[str] = "myboundary"

    def heartbeat(self) -> Said:
        """Heartbeat."""
        return Said("text/plain", b"Heartbeat")

    def see(self, kind: str, *, is_over: bool = False, picture: bytes | None = None) -> None:
        """Say that something began, or is over."""
        if is_over and CameraFault.NEVER_ENDING in self.faults:
            return
        data: dict[str, object] = {"EventID": 10081, "Name": "IVS-1", "Object": {"ObjectType": "Human"}}
        data["RealUTC"] = self._now()
        line = f"Code={kind};action={'Stop' if is_over else 'Start'};index=0;data={json.dumps(data, indent=3)}\n"
        self.say(Said("text/plain", line.encode()), *([Said("image/jpeg", picture)] if picture else []))

    def _now(self) -> int:
        if CameraFault.UNDATED in self.faults:
            return 0
        return int(time.time()) - (5400 if CameraFault.WRONG_CLOCK in self.faults else 0)
