"""Which brand reads posts and which is pulled; a brand's module is imported only where a camera of it is configured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import tzinfo
from typing import Protocol

from edge.contract.camera_config import Brand, CameraConfig
from edge.drivers.cameras import Intake, Sighting


class Reader(Protocol):
    """Reads one post of a brand; pure."""

    def __call__(self, content_type: str, body: bytes, *, zone: tzinfo | None) -> list[Sighting]:
        """Return what it says, in its order. Raises Refused."""


Pull = Callable[[CameraConfig, Intake], Awaitable[None]]
"""Asks a camera until it is cancelled."""


def reader_of(brand: Brand) -> Reader:
    """Return what reads posts of the brand. Raises KeyError for one that does not post."""
    raise KeyError(brand)


def pull_of(brand: Brand) -> Pull:
    """Return what asks cameras of the brand. Raises KeyError for one that is not asked."""
    raise KeyError(brand)
