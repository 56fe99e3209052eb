"""The cameras of gateway.yaml: who they are, what they may raise, why they are there, and what of a picture may leave.

cameras:
  - id: gate
    purpose: 垃圾投放点巡查，发现暴露垃圾
    sign: 东门立柱公示牌，2026-11 拍照存档
    brand: hikvision
    password_file: secrets/gate.password        # what the camera posts with
    classes: [CAM.GARBAGE, CAM.FIRELANE]
    pull: {url: http://192.0.2.20, username: anlan, password_file: secrets/gate.login}   # ONVIF: this or push
    map: {fielddetection: CAM.GARBAGE, tamperdetection: covered, linedetection: ignored}
    mask: [[[0, 0], [0.4, 0], [0.4, 0.3], [0, 0.3]]]
"""

from collections.abc import Iterator
from datetime import timedelta, timezone
from ipaddress import ip_address
from itertools import combinations
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from edge.contract.broker_config import BrokerConfig
from edge.contract.config_file import CheckedModel, ConfigModel, Key, ReadablePath, SecretPath, nearest
from edge.contract.event_classes import check_class_code, event_classes
from edge.contract.forms import HTTP_ADDRESS, Form, Id
from edge.contract.messages import MAX_BLOB

MAX_PICTURE_MB = MAX_BLOB / 1_048_576

Brand = Literal["anlan", "webhook", "frigate", "hikvision", "dahua", "onvif"]
CameraFault = Literal["offline", "covered", "view_changed"]
IGNORED = "ignored"
NOTHING = 1e-6  # of a picture: a few pixels
CAMERA_KEY = "@camera/"
"""Of what the agent keeps of a camera, before its id; no device's id begins so."""

PUSHING: frozenset[Brand] = frozenset({"anlan", "webhook", "hikvision", "dahua", "onvif"})
"""Brands that may post to the gateway, with a password of their own."""
PULLED: frozenset[Brand] = frozenset({"hikvision", "dahua", "onvif"})
"""Brands that the gateway can ask."""
SUBSCRIBED: frozenset[Brand] = frozenset({"onvif"})
"""Brands that the gateway can ask to post."""

ZONE = Form(r"[+-](0\d|1[0-4]):[0-5]\d", 'an offset from UTC in quotes, such as "+08:00"')
_TOPIC = Form(r"[^+#\0/][^+#\0]{0,99}", "the beginning of topics, without + and #")

Share = Annotated[float, Field(ge=0, le=1)]
Corner = tuple[Share, Share]


def check_area(corners: tuple[Corner, ...]) -> tuple[Corner, ...]:
    """Return the corners of a region that covers something: they do not all lie on one line."""
    x, y = corners[0]
    sides = [(right - x, down - y) for right, down in corners[1:]]
    if not any(abs(a * d - b * c) > NOTHING for (a, b), (c, d) in combinations(sides, 2)):
        raise ValueError("covers nothing: its corners lie on one line")
    return corners


Region = Annotated[tuple[Corner, ...], Field(min_length=3, max_length=64), AfterValidator(check_area)]


def check_target(target: str) -> str:
    """Return what a kind of vendor event is mapped to: an event class of cameras, a fault of the camera, or nothing."""
    words = (*get_args(CameraFault), IGNORED)
    if target in words:
        return target
    if "." not in target:
        raise ValueError(f'"{target}" is neither an event class nor one of {", ".join(words)}{nearest(target, words)}')
    if not event_classes()[check_class_code(target)].camera:
        raise ValueError(f"{target} is not a camera class")
    return target


Target = Annotated[str, AfterValidator(check_target)]


class AskConfig(ConfigModel):
    """Where the gateway asks a camera, and how it signs in there."""

    url: Annotated[str, HTTP_ADDRESS] = Field(description="Address of the camera, without a path.")
    username: str = Field(min_length=1, max_length=64, description="A user of the camera that may see events only.")
    password_file: SecretPath = Field(description="Its first line is that user's password.")
    ca_file: ReadablePath | None = Field(
        default=None, description="With https: the certificate to trust, as most cameras sign their own."
    )
    timeout_s: float = Field(default=60, ge=5, le=600, description="A camera that says nothing for so long is lost.")


class PushConfig(AskConfig):
    """Where the gateway asks a camera to post what it sees, and where to."""

    gateway_url: Annotated[str, HTTP_ADDRESS] | None = Field(
        default=None, description="Where the camera reaches camera_listener; usual: its host and port."
    )


