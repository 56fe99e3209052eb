"""The cloud's word to a gateway on what it has stored or refused: only this lets the gateway forget."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from cloud.ledger import Name, Outcome
from edge.contract.messages import Head, Receipt, ReceiptRange, topic

MAX_REASON = 500  # characters, of the contract
RANGES_PER_RECEIPT = 64  # with the longest reasons still within the contract's message size

Publish = Callable[[str, bytes], Awaitable[None]]
"""Publishes a payload under a topic, such as `edge.contract.mqtt.Connection.publish`."""


class Verdict(NamedTuple):
    """What became of one message."""

    name: Name
    outcome: Outcome
    reason: str = ""


def no_head() -> Head | None:
    """Return that there is no head to tell of."""
    return None


class Receipts:
    """Sends receipts through one connection; the newest head of the statements goes along, once to each gateway."""

    def __init__(self, publish: Publish, newest_head: Callable[[], Head | None] = no_head) -> None:
        self._publish = publish
        self._newest_head = newest_head
        self._told: dict[str, Head] = {}

    async def send(self, verdicts: Iterable[Verdict]) -> None:
        """Tell each gateway what became of its messages; raises what the connection raises."""
        head = self._newest_head()
        await asyncio.gather(*(self._send(receipt, head) for receipt in receipts_for(verdicts)))

    async def _send(self, receipt: Receipt, head: Head | None) -> None:
        is_news = head is not None and self._told.get(receipt.gateway) != head
        whole = replace(receipt, head=head) if is_news else receipt
        await self._publish(topic(receipt.gateway, "receipt"), whole.to_bytes())
        if head is not None:
            self._told[receipt.gateway] = head


def receipts_for(verdicts: Iterable[Verdict]) -> Iterator[Receipt]:
    """Merge verdicts, in any order and with repetitions, into as few receipts and ranges as there can be."""
    ordered = sorted(set(verdicts))
    for (gateway, epoch, lane), some in groupby(ordered, lambda verdict: verdict.name[:3]):
        ranges = list(_ranges_of(some))
        for start in range(0, len(ranges), RANGES_PER_RECEIPT):
            yield Receipt(gateway=gateway, epoch=epoch, lane=lane, ranges=ranges[start : start + RANGES_PER_RECEIPT])


def _ranges_of(verdicts: Iterable[Verdict]) -> Iterator[ReceiptRange]:
    """Merge verdicts of one lane, in the order of their seq."""
    # Neighbours in a range keep the same distance to their place in the list.
    numbered = enumerate(verdicts)
    for (outcome, reason, _), run in groupby(numbered, lambda p: (p[1].outcome, p[1].reason, p[1].name.seq - p[0])):
        seqs = [verdict.name.seq for _, verdict in run]
        yield ReceiptRange(seqs[0], seqs[-1], outcome, reason[:MAX_REASON])
