"""What `edge check` says of a camera: how it tells, what its events become, what of its pictures leaves."""

from __future__ import annotations

from collections.abc import Iterator

from edge.contract.camera_config import CameraConfig
from edge.contract.camera_tables import OWN_WORDS, Targets, camera_tables
from edge.contract.event_classes import event_classes
from edge.contract.gateway_config import GatewayConfig


def camera_lines(camera: CameraConfig, config: GatewayConfig) -> Iterator[str]:
    """Lines for a person who sets up a camera."""
    yield f"\n{camera.id}: camera of brand {camera.brand}, may raise {', '.join(camera.classes)}"
    yield f"  purpose: {camera.purpose}; sign: {camera.sign}"
    if camera.password_file is not None and config.camera_listener is not None:
        yield f"  posts to {config.post_url(camera)}"
    if camera.push is not None and config.camera_listener is not None:
        yield f"  is asked at {camera.push.url} to post to {config.post_url(camera)}/, a secret behind it"
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
