"""The sum of an account: where readings are, by what the gateway says and what the ledger has. It always adds up."""

from msgspec import Struct


class Figures(Struct, frozen=True, kw_only=True):
    """Where readings are: taken = unchanged + stored + refused + pending + given_up + missing, none below 0."""

    taken: int
    unchanged: int
    stored: int
    refused: int
    pending: int
    given_up: int
    missing: int

    def __add__(self, other: "Figures") -> "Figures":
        """Return both together."""
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


NOTHING = Figures(taken=0, unchanged=0, stored=0, refused=0, pending=0, given_up=0, missing=0)


class Said(Struct, frozen=True, kw_only=True):
    """What the gateway says of some of its readings; `waiting` is None where it does not count what waits."""

    taken: int = 0
    unchanged: int = 0
    set_aside: int = 0  # refused by the cloud
    waiting: int | None = 0
    given_up: int = 0


class Came(Struct, frozen=True, kw_only=True):
    """What the ledger has of the same readings; `settled` are those of `stored` that were refused first."""

    stored: int = 0
    refused: int = 0
    settled: int = 0


def figures_of(said: Said, came: Came) -> Figures:
    """Put both together.

    What came was taken, whatever the gateway says, and what it gave up but the cloud had stored counts as stored. What
    it has set aside as refused counts as refused also where the ledger could not tell to which day it belongs.
    """
    arrived = came.stored + came.refused
    taken = max(said.taken, said.unchanged + arrived)
    absent = taken - said.unchanged - arrived
    pending = absent if said.waiting is None else min(said.waiting, absent)
    given_up = min(said.given_up, absent - pending)
    set_aside = min(max(0, said.set_aside - came.refused - came.settled), absent - pending - given_up)
    return Figures(
        taken=taken,
        unchanged=said.unchanged,
        stored=came.stored,
        refused=came.refused + set_aside,
        pending=pending,
        given_up=given_up,
        missing=absent - pending - given_up - set_aside,
    )
