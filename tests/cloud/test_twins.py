"""Two gateways of one name are told by what they say of their outboxes, and a gateway that goes on never is."""

from hypothesis import given
from hypothesis import strategies as st

from cloud.twins import FORGET_MS, TURNS, Turns, follow, is_there_twice
from edge.contract.messages import ClockState, Counts, EpochState, Status

MINUTE = 60_000
NOW = 1_790_000_000_000


def status(*epochs: int) -> Status:
    """What an agent says whose outbox has had these epochs, the current one first."""
    return Status(
        gateway="gw-1",
        session="aa",
        online=True,
        sent_at=NOW,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[EpochState(f"{epoch:016x}", {}, Counts()) for epoch in epochs],
    )


def follow_all(*said: Status, every_ms: int = MINUTE) -> tuple[Turns, int]:
    """Return what is known after these, and when that is."""
    turns, known, now_ms = Turns(), None, NOW
    for each in said:
        now_ms += every_ms
        turns, known = follow(turns, known, each, now_ms=now_ms), each
    return turns, now_ms


def test_two_outboxes_that_take_turns_are_two_gateways() -> None:
    """A copy of a card begins an epoch of its own, and does not know that of the first: they push each other out."""
    first, copy = status(1, 9), status(2, 9)
    for count, seen in ((2, False), (3, False), (4, True)):
        turns, now_ms = follow_all(*[first, copy, first, copy][:count])
        assert is_there_twice(turns, now_ms=now_ms) is seen, count


def test_a_card_that_was_changed_and_put_back_is_one_gateway() -> None:
    """A spare card takes the place of the first, and the first that of the spare: nothing is there twice."""
    turns, now_ms = follow_all(status(1), status(2), status(2), status(1), status(1))
    assert turns.turns < TURNS
    assert not is_there_twice(turns, now_ms=now_ms)


def test_it_is_forgotten_when_it_is_over() -> None:
    """An hour after the last turn nothing is said any more; turns that are hours apart do not add up."""
    turns, now_ms = follow_all(*[status(1), status(2)] * 3)
    assert is_there_twice(turns, now_ms=now_ms + FORGET_MS)
    assert not is_there_twice(turns, now_ms=now_ms + FORGET_MS + 1)
    turns, now_ms = follow_all(*[status(1), status(2)] * 3, every_ms=FORGET_MS + 1)
    assert not is_there_twice(turns, now_ms=now_ms)


@given(st.lists(st.sampled_from(["go on", "restart", "crash", "new card"]), max_size=30))
def test_one_gateway_is_never_taken_for_two(steps: list[str]) -> None:
    """Whatever one gateway goes through, it never comes back to an outbox that it has left."""
    epochs, said = [0], []
    for number, step in enumerate(steps, start=1):
        if step in ("crash", "new card"):
            epochs = [number, *(epochs if step == "crash" else [])][:16]
        said.append(status(*epochs))
    turns, now_ms = follow_all(*said)
    assert not is_there_twice(turns, now_ms=now_ms)
