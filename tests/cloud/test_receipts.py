"""Receipts: few messages that say exactly what became of each."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.ledger import Name
from cloud.receipts import RANGES_PER_RECEIPT, Receipts, Verdict, receipts_for
from edge.contract.messages import Head, Lane, Receipt, ReceiptRange

EPOCH = "8f3a61c2d47b905e"
verdicts = st.builds(
    Verdict,
    st.builds(
        Name,
        st.sampled_from(["gw-1", "gw-2"]),
        st.sampled_from([EPOCH, "0" * 16]),
        st.sampled_from([Lane.LIVE, Lane.BACKLOG]),
        st.integers(1, 30),
    ),
    st.sampled_from(["stored", "refused"]),
    st.sampled_from(["", "too old"]),
)


def live(seq: int, outcome: str = "stored", reason: str = "") -> Verdict:
    return Verdict(Name("gw-1", EPOCH, Lane.LIVE, seq), outcome, reason)  # type: ignore[arg-type]


def test_neighbours_become_one_range() -> None:
    """Messages in a row with one outcome are one range, whatever order they came in."""
    [receipt] = receipts_for([live(3), live(1), live(2), live(9), live(2)])
    assert receipt == Receipt(
        gateway="gw-1",
        epoch=EPOCH,
        lane=Lane.LIVE,
        ranges=[ReceiptRange(1, 3, "stored"), ReceiptRange(9, 9, "stored")],
    )


def test_a_refused_one_parts_a_range_and_keeps_its_reason() -> None:
    """A refused message among stored ones has a range and a reason of its own."""
    [receipt] = receipts_for([live(1), live(2, "refused", "no room"), live(3)])
    assert receipt.ranges == [
        ReceiptRange(1, 1, "stored"),
        ReceiptRange(2, 2, "refused", "no room"),
        ReceiptRange(3, 3, "stored"),
    ]


@given(st.lists(verdicts, max_size=80))
def test_receipts_say_exactly_the_verdicts(given_verdicts: list[Verdict]) -> None:
    """Spelled out again, the receipts of any verdicts are those verdicts, and a gateway can read each of them."""
    said = set()
    for receipt in receipts_for(given_verdicts):
        assert Receipt.from_bytes(receipt.to_bytes(), receipt.gateway) == receipt
        for part in receipt.ranges:
            for seq in range(part.first, part.last + 1):
                name = Name(receipt.gateway, receipt.epoch, receipt.lane, seq)
                said.add(Verdict(name, part.outcome, part.reason))
    assert said == set(given_verdicts)


def test_no_receipt_is_longer_than_the_contract_allows() -> None:
    """Many ranges with the longest and widest reasons become several receipts that a gateway can read."""
    refused = [live(2 * n, "refused", "\x01" * 2000) for n in range(1, RANGES_PER_RECEIPT + 2)]
    first, second = receipts_for(refused)
    assert (len(first.ranges), len(second.ranges)) == (RANGES_PER_RECEIPT, 1)
    assert Receipt.from_bytes(first.to_bytes(), "gw-1") == first


async def test_each_gateway_gets_its_own() -> None:
    """A receipt is published under the topic of its gateway and no other."""
    published = {}

    async def publish(topic: str, payload: bytes) -> None:
        published[topic] = payload

    await Receipts(publish).send([live(1), Verdict(Name("gw-2", EPOCH, Lane.LIVE, 1), "stored")])
    assert sorted(published) == ["anlan/v1/gw-1/receipt", "anlan/v1/gw-2/receipt"]
    assert Receipt.from_bytes(published["anlan/v1/gw-2/receipt"], "gw-2").gateway == "gw-2"


async def test_the_newest_head_goes_to_each_gateway_once() -> None:
    """With its next receipt, and again when there is a newer one: the gateway keeps it as a witness."""
    published: list[Receipt] = []
    heads: list[Head | None] = [None]

    async def publish(topic: str, payload: bytes) -> None:
        published.append(Receipt.from_bytes(payload, topic.split("/")[2]))

    receipts = Receipts(publish, lambda: heads[-1])
    for head in (None, Head("2026-11-25", "a" * 64), Head("2026-11-26", "b" * 64)):
        heads.append(head)
        for seq in (1, 2):
            await receipts.send([live(seq)])
        await receipts.send([Verdict(Name("gw-2", EPOCH, Lane.LIVE, 1), "stored")])
    told = [receipt.head.day if receipt.head else None for receipt in published]
    assert told == [None, None, None, "2026-11-25", None, "2026-11-25", "2026-11-26", None, "2026-11-26"]
