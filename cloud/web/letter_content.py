"""What is in a dead letter, as far as it can be told without trusting it: header, content, or its bare bytes.

Nothing here is larger than a page: a letter keeps at most 16 KiB, a body unpacks to at most 1 MiB, and of the readings
in it only the first are shown.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import msgspec
from msgspec import Struct

from cloud.dead_letters import KeptLetter
from cloud.web.words import N_
from edge.contract.messages import (
    Batch,
    ContractError,
    Header,
    Reading,
    decode_batch,
    decode_blob,
    decode_event,
    decode_header,
)

MOST_READINGS = 100
MOST_TEXT = 4000  # characters
MOST_BYTES = 1024  # in the dump
BYTES_PER_LINE = 16
PLAIN = frozenset({"status", "inventory", "limits"})


class Content(Struct, frozen=True, kw_only=True):
    """What could be told of a letter; `problem` is why its body could not be understood. Names of facts are sources."""

    header: Header | None = None
    facts: dict[str, str] = {}
    readings: list[Reading] = []
    more_readings: int = 0
    text: str = ""
    problem: str = ""
    dump: list[str] = []
    more_bytes: int = 0


def look_into(letter: KeptLetter) -> Content:
    """Return what can be told of a letter; its bytes where that is nothing."""
    if letter.kind in PLAIN:
        return _plain(letter)
    try:
        header = decode_header(letter.payload)
    except ContractError as error:
        return _bare(letter, str(error))
    opened = BODIES.get(letter.kind)
    if opened is None or letter.gateway is None:
        return _bare(letter, "", header)
    try:
        return opened(letter.payload, letter.gateway)
    except ContractError as error:
        return _bare(letter, str(error), header)


def _batch(payload: bytes, gateway: str) -> Content:
    header, batch = decode_batch(payload, gateway)
    readings = list(islice(batch.readings(), MOST_READINGS))
    facts = {N_("configuration"): batch.config_hash, N_("clock"): batch.clock.value, N_("devices"): _devices(batch)}
    return Content(header=header, facts=facts, readings=readings, more_readings=max(0, header.readings - len(readings)))


def _devices(batch: Batch) -> str:
    named = [f"{device} ({kind})" for device, kind in batch.kinds.items()]
    return ", ".join(named)[:MOST_TEXT]


def _event(payload: bytes, gateway: str) -> Content:
    header, event = decode_event(payload, gateway)
    without = msgspec.structs.replace(event, readings=[])
    return Content(header=header, text=_indented(msgspec.json.encode(without)), readings=event.readings)


def _blob(payload: bytes, gateway: str) -> Content:
    header, piece = decode_blob(payload, gateway)
    facts = {
        N_("picture"): piece.name,
        N_("media type"): piece.media_type,
        N_("piece"): f"{piece.index + 1} / {piece.count}",
        N_("bytes of the whole"): str(piece.size),
    }
    return Content(header=header, facts=facts)


BODIES: Mapping[str, Callable[[bytes, str], Content]] = {"batch": _batch, "event": _event, "blob": _blob}


def _plain(letter: KeptLetter) -> Content:
    try:
        return Content(text=_indented(letter.payload))
    except (msgspec.DecodeError, RecursionError) as error:
        return _bare(letter, str(error))


def _indented(document: bytes) -> str:
    return msgspec.json.format(document, indent=1).decode(errors="replace")[:MOST_TEXT]


def _bare(letter: KeptLetter, problem: str, header: Header | None = None) -> Content:
    shown = letter.payload[:MOST_BYTES]
    return Content(header=header, problem=problem, dump=list(_lines(shown)), more_bytes=letter.size - len(shown))


def _lines(data: bytes) -> Iterator[str]:
    """Give the lines of a dump: where, sixteen bytes in hexadecimal, the same as text."""
    for start in range(0, len(data), BYTES_PER_LINE):
        line = data[start : start + BYTES_PER_LINE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in line)
        yield f"{start:06x}  {line.hex(' '):<{BYTES_PER_LINE * 3 - 1}}  {text}"
