"""What `edge check` says of a camera: how it tells, what its events become, what of its pictures leaves."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from edge.contract.camera_config import CameraConfig, CameraListenerConfig
from edge.contract.camera_tables import OWN_WORDS, Targets, camera_tables
from edge.contract.event_classes import event_classes
from edge.contract.gateway_config import GatewayConfig


def camera_lines(camera: CameraConfig, config: GatewayConfig) -> Iterator[str]:
    """Lines for a person who sets up a camera."""
    yield f"\n{camera.id}: camera of brand {camera.brand}, may raise {', '.join(camera.classes)}"
    yield f"  purpose: {camera.purpose}; sign: {camera.sign}"
    if camera.password_file is not None and config.camera_listener is not None:
        yield f"  posts to {post_address(camera, config.camera_listener)}"
    if camera.pull is not None:
        yield f"  is asked at {camera.pull.url}"
    if camera.brand == "frigate" and config.frigate is not None:
        name = camera.channel or camera.id
        yield f"  is {name} of Frigate, by {config.frigate.broker.address}, topic {config.frigate.topic}"
    for kind, target in _kinds(camera):
        label = event_classes()[target].en if "." in target else "fault of the camera"
        yield f"  {kind} -> {target} ({label})"
    if camera.mask:
        yield f"  regions of its pictures that are blacked out: {len(camera.mask)}"


def post_address(camera: CameraConfig, listener: CameraListenerConfig) -> str:
    """Return the address that a camera must be set to post to."""
    path = "/v1/trigger" if camera.brand == "anlan" else f"/v1/cameras/{camera.id}/{camera.brand}"
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"http://{'THIS-GATEWAY' if is_every_address(listener.host) else host}:{listener.port}{path}"


def is_every_address(host: str) -> bool:
    """Whether it stands for all addresses of a machine, and so is none that a camera can be set to."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _kinds(camera: CameraConfig) -> Iterator[tuple[str, str]]:
    """What raises something here, by the vendor's word."""
    table = camera_tables().get(camera.brand)
    words = [line.kind for line in table.kinds] if table else []
    words += [kind for kind in camera.map if kind.casefold() not in {word.casefold() for word in words}]
    if camera.brand in OWN_WORDS:
        words += camera.classes
    targets = Targets(camera)
    for word in words:
        target = targets.of(word) or ""
        if target in camera.classes or target in ("offline", "covered", "view_changed"):
            yield word, target
