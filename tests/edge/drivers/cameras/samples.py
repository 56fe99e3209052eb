"""What cameras send, from tests/cases/cameras/<brand>/*.yaml, and what is to become of it.

says: one sentence; content_type: of the post (Frigate: the topic); zone: of the camera's clock, where gateway.yaml
gives it; body: the text, whose lines end in CRLF (``lines: lf`` in LF alone); %JPEG% stands for a small picture, %GBK%
for 移动侦测 in GBK, %REPEAT% for ``repeat: {text, times}``. Then either ``expect``, a list of sightings (``at`` is its
time, ``picture: true`` that it has one; what is left out is empty), or ``refused`` and ``because``, words of the
reason.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edge.drivers.cameras import Sighting, Why
from edge.drivers.cameras.dahua import read_dahua
from edge.drivers.cameras.frigate_read import read_object, read_review
from edge.drivers.cameras.hikvision import read_hikvision
from edge.drivers.cameras.onvif import read_onvif
from edge.drivers.cameras.webhook import read_webhook
from tests import layout

FOLDER = layout.ROOT / "tests" / "cases" / "cameras"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(range(256)) + b"\r\n--\r\n\xff\xd9"


def read_frigate(topic: str, body: bytes, *, zone: tzinfo | None) -> list[Sighting]:
    """What Frigate publishes under a topic; its times are seconds since 1970."""
    del zone
    return (read_review if topic.endswith("reviews") else read_object)(body).sightings


READERS: dict[str, Callable[..., list[Sighting]]] = {
    "dahua": read_dahua,
    "frigate": read_frigate,
    "hikvision": read_hikvision,
    "onvif": read_onvif,
    "webhook": read_webhook,
}
POSTED = ("dahua", "hikvision", "onvif")
"""Brands whose cameras post to the gateway without a signature."""


class Sample(NamedTuple):
    """One post, and what it becomes: sightings, or the reason and words of the refusal."""

    path: Path
    content_type: str
    body: bytes
    zone: tzinfo | None
    expected: list[Sighting]
    refused: Why | None
    because: str

    @property
    def brand(self) -> str:
        """The folder it stands in."""
        return self.path.parent.name

    def read(self) -> list[Sighting]:
        """What its reader makes of it. Raises Refused."""
        return READERS[self.brand](self.content_type, self.body, zone=self.zone)


def load_samples() -> list[Sample]:
    """All samples of all brands that have a reader here."""
    return [load_sample(path) for path in sorted(FOLDER.rglob("*.yaml")) if path.parent.name in READERS]


def load_sample(path: Path) -> Sample:
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert case.keys() <= {
        *("says", "content_type", "zone", "lines", "repeat", "body", "expect", "refused", "because"),
    }, path
    assert case["says"], path
    assert ("expect" in case) != ("refused" in case), path
    return Sample(
        path,
        case["content_type"],
        _bytes(case),
        datetime.fromisoformat(f"2026-01-01T00:00:00{case['zone']}").tzinfo if "zone" in case else None,
        [_sighting(each) for each in case.get("expect", ())],
        Why(case["refused"]) if "refused" in case else None,
        case.get("because", ""),
    )


def _bytes(case: dict[str, Any]) -> bytes:
    text = case["body"].removesuffix("\n")
    if "repeat" in case:
        text = text.replace("%REPEAT%", case["repeat"]["text"] * case["repeat"]["times"])
    if case.get("lines") != "lf":
        text = text.replace("\n", "\r\n")
    body: bytes = text.encode().replace(b"%GBK%", "移动侦测".encode("gbk"))
    return body.replace(b"%JPEG%", JPEG)


def _sighting(case: dict[str, Any]) -> Sighting:
    at = case.pop("at", None)
    if at is not None:
        case["at_ms"] = round(at.timestamp() * 1000)
    if case.pop("picture", False):
        case["picture"] = JPEG
    return Sighting(**case)
