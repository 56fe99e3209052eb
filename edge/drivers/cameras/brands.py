"""What reads posts of a brand, pulls from it or asks it to post; imported only where a camera of it is configured."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import tzinfo
from typing import Any, Protocol

from edge.contract.camera_config import Brand, CameraConfig
from edge.drivers.cameras import Intake, Sighting
from edge.drivers.cameras.access import Door


class Reader(Protocol):
    """Reads one post of a brand; pure."""

    def __call__(self, content_type: str, body: bytes, *, zone: tzinfo | None) -> list[Sighting]:
        """Return what it says, in its order. Raises Refused."""


Pull = Callable[[CameraConfig, Intake], Coroutine[Any, Any, None]]
"""Asks a camera until it is cancelled."""
Push = Callable[[CameraConfig, Intake, Door], Coroutine[Any, Any, None]]
"""Lets a camera post to a door until it is cancelled."""


def reader_of(brand: Brand) -> Reader:
    """Return what reads posts of the brand. Raises KeyError for one that does not post."""
    if brand == "anlan":
        from edge.drivers.cameras.anlan import read_anlan  # noqa: PLC0415

        return read_anlan
    if brand == "webhook":
        from edge.drivers.cameras.webhook import read_webhook  # noqa: PLC0415

        return read_webhook
    if brand == "hikvision":
        from edge.drivers.cameras.hikvision import read_hikvision  # noqa: PLC0415

        return read_hikvision
    if brand == "dahua":
        from edge.drivers.cameras.dahua import read_dahua  # noqa: PLC0415

        return read_dahua
    if brand == "onvif":
        from edge.drivers.cameras.onvif import read_onvif  # noqa: PLC0415

        return read_onvif
    raise KeyError(brand)


def pull_of(brand: Brand) -> Pull:
    """Return what asks cameras of the brand. Raises KeyError for one that is not asked."""
    if brand == "hikvision":
        from edge.drivers.cameras.streams import pull_hikvision  # noqa: PLC0415

        return pull_hikvision
    if brand == "dahua":
        from edge.drivers.cameras.streams import pull_dahua  # noqa: PLC0415

        return pull_dahua
    if brand == "onvif":
        from edge.drivers.cameras.onvif_pull import pull_onvif  # noqa: PLC0415

        return pull_onvif
    raise KeyError(brand)


def push_of(brand: Brand) -> Push:
    """Return what subscribes at cameras of the brand. Raises KeyError for one that is not subscribed at."""
    if brand == "onvif":
        from edge.drivers.cameras.onvif_push import push_onvif  # noqa: PLC0415

        return push_onvif
    raise KeyError(brand)
