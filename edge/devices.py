"""From gateway.yaml to what runs: a driver and a pipeline for each device, and the inventory that says so."""

from __future__ import annotations

from collections.abc import Callable

from edge.contract.clock import Clock
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.messages import DeviceInventory, Inventory, PointInventory
from edge.detect import Detector
from edge.drivers import Driver
from edge.drivers.modbus import ModbusLinks
from edge.health import GatewayHealth
from edge.pipeline import Pipeline
from edge.report import Reporter, ReportRule


def driver_for(
    device: DeviceConfig, config: GatewayConfig, *, links: ModbusLinks, clock: Clock, waiting: Callable[[], int]
) -> Driver:
    """Return the driver that the device's profile asks for; ``waiting`` counts the messages in the outbox."""
    if device.modbus is not None:
        return links.driver(device, config.line_of(device), clock)
    points = [point.name for point in device.device_profile.points]
    return GatewayHealth(device.id, points=points, clock=clock, folder=config.data_dir, waiting=waiting)


def pipeline_for(device: DeviceConfig, *, gateway: str, new_id: Callable[[], str]) -> Pipeline:
    """Return what judges the device's polls; ``new_id`` names events."""
    rules = {
        (device.id, point.name): ReportRule(
            heartbeat_ms=round(device.heartbeat_s * 1000),
            interval_ms=round(device.poll_s * 1000),
            deadband=point.deadband,
        )
        for point in device.device_profile.points
    }
    detectors = [Detector(rule, gateway=gateway, device=device.id, new_id=new_id) for rule in device.device_rules]
    return Pipeline(device.id, points=device.device_profile.points, detectors=detectors, reporter=Reporter(rules))


def inventory_of(config: GatewayConfig) -> Inventory:
    """Return what the gateway tells the cloud about itself; a camera is a device without points."""
    devices = [
        DeviceInventory(
            device=device.id,
            kind=device.device_profile.kind,
            profile=device.device_profile.profile,
            points=[
                PointInventory(point.name, point.quantity.unit, device.poll_s, device.heartbeat_s)
                for point in device.device_profile.points
            ],
        )
        for device in config.devices
    ]
    cameras = [DeviceInventory(device=camera.id, kind="camera", profile="", points=[]) for camera in config.cameras]
    return Inventory(gateway=config.gateway, config_hash=config.config_hash, devices=[*devices, *cameras])
