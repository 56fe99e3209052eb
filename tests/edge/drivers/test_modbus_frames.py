"""The comparison of an answer with its request, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.drivers.modbus_frames import WrongAnswerError
from edge.drivers.modbus_frames import is_tcp_answer as is_answer

REQUEST = bytes.fromhex("1234 0000 0006 07 04 0034 0002")
ANSWER = bytes.fromhex("1234 0000 0007 07 04 04 4364 199a")
EXCEPTION = bytes.fromhex("1234 0000 0003 07 84 02")
BITS_REQUEST = bytes.fromhex("0001 0000 0006 01 02 0000 0009")
BITS_ANSWER = bytes.fromhex("0001 0000 0005 01 02 02 ff01")


@pytest.mark.parametrize(("request_", "answer"), [(REQUEST, ANSWER), (REQUEST, EXCEPTION), (BITS_REQUEST, BITS_ANSWER)])
def test_the_right_answer_is_known_once_it_is_whole(request_: bytes, answer: bytes) -> None:
    """Every true beginning says "not yet", the whole says "yes", one byte more is refused."""
    assert not any(is_answer(request_, answer[:size]) for size in range(len(answer)))
    assert is_answer(request_, answer)
    with pytest.raises(WrongAnswerError, match="bytes behind the answer: 1"):
        is_answer(request_, answer + b"\0")


@pytest.mark.parametrize(
    ("answer", "difference"),
    [
        ("1235 0000 0007 07 04 04 4364 199a", "transaction id 0x1235 instead of 0x1234"),
        ("0000 0000 0007 07 04 04 4364 199a", "transaction id 0x0000 instead of 0x1234"),
        ("1234 0001 0007 07 04 04 4364 199a", "protocol id 0x0001 instead of 0x0000"),
        ("1234 0000 0007 08 04 04 4364 199a", "unit 0x08 instead of 0x07"),
        ("1234 0000 0007 07 03 04 4364 199a", "function 3 instead of 4"),
        ("1234 0000 0003 07 83 02", "function 131 instead of 4"),
        ("1234 0000 0005 07 04 02 4364", "byte count 0x02 instead of 0x04"),
        ("1234 0000 0007 07 04 02 4364 199a", "byte count 0x02 instead of 0x04"),
        ("1234 0000 0007 07 04 06 4364 199a", "byte count 0x06 instead of 0x04"),
        ("1234 0000 0009 07 04 04 4364 199a 0000", "length 0x0009 instead of 0x0007"),
        ("1234 0000 0004 07 84 02 00", "length 0x0004 instead of 0x0003"),
    ],
)
def test_an_answer_that_differs_is_refused_with_the_difference(answer: str, difference: str) -> None:
    """A wrong field is named with what came and what was expected."""
    with pytest.raises(WrongAnswerError, match=difference):
        is_answer(REQUEST, bytes.fromhex(answer))


@given(st.binary(max_size=300))
@example(REQUEST)
def test_random_bytes_are_never_an_answer_unless_fully_valid(received: bytes) -> None:
    """Whatever comes is refused or waited for, unless each field is what it must be."""
    _only_valid(REQUEST, received)


@given(st.sampled_from([ANSWER, EXCEPTION]), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 255)), max_size=3))
def test_damaged_answers_are_never_an_answer_unless_fully_valid(answer: bytes, damage: list[tuple[int, int]]) -> None:
    """A right answer with up to three bytes changed passes only where just data bytes have changed."""
    damaged = bytearray(answer)
    for place, value in damage:
        damaged[place % len(damaged)] = value
    _only_valid(REQUEST, bytes(damaged))


def _only_valid(request: bytes, received: bytes) -> None:
    try:
        accepted = is_answer(request, received)
    except WrongAnswerError:
        return
    if accepted:
        head, tail = received[:9], received[9:]
        is_data = head == ANSWER[:9] and len(tail) == 4
        is_exception = head[:8] == EXCEPTION[:8] and not tail
        assert is_data or is_exception
