"""Gateway and cloud with a bug in them, each of a kind that has lost data somewhere, to see that the proof finds it.

    python -m tests.chaos.seeded outbox edge run --config gateway.yaml

runs ``python -m edge run`` with the bug ``outbox``. A bug of one side leaves the other as it is.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection, select

from edge.contract.messages import Receipt, ReceiptRange


def forget_at_the_brokers_ack() -> None:
    """Let the outbox forget on the broker's PUBACK, as if a broker never lost anything."""
    from edge.drain import Drain  # noqa: PLC0415 -- the other side may not have it
    from edge.outbox import Waiting  # noqa: PLC0415

    send = Drain._send

    async def send_and_forget(self: Drain, waiting: Waiting) -> None:
        await send(self, waiting)
        epoch, lane, seq = waiting.name
        receipt = Receipt(gateway=self._gateway, epoch=epoch, lane=lane, ranges=[ReceiptRange(seq, seq, "stored")])
        await self._honour(receipt.to_bytes())

    setattr(Drain, "_send", send_and_forget)  # noqa: B010 -- a method is not assigned to, says mypy


def receipt_one_too_many() -> None:
    """Let each range of a receipt end one message later than what was stored."""
    to_bytes = Receipt.to_bytes

    def one_more(self: Receipt) -> bytes:
        return to_bytes(replace(self, ranges=[replace(one, last=one.last + 1) for one in self.ranges]))

    setattr(Receipt, "to_bytes", one_more)  # noqa: B010


def know_without_the_epoch() -> None:
    """Let the ledger know a message by gateway, lane and number alone, as if an epoch had no part in its name."""
    from cloud import ledger  # noqa: PLC0415

    known = ledger.known

    def known_in_any_epoch(
        connection: Connection, names: Collection[ledger.Name]
    ) -> Mapping[ledger.Name, ledger.Entry]:
        found = known(connection, names)
        columns = ledger.ledger.c
        for name in set(names) - set(found):
            of_other_epochs = (columns.gateway == name.gateway, columns.lane == name.lane, columns.seq == name.seq)
            for epoch in connection.scalars(select(columns.epoch).where(*of_other_epochs)).all():
                other = name._replace(epoch=epoch)
                found[name] = known(connection, [other])[other]
        return found

    setattr(ledger, "known", known_in_any_epoch)  # noqa: B010


BUGS: Final[Mapping[str, tuple[str, Callable[[], None]]]] = {
    "outbox": ("edge", forget_at_the_brokers_ack),
    "receipts": ("cloud", receipt_one_too_many),
    "ledger": ("cloud", know_without_the_epoch),
}
"""Name -> the package that has the bug, and what puts it there."""


def main() -> None:
    """Put the bug in and run the program."""
    bug, *sys.argv = sys.argv[1:]
    package, put_in = BUGS[bug]
    if sys.argv[0] == package:
        put_in()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
