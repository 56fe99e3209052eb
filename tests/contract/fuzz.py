"""Throws hostile bytes at every decoder for a while: ``python -m tests.contract.fuzz SECONDS SEED``.

Half of the inputs carry a true checksum and size, so that they get past the envelope into the bodies. Anything but
success or ContractError ends it with a traceback. The last line is JSON: inputs tried, how many were accepted,
and by how much the process grew, in KiB.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import sys
import time
import zlib
from collections.abc import Callable

from edge.contract.messages import (
    LANE_KIND,
    Batch,
    Body,
    ClockState,
    ContractError,
    DeviceLimits,
    Event,
    EventState,
    Flag,
    Inventory,
    Lane,
    Reading,
    Receipt,
    Severity,
    Status,
    decode_batch,
    decode_blob,
    decode_event,
    encode_batch,
    encode_blob,
    encode_event,
    gateway_of,
    seal,
    split_blob,
)

AT = 1_790_000_000_000
DECODERS: dict[str, Callable[[bytes, str], object]] = {
    "batch": decode_batch,
    "event": decode_event,
    "blob": decode_blob,
    "status": Status.from_bytes,
    "inventory": Inventory.from_bytes,
    "limits": DeviceLimits.from_bytes,
    "receipt": Receipt.from_bytes,
}
# MessagePack's claims of huge arrays, maps, strings and bytes; JSON's deep nesting; extreme numbers.
CLAIMS = [
    b"\xdd\x3b\x9a\xca\x00", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xc0", b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\x91" * 300, b"[" * 300,
    b'{"a":' * 100, b"1e999", b"-0.0", b"\xed\xa0\x80", b"\x00" * 64,
]  # fmt: skip


def seeds() -> dict[Lane, list[Body]]:
    """Valid bodies to begin from."""
    readings = []
    for k in range(12):
        values: dict[str, float] = {"depth": float(k), "energy_import": 2**40 + k, "voltage": 230.1 + k / 7}
        flag = Flag.SUSPECT if k % 5 == 4 else Flag.PASS
        readings += [Reading("meter-1", point, AT + k * 1000, value, flag) for point, value in values.items()]
    plain = Batch.of(
        readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds={"meter-1": "meter"}
    )
    event = Event(
        gateway="gw-1", id="0" * 32, revision=2, state=EventState.ENDED, class_code="WATERLOG.ROAD.2", device="road-1",
        severity=Severity.ORANGE, began_at=AT, updated_at=AT, ended_at=AT, value=163.0, readings=readings[:6],
    )  # fmt: skip
    pieces = split_blob("gw-1", random.Random(0).randbytes(40_000), "image/jpeg")
    return {
        Lane.LIVE: [encode_batch(plain)],
        Lane.BACKLOG: [encode_batch(plain)],
        Lane.EVENTS: [encode_event(event)],
        Lane.BLOBS: [encode_blob(piece) for piece in pieces],
    }


def mutate(data: bytes, rnd: random.Random) -> bytes:
    """Flip, cut, repeat, insert: a few small wounds."""
    wounded = bytearray(data)
    for _ in range(rnd.randint(1, 6)):
        at = rnd.randrange(len(wounded) + 1)
        match rnd.randrange(6):
            case 0:
                wounded[at : at + 1] = rnd.randbytes(1)
            case 1:
                del wounded[at : at + rnd.randint(1, 40)]
            case 2:
                wounded[at:at] = rnd.choice(CLAIMS)
            case 3:
                wounded[at : at + 8] = rnd.choice(CLAIMS)
            case 4:
                wounded[at:at] = wounded[at : at + rnd.randint(1, 200)]
            case 5:
                wounded = wounded[: max(at, 1)]
    return bytes(wounded)


def attack(rnd: random.Random, bodies: dict[Lane, list[Body]]) -> tuple[str, bytes]:
    """Return one hostile payload and the kind it claims to be."""
    lane = rnd.choice(list(bodies))
    body = rnd.choice(bodies[lane])
    match rnd.randrange(5):
        case 0:
            return rnd.choice(list(DECODERS)), rnd.randbytes(rnd.randrange(200))
        case 1:
            return LANE_KIND[lane], mutate(seal(body, lane=lane, epoch="00" * 8, seq=1), rnd)
        case 2:
            document = {"v": 1, "gateway": "gw-1", "epoch": "00" * 8, "lane": 1, "ranges": [[1, 2]], "session": "0"}
            document |= {"device": "m", "points": [{"point": "a", "limits": [{"test": 32, "high": 1.5}]}]}
            return rnd.choice(["status", "inventory", "limits", "receipt"]), mutate(json.dumps(document).encode(), rnd)
        case _:
            plain = mutate(zlib.decompress(body.data) if body.compression else body.data, rnd)
            readings = rnd.choice([body.readings, rnd.randrange(2**32)])
            hostile = Body(readings, 1, rnd.choice([len(plain)] * 9 + [2**32 - 1]), zlib.compress(plain, 1))
            return LANE_KIND[lane], seal(hostile, lane=lane, epoch="00" * 8, seq=1)


def refusal(kind: str, payload: bytes) -> str:
    """Return the sentence with which a payload is refused, empty when it is accepted."""
    try:
        DECODERS[kind](payload, "gw-1")
    except ContractError as error:
        return str(error)
    return ""


def main(seconds: float, seed: int) -> None:
    """Attack until the time is over."""
    rnd = random.Random(seed)
    bodies = seeds()
    tried = accepted = 0
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kind, payload = attack(rnd, bodies)
        tried += 1
        sentence = refusal(kind, payload)
        accepted += sentence == ""
        assert "\n" not in sentence, f"more than one line: {sentence!r}"
        assert len(sentence) < 500, f"too long: {sentence!r}"
        with contextlib.suppress(ContractError):
            gateway_of(mutate(b"anlan/v1/gw-1/batch", rnd).decode("utf-8", "replace"))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    sys.stdout.write(json.dumps({"tried": tried, "accepted": accepted, "grown_kib": grown_kib}) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
