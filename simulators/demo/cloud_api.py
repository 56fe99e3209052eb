"""What the demo asks of the cloud's API: /api/v1, as any other program would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from simulators.demo.proof import Row
from simulators.web import Web, WebError

PAGE: Final = 10_000
EARLIEST_MS: Final = 946_684_800_000  # 2000; the API refuses to be asked for earlier readings
NOT_FOUND: Final = 404


class Step(Struct):
    """One transition of an order; ``version`` is the order's after it."""

    version: int
    who: str
    target: str
    assignee: str | None = None


class Order(Struct):
    """What the demo needs to know of a work order."""

    code: str
    state: str
    version: int
    class_code: str
    gateway: str
    device: str
    device_name: str
    handler: str | None
    waits_for: str | None
    opened_at: int
    recovered: bool
    sensor_cleared_at: int | None = None
    closing_standards: list[str] = []
    events: list[dict[str, Any]] = []
    pictures: list[str] = []
    transitions: list[Step] = []


class Revision(Struct):
    """One revision of an event."""

    state: str
    updated_at: int
    value: float | int | None
    unit: str


class Account(Struct):
    """Where the readings of one epoch are, as the cloud has worked it out."""

    taken: int
    stored: int
    pending: int
    missing: int
    pending_messages: int


class Lane(Struct):
    """Messages from ``oldest_kept`` to before ``next_seq`` are still on the gateway."""

    oldest_kept: int
    next_seq: int


class Epoch(Struct):
    """One life of a gateway's outbox."""

    epoch: str
    lanes: dict[str, Lane]


class Status(Struct):
    """A gateway's last word on itself."""

    epochs: list[Epoch]


class Gateway(Struct):
    """What the cloud knows of a gateway."""

    online: bool | None
    status: Status | None
    accounts: list[Account]

    @property
    def stored(self) -> int:
        """Readings that the ledger has seen stored."""
        return sum(each.stored for each in self.accounts)

    @property
    def lanes(self) -> dict[tuple[str, str], Lane]:
        """Every lane, by epoch and name, as the gateway has last told."""
        epochs = self.status.epochs if self.status is not None else []
        return {(epoch.epoch, name): lane for epoch in epochs for name, lane in epoch.lanes.items()}

    @property
    def waiting_messages(self) -> int:
        """Messages of all lanes that the gateway said it still held."""
        return sum(lane.next_seq - lane.oldest_kept for lane in self.lanes.values())


class CloudApi:
    """One person's view; raises WebError."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def orders(self) -> list[Order]:
        """The newest 500 orders, the oldest of them first."""
        page = await self._web.get("/api/v1/orders", limit=500)
        return msgspec.convert(page["orders"], list[Order])[::-1]

    async def order(self, code: str) -> Order:
        """One order with its events."""
        return msgspec.convert(await self._web.get(f"/api/v1/orders/{code}"), Order)

    async def revisions(self, gateway: str, event: str) -> list[Revision]:
        """Every revision of an event, the first one first."""
        return msgspec.convert(await self._web.get(f"/api/v1/events/{gateway}/{event}"), list[Revision])

    async def move(self, order: Order, to: str, **said: str | list[int]) -> Order:
        """Move an order on, as the person whose token this is."""
        body = {"to": to, "version": order.version, **said}
        return msgspec.convert(await self._web.post(f"/api/v1/orders/{order.code}/transitions", body), Order)

    async def add_picture(self, order: Order, picture: bytes) -> int:
        """Add a JPEG taken after the work; returns its evidence id."""
        answer = await self._web.request(
            "POST",
            f"/api/v1/orders/{order.code}/evidence",
            params={"kind": "after"},
            content=picture,
            headers={"Content-Type": "image/jpeg"},
        )
        return int(answer.json()["id"])

    async def picture(self, sha256: str) -> bytes | None:
        """A picture that an order names; None while it is on its way."""
        try:
            return (await self._web.request("GET", f"/api/v1/blobs/{sha256}")).content
        except WebError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def gateway(self, gateway: str) -> Gateway:
        """One gateway with its accounts."""
        return msgspec.convert(await self._web.get(f"/api/v1/gateways/{gateway}"), Gateway)

    async def overview(self) -> dict[str, Any]:
        """Counts of orders, alerts and gateways."""
        counts: dict[str, Any] = await self._web.get("/api/v1/overview")
        return counts

    async def rows(self, gateway: str) -> AsyncIterator[Row]:
        """Every reading that the store holds of a gateway."""
        for series in await self._web.get("/api/v1/series", gateway=gateway):
            place = {"gateway": gateway, "device": series["device"], "point": series["point"]}
            start: int | None = EARLIEST_MS
            while start is not None:
                page = await self._web.get("/api/v1/readings", **place, **{"from": start}, limit=PAGE)
                for one in page["readings"]:
                    yield Row(
                        **place, taken_at=one["taken_at"], value=one["value"], flag=one["flag"], tests=one["tests"]
                    )
                start = page["next_from"]
