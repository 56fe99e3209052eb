"""What may be on its way to the cloud at one time, and what goes again."""

from edge.contract.messages import Lane
from edge.pacing import LEAST
from edge.window import FIRST_TIMEOUT_S, LAST_TIMEOUT_S, MAX_BYTES, MAX_PACED_MESSAGES, SendWindow


def filled(lane: Lane, count: int, size: int = 100) -> SendWindow:
    window = SendWindow()
    for message_id in range(1, count + 1):
        assert window.has_room(lane, size)
        window.add(message_id, lane, size, now=0.0)
    return window


def paced_up() -> SendWindow:
    """A window that has had quick receipts for so much backlog that it may use all of its part."""
    window = SendWindow()
    for message_id in range(100):
        window.add(message_id, Lane.BACKLOG, 100, now=0.0)
        window.receipt([message_id], now=0.0)
    return window


def fill(window: SendWindow, lane: Lane, size: int = 100) -> int:
    """Send as many of a lane as may go; return how many."""
    count = 0
    while window.has_room(lane, size):
        count += 1
        window.add(1000 * (lane + 1) + count, lane, size, now=0.0)
    return count


def test_backlog_leaves_room_for_live_and_live_for_events() -> None:
    """Ten messages of backlog fill their part; two live ones still go, then four events, then nothing."""
    window = paced_up()
    assert [fill(window, lane) for lane in (Lane.BACKLOG, Lane.BLOBS, Lane.LIVE, Lane.EVENTS)] == [10, 0, 2, 4]


def test_backlog_begins_with_one_message() -> None:
    """Before anything is known of the cloud, one message of backlog or pictures is on its way at a time."""
    assert round(LEAST * MAX_PACED_MESSAGES) == 1
    window = SendWindow()
    assert [fill(window, lane) for lane in (Lane.BACKLOG, Lane.BLOBS, Lane.LIVE, Lane.EVENTS)] == [1, 0, 11, 4]


def test_a_repeated_message_says_nothing_of_the_pace() -> None:
    """Nobody knows which of its two sendings a receipt is for; that it had to go again lets backlog begin again."""
    window = paced_up()
    assert fill(window, Lane.BACKLOG) == 10
    window.send_again(4001, now=6.0)
    window.receipt(range(4001, 4011), now=6.0)
    assert fill(window, Lane.BACKLOG) == 1


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
    assert not window.has_room(Lane.LIVE, MAX_BYTES)


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
    window.receipt([1, 99], now=1.0)
    assert window.has_room(Lane.LIVE)
    assert 1 not in window
    window.drop(2)
    assert 2 not in window
    window.at_broker(1, now=2.0)
    assert 1 not in window


def test_the_cloud_is_back() -> None:
    """A receipt for a repeated message makes all others that were repeated due at once; a first receipt does not."""
    window = filled(Lane.LIVE, 3)
    for message_id in (1, 2):
        window.send_again(message_id, now=10.0)
        window.at_broker(message_id, now=10.0)
    window.at_broker(3, now=10.0)
    window.receipt([3], now=11.0)
    assert window.due(now=11.0) == []
    window.receipt([1], now=12.0)
    assert window.due(now=12.0) == [2]
    window.send_again(2, now=12.0)
    window.at_broker(2, now=12.0)
    assert window.next_due_at() == 12.0 + 2 * FIRST_TIMEOUT_S
