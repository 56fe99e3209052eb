"""Dead letters: what was not taken is kept for a person, once, and within bounds."""

import pytest

from cloud import dead_letters
from cloud.database import Database
from cloud.dead_letters import CLIP, DeadLetter, KeptLetter, find, forget_waiting, keep, newest, unregistered


def letter(payload: bytes, *, gateway: str | None = "gw-1", reason: str = "not an Anlan message") -> DeadLetter:
    return DeadLetter(topic=f"anlan/v1/{gateway}/batch", gateway=gateway, reason=reason, payload=payload)


def keep_at(database: Database, now_ms: int, *letters: DeadLetter) -> None:
    database.write_now(lambda connection: keep(connection, letters, now_ms=now_ms))


def kept(database: Database, gateway: str | None = None) -> list[KeptLetter]:
    return database.read_now(lambda connection: newest(connection, limit=100, gateway=gateway))


def test_a_letter_is_kept_with_reason_and_origin(database: Database) -> None:
    """Everything that a person needs to understand a letter is kept with it."""
    keep_at(database, 5, letter(b"junk"))
    [found] = kept(database)
    assert found == KeptLetter(
        id=found.id, topic="anlan/v1/gw-1/batch", gateway="gw-1", reason="not an Anlan message", payload=b"junk",
        size=4, count=1, first_at=5, last_at=5, waiting=False,
    )  # fmt: skip
    assert database.read_now(lambda connection: find(connection, found.id)) == found
    assert database.read_now(lambda connection: find(connection, found.id + 1)) is None


def test_what_waits_for_registration_is_told_apart(database: Database) -> None:
    """A letter of an unregistered gateway waits; once that is registered, the letter has done its work."""
    keep_at(database, 5, letter(b"early", reason=unregistered("gw-1")), letter(b"junk"))
    assert {found.payload: found.waiting for found in kept(database)} == {b"early": True, b"junk": False}
    database.write_now(lambda connection: forget_waiting(connection, ["gw-1", "gw-2"]))
    assert [found.payload for found in kept(database)] == [b"junk"]


def test_the_same_content_is_counted_not_kept_again(database: Database) -> None:
    """A message that is sent for ever takes one place, and tells how often and when it came, and why not last time."""
    keep_at(database, 5, letter(b"junk"), letter(b"junk"))
    keep_at(database, 9, letter(b"junk", reason="still junk"))
    [found] = kept(database)
    assert (found.count, found.first_at, found.last_at, found.reason) == (3, 5, 9, "still junk")


def test_the_same_content_of_two_gateways_is_two_letters(database: Database) -> None:
    """Letters of one gateway can be asked for alone."""
    keep_at(database, 5, letter(b"junk"), letter(b"junk", gateway="gw-2"), letter(b"junk", gateway=None))
    assert [found.gateway for found in kept(database)] == [None, "gw-2", "gw-1"]
    assert [found.gateway for found in kept(database, "gw-2")] == ["gw-2"]


def test_a_long_payload_is_clipped_and_its_size_told(database: Database) -> None:
    """Only the beginning of a message beyond the contract is kept; two that differ later are two."""
    keep_at(database, 5, letter(b"x" * CLIP + b"1"), letter(b"x" * CLIP + b"2"))
    assert [(len(found.payload), found.size) for found in kept(database)] == [(CLIP, CLIP + 1)] * 2


def test_the_longest_unseen_make_room(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the number of letters allowed, those that were not seen for the longest time go."""
    monkeypatch.setattr(dead_letters, "MAX_LETTERS", 3)
    monkeypatch.setattr(dead_letters, "SWEEP_EVERY", 1)
    for now_ms in range(5):
        keep_at(database, now_ms, letter(b"%d" % now_ms))
    keep_at(database, 5, letter(b"2"), letter(b"6"))
    assert [found.payload for found in kept(database)] == [b"6", b"2", b"4"]


def test_large_letters_make_room_sooner(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of the largest messages goes over the bytes allowed by a few letters only."""
    monkeypatch.setattr(dead_letters, "MAX_BYTES", 3 * CLIP)
    for now_ms in range(20):
        keep_at(database, now_ms, letter(b"%2d" % now_ms + b"x" * (CLIP - 2)))
        assert len(kept(database)) < 3 + dead_letters.SWEEP_EVERY_LARGE
    assert all(found.is_whole for found in kept(database))


def test_the_bytes_kept_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the bytes allowed, the oldest go, however few there are."""
    monkeypatch.setattr(dead_letters, "MAX_BYTES", 100)
    monkeypatch.setattr(dead_letters, "SWEEP_EVERY", 1)
    keep_at(database, 1, letter(b"a" * 60))
    keep_at(database, 2, letter(b"b" * 60))
    keep_at(database, 3, letter(b"c" * 40))
    assert [found.payload[:1] for found in kept(database)] == [b"c", b"b"]


def test_a_flood_is_bounded_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is made once in a while, not at each letter; so there are never more than that many too many."""
    monkeypatch.setattr(dead_letters, "MAX_LETTERS", 10)
    monkeypatch.setattr(dead_letters, "SWEEP_EVERY", 5)
    counts = []
    for now_ms in range(60):
        keep_at(database, now_ms, letter(b"%d" % now_ms))
        counts.append(len(kept(database)))
    assert max(counts) == 14
