"""Pure: where the models of a SunSpec device stand. Source: SunSpec Device Information Model Specification, 1.1, 4.

A device has, in its holding registers, the text "SunS" at one of three addresses. Behind it stands a chain of models,
each with a header of two registers, its id and the number of registers that follow, up to the id 0xFFFF. Which models a
device has, and so where each of them stands, differs by maker, options and firmware.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

STARTS: Final = (40_000, 50_000, 0)
MARKER: Final = (0x5375, 0x6E53)  # "SunS"
HEADER: Final = 2  # registers before the first one that the length counts
END: Final = 0xFFFF
MOST_MODELS: Final = 100  # real devices have up to 30 or so


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for `count` holding registers from `address` on."""

    address: int
    count: int


class Model(NamedTuple):
    """One model of a device: `address` is that of its header, `length` the number of registers after that."""

    id: int
    address: int
    length: int


Walk = Generator[Ask, Sequence[int] | None, list[Model]]


def locate_models(until: Collection[int] = ()) -> Walk:
    """Walk the chain: yields what to read, is sent the words, returns the models found, in order.

    Send None for a request that the device refuses. One that is not answered at all says nothing about the models: walk
    again later. The walk ends early at a model whose id is in `until`, and has an end whatever the device answers.
    """
    address = yield from _start()
    found: list[Model] = []
    while address is not None and address + HEADER <= 0x10000 and len(found) < MOST_MODELS:
        header = yield Ask(address, HEADER)
        if header is None or header[0] == END:
            break
        found.append(Model(header[0], address, header[1]))
        if header[0] in until:
            break
        address += HEADER + header[1]
    return found


def _start() -> Generator[Ask, Sequence[int] | None, int | None]:
    """Look for the marker; returns the address behind it, None where there is none."""
    for address in STARTS:
        words = yield Ask(address, len(MARKER))
        if words is not None and tuple(words) == MARKER:
            return address + len(MARKER)
    return None


def find_model(models: Iterable[Model], ids: Collection[int], *, least: int) -> Model | None:
    """The first model with one of these ids; None where there is none, or it is shorter than `least` registers.

    What lies behind a short model is the next one's: nothing of a profile may be read there.
    """
    model = next((model for model in models if model.id in ids), None)
    return model if model is not None and HEADER + model.length >= least else None