class CameraConfig(CheckedModel):
    """A camera: it posts when it sees something, or is asked."""

    id: Id = Field(description="Unique on this gateway; the name the camera signs in with.")
    purpose: str = Field(min_length=4, max_length=200, description="What it is there for.")
    sign: str = Field(
        min_length=4,
        max_length=200,
        description="Where its public sign (公示牌) stands, and since when.",
    )
    brand: Brand = Field(default="anlan", description="What it speaks: docs/cameras.md has a part for each.")
    password_file: SecretPath | None = Field(
        default=None, description="Its first line is the password that it posts with, or the secret that it signs with."
    )
    pull: AskConfig | None = Field(default=None, description="Ask the camera, instead of or besides being told.")
    push: PushConfig | None = Field(default=None, description="ONVIF: subscribe at the camera, so that it posts.")
    classes: tuple[Annotated[str, AfterValidator(check_class_code)], ...] = Field(
        min_length=1, description="Event classes this camera may raise."
    )
    channel: str = Field(
        default="", max_length=64, description="Only this channel of a recorder; Frigate: its name for the camera."
    )
    map: dict[Annotated[str, Field(min_length=1, max_length=120)], Target] = Field(
        default_factory=dict,
        max_length=200,
        description="Lines that replace those of the brand's table: a kind of event to a class, a fault, or ignored.",
    )
    zone: Annotated[str, ZONE] | None = Field(
        default=None, description="Of the camera's clock, where its times have none; else those are not believed."
    )
    longest_s: float = Field(
        default=3600, ge=10, le=604_800, description="An event that is not heard of for so long is ended."
    )
    same_within_s: float = Field(
        default=60, ge=1, le=86_400, description="What is seen again within this time is the same event."
    )
    silent_s: float | None = Field(
        default=None, ge=60, le=604_800, description="A camera that was not heard for so long is offline."
    )
    mask: tuple[Region, ...] = Field(
        default=(), max_length=32, description="Regions that are blacked out; corners in shares of width and height."
    )

    @property
    def post_path(self) -> str:
        """Where it posts, at the address of the listener."""
        return "/v1/trigger" if self.brand == "anlan" else f"/v1/cameras/{self.id}/{self.brand}"

    @property
    def time_zone(self) -> timezone | None:
        """The zone of times that have none."""
        if self.zone is None:
            return None
        sign, hours, minutes = self.zone[0], int(self.zone[1:3]), int(self.zone[4:6])
        distance = timedelta(hours=hours, minutes=minutes)
        return timezone(-distance if sign == "-" else distance)

    def _problems(self) -> Iterator[tuple[Key, str]]:
        for index, code in enumerate(self.classes):
            if not event_classes()[code].camera:
                yield ("classes", index), f"{code} is not a camera class"
        for kind, target in self.map.items():
            if "." in target and target not in self.classes:
                yield ("map", kind), f"{target} is not one of the classes this camera may raise"
        if self.pull is not None and self.brand not in PULLED:
            yield ("pull",), f"{self.brand} is not asked, it tells"
        if self.push is not None and self.brand not in SUBSCRIBED:
            yield ("push",), f"{self.brand} is not subscribed at: leave push out"
        if self.push is not None and self.pull is not None:
            yield ("push",), "everything would come twice: choose pull or push"
        if self.password_file is not None and self.brand not in PUSHING:
            yield ("password_file",), f"{self.brand} does not post to this gateway"
        if not (self.password_file or self.pull or self.push) and self.brand in PUSHING:
            yield ("password_file",), "missing: its first line is the password that the camera posts with"


class CameraListenerConfig(ConfigModel):
    """Where cameras post to, by HTTP."""

    host: str = Field(min_length=1, max_length=253, description="Address to listen on: that of the cameras' network.")
    port: int = Field(ge=1, le=65535, description="Port to listen on.")
    max_mb: float = Field(default=MAX_PICTURE_MB, gt=0, le=MAX_PICTURE_MB, description="Largest picture.")

    @property
    def is_everywhere(self) -> bool:
        """Whether host is every address of this gateway, such as 0.0.0.0: none that others can post to."""
        try:
            return ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """Its address, where host is one that others can post to."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


class FrigateConfig(ConfigModel):
    """The broker that Frigate publishes to."""

    broker: BrokerConfig
    topic: Annotated[str, _TOPIC] = Field(default="frigate", description="Frigate's mqtt.topic_prefix.")
