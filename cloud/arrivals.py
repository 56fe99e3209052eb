"""What the cloud makes of batch messages, without touching anything: bytes -> arrivals -> entries and verdicts."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from cloud.dead_letters import DeadLetter
from cloud.ledger import CONFLICT, Entry, Name, hash_of
from cloud.receipts import Verdict
from edge.contract.days import day_of
from edge.contract.messages import LANE_KIND, MAX_BODY, Batch, ContractError, decode_batch, decode_header, gateway_of

MAX_AHEAD_MS = 600_000  # a reading from further ahead is refused: its gateway's clock is wrong


class Arrival(Struct, frozen=True, kw_only=True):
    """A message as it was understood: with a `batch` to write, or with the `reason` why there is none.

    Without a `name` there is nothing that a receipt could say: the gateway, if there is one, keeps the message.
    """

    topic: str
    payload: bytes
    gateway: str | None = None
    name: Name | None = None
    hash: bytes = b""
    readings: int = 0
    batch: Batch | None = None
    reason: str = ""


def unpacked_size(payload: bytes) -> int:
    """Return how many bytes a message may unpack to, as its header says and the contract allows."""
    try:
        return max(len(payload), min(decode_header(payload).size, MAX_BODY))
    except ContractError:
        return len(payload)


def open_batch(topic_name: str, payload: bytes, now_ms: int) -> Arrival:
    """Understand a message that arrived under the topic of a batch; what is wrong with it is its `reason`."""
    arrival = Arrival(topic=topic_name, payload=payload, hash=hash_of(payload))
    try:
        arrival = replace(arrival, gateway=(gateway := gateway_of(topic_name)))
        header = decode_header(payload)
        if LANE_KIND[header.lane] == "batch":  # else the name belongs to a message of another kind
            arrival = replace(arrival, name=Name.of(gateway, header), readings=header.readings)
        _, batch = decode_batch(payload, gateway)
        _check_times(batch, now_ms)
    except ContractError as error:
        return replace(arrival, reason=str(error))
    return replace(arrival, batch=batch)


def is_conflict(arrival: Arrival, entry: Entry) -> bool:
    """Whether the ledger has other content under this name: a card was copied, or two agents have one identity."""
    return not entry.is_of(arrival.hash)


def judge(arrivals: Sequence[Arrival], entries: Mapping[Name, Entry]) -> tuple[list[Verdict], list[DeadLetter]]:
    """Return what to tell the gateways and what to keep for a person, by what the ledger says of each message."""
    verdicts, letters = [], []
    for each in arrivals:
        reason = each.reason
        if each.name:
            verdict = _verdict(each, each.name, entries[each.name])
            verdicts.append(verdict)
            reason = verdict.reason
        if reason:
            letters.append(DeadLetter(topic=each.topic, gateway=each.gateway, reason=reason, payload=each.payload))
    return verdicts, letters


def _verdict(arrival: Arrival, name: Name, entry: Entry) -> Verdict:
    if not is_conflict(arrival, entry):
        return Verdict(name, entry.outcome, entry.reason if entry.outcome == "refused" else "")
    return Verdict(name, "refused", CONFLICT)


def entry_of(arrival: Arrival, name: Name, *, refusal: str | None, received_at: int, expired: int = 0) -> Entry:
    """Return the ledger's entry for a new message; `refusal` is the series store's reason, if it refused.

    Readings that were past their time when they came count as stored, as all do that were stored and are past it now:
    to refuse them would keep them where things are kept for ever. The reason says how many they were.
    """
    reason = refusal or arrival.reason
    said = reason or (f"{expired} of its readings were past the time that they are kept" if expired else "")
    day = day_of(received_at if arrival.batch is None else min(min(block.times) for block in arrival.batch.blocks))
    return Entry(name, arrival.hash, arrival.readings, "refused" if reason else "stored", said, received_at, day)


def _check_times(batch: Batch, now_ms: int) -> None:
    latest = now_ms + MAX_AHEAD_MS
    if all(max(block.times) <= latest for block in batch.blocks):
        return
    device, taken_at = next((table.device, table.times[-1]) for table in batch.tables if table.times[-1] > latest)
    raise ContractError(f"{device}: taken {(taken_at - now_ms) // 60_000} min in the future: check the clock")
