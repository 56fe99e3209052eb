"""Cameras of a whole agent: a process, a real broker, real posts."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

import httpx

from edge.contract.messages import EventState
from simulators.cameras.onvif import OnvifCamera
from tests.edge.agent_site import process, terminate
from tests.edge.cloud_stand_in import cloud_for
from tests.servers import Mosquitto, free_ports


class Camera:
    """A camera that posts."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def post(self, state: str) -> int:
        """Say that something begins or ends; the status, 0 while nobody listens."""
        said = {"class": "CAM.GARBAGE", "state": state, "id": "7"}
        try:
            async with httpx.AsyncClient(auth=("cam-1", "secret"), trust_env=False) as http:
                return (await http.post(f"http://127.0.0.1:{self.port}/v1/trigger", json=said)).status_code
        except httpx.TransportError:
            return 0

    async def begin(self) -> None:
        """Say that something is there until it is taken, as cameras do."""
        async with asyncio.timeout(60):
            while await self.post("begin") != 202:  # noqa: ASYNC110 -- a process tells nobody that it listens
                await asyncio.sleep(0.05)


def write(folder: Path, gateway: str, broker: int, port: int, **said: object) -> Path:
    """A gateway with one camera, of which more may be said, and nothing else."""
    password = folder / "camera.password"
    password.write_text("secret\n", encoding="utf-8")
    password.chmod(0o600)
    camera: dict[str, object] = {
        "id": "cam-1",
        "purpose": "rubbish at the bins",
        "sign": "at the door",
        "classes": ["CAM.GARBAGE"],
    }
    camera |= said or {"password_file": "camera.password"}
    config = {
        "gateway": gateway,
        "broker": {"host": "127.0.0.1", "port": broker},
        "data_dir": "data",
        "batch_s": 0.2,
        "cameras": [camera],
        "camera_listener": {"host": "127.0.0.1", "port": port},
    }
    path = folder / "gateway.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


async def test_a_camera_is_a_device_whose_events_go_on_after_a_kill(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """An event that was open when the agent was killed ends under its own name; its health arrives as readings."""
    gateway, [port] = f"gw-{secrets.token_hex(4)}", free_ports(1)
    config, camera = write(tmp_path, gateway, mosquitto.port, port), Camera(port)
    async with cloud_for(gateway, mosquitto.port) as cloud:
        async with process(config) as agent:
            await camera.begin()
            agent.kill()
            await agent.wait()
        async with process(config) as agent:
            await camera.begin()
            assert await camera.post("end") == 202
            await cloud.wait_for(lambda: len(cloud.events) == 2, "one event from begin to end")
            seen = {"offline", "covered", "view_changed", "last_heard", "refused", "refused_sign_in", "clock_wrong"}
            await cloud.wait_for(lambda: seen <= {key[1] for key in cloud.readings}, "how the camera is")
            await terminate(agent)
    first, last = cloud.revisions()
    assert (first.id, first.state, last.state) == (last.id, EventState.CONFIRMED, EventState.ENDED)


async def test_a_camera_is_asked_to_post_and_left_in_order(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """What an ONVIF camera posts to where it was asked to reaches the cloud; stopping the agent unsubscribes."""
    gateway, [port] = f"gw-{secrets.token_hex(4)}", free_ports(1)
    async with OnvifCamera(password="secret") as camera, cloud_for(gateway, mosquitto.port) as cloud:
        push = {"url": camera.url, "username": camera.username, "password_file": "camera.password"}
        said = {"brand": "onvif", "push": push, "map": {"UserAlarm/Button": "CAM.GARBAGE"}}
        async with process(write(tmp_path, gateway, mosquitto.port, port, **said)) as agent:
            async with asyncio.timeout(60):
                await camera.is_heard.wait()
            camera.see("UserAlarm/Button")
            await cloud.wait_for(lambda: len(cloud.events) == 1, "what the camera saw")
            await terminate(agent)
        assert camera.subscriptions == {}
    assert [(event.device, event.class_code) for event in cloud.revisions()] == [("cam-1", "CAM.GARBAGE")]
