"""Hikvision and Dahua cameras answer one request without end."""

from __future__ import annotations

from edge.contract.camera_config import CameraConfig
from edge.drivers.cameras import Intake, dahua, hikvision
from edge.drivers.cameras.pulling import Rhythm, pull_stream

ALERT_STREAM = "/ISAPI/Event/notification/alertStream"
EVENT_MANAGER = "/cgi-bin/eventManager.cgi?action=attach&codes=[All]&heartbeat=5"


async def pull_hikvision(camera: CameraConfig, intake: Intake, *, rhythm: Rhythm | None = None) -> None:
    """Take in the alertStream of a camera or recorder, until cancelled."""
    await pull_stream(camera, intake, path=ALERT_STREAM, read=hikvision.read_parts, rhythm=rhythm or Rhythm())


async def pull_dahua(camera: CameraConfig, intake: Intake, *, rhythm: Rhythm | None = None) -> None:
    """Take in what the event manager of a camera or recorder says, until cancelled."""
    await pull_stream(camera, intake, path=EVENT_MANAGER, read=dahua.read_parts, rhythm=rhythm or Rhythm())
