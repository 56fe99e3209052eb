"""What may be on its way to the cloud at one time, and what goes again."""

from edge.contract.messages import Lane
from edge.window import FIRST_TIMEOUT_S, LAST_TIMEOUT_S, MAX_BYTES, SendWindow


def filled(lane: Lane, count: int, size: int = 100) -> SendWindow:
    window = SendWindow()
    for message_id in range(1, count + 1):
        assert window.has_room(lane, size)
        window.add(message_id, lane, size, now=0.0)
    return window


def test_backlog_leaves_room_for_events() -> None:
    """Twelve messages of backlog fill their part; four events still go, then nothing."""
    window = filled(Lane.BACKLOG, 12)
    assert not window.has_room(Lane.BACKLOG, 1)
    assert not window.has_room(Lane.LIVE)
    for message_id in range(100, 104):
        assert window.has_room(Lane.EVENTS, 100)
        window.add(message_id, Lane.EVENTS, 100, now=0.0)
    assert not window.has_room(Lane.EVENTS, 1)


def test_bytes_are_bounded_too() -> None:
    """192 KiB of live batches fill their part, 256 KiB fill all."""
    window = filled(Lane.LIVE, 3, 64 * 1024)
    assert not window.has_room(Lane.BLOBS, 1)
    assert window.has_room(Lane.EVENTS, 64 * 1024)
    assert not window.has_room(Lane.EVENTS, 64 * 1024 + 1)


def test_events_alone_may_fill_all() -> None:
    """Sixteen events are on their way at once, not more."""
    assert not filled(Lane.EVENTS, 16).has_room(Lane.EVENTS)


def test_a_message_larger_than_its_part_goes_alone() -> None:
    """The largest message that the contract allows is sent when nothing else of its part is on its way."""
    assert SendWindow().has_room(Lane.BACKLOG, MAX_BYTES)
    window = filled(Lane.BACKLOG, 1)
    assert not window.has_room(Lane.BACKLOG, MAX_BYTES)


def test_the_timeout_runs_from_the_brokers_ack_and_doubles() -> None:
    """5 s after the PUBACK a message is due again, then after 10 s, and so on up to 5 minutes."""
    window = filled(Lane.LIVE, 1)
    assert window.next_due_at() == LAST_TIMEOUT_S
    now, waited = 0.0, []
    for _ in range(8):
        window.at_broker(1, now=now)
        due_at = window.next_due_at()
        assert due_at is not None
        assert window.due(now=due_at - 0.1) == []
        assert window.due(now=due_at) == [1]
        waited.append(due_at - now)
        now = due_at
        window.send_again(1, now=now)
    assert waited == [5, 10, 20, 40, 80, 160, 300, 300]


def test_events_go_again_first() -> None:
    """What is due goes in the order of the lanes."""
    window = SendWindow()
    for message_id, lane in enumerate((Lane.BACKLOG, Lane.BLOBS, Lane.LIVE, Lane.EVENTS), start=1):
        window.add(message_id, lane, 1, now=0.0)
    assert window.due(now=LAST_TIMEOUT_S) == [4, 3, 2, 1]


def test_a_receipt_makes_room() -> None:
    """What has its receipt, or is no longer kept, is forgotten; an unknown id is harmless."""
    window = filled(Lane.LIVE, 12)
    window.remove([1, 99], now=1.0)
    assert window.has_room(Lane.LIVE)
    assert 1 not in window
    window.at_broker(1, now=2.0)
    assert 1 not in window


def test_the_cloud_is_back() -> None:
    """A receipt for a repeated message makes all others that were repeated due at once; a first receipt does not."""
    window = filled(Lane.LIVE, 3)
    for message_id in (1, 2):
        window.send_again(message_id, now=10.0)
        window.at_broker(message_id, now=10.0)
    window.at_broker(3, now=10.0)
    window.remove([3], now=11.0)
    assert window.due(now=11.0) == []
    window.remove([1], now=12.0)
    assert window.due(now=12.0) == [2]
    window.send_again(2, now=12.0)
    window.at_broker(2, now=12.0)
    assert window.next_due_at() == 12.0 + 2 * FIRST_TIMEOUT_S
