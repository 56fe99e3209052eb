"""The code of a case: cannot be guessed, can be typed."""

import pytest

from cloud.workorders.case_codes import new_case_code, read_case_code, show_case_code


def test_a_code_is_read_as_it_is_shown() -> None:
    """Codes differ, and each comes back from its written form."""
    codes = {new_case_code() for _ in range(100)}
    assert len(codes) == 100
    assert all(read_case_code(show_case_code(code)) == code for code in codes)


@pytest.mark.parametrize("typed", ["7k3m 9qxw 2hpd", " 7K3M-9QXW-2HPD ", "7K3M9QXW2HPD"])
def test_a_person_may_type_it_their_way(typed: str) -> None:
    """Blanks, dashes and small letters do not matter."""
    assert read_case_code(typed) == "7K3M9QXW2HPD"


def test_letters_that_look_like_digits_are_digits() -> None:
    """O is 0, I and L are 1."""
    assert read_case_code("OIL1-0000-0000") == "011100000000"


@pytest.mark.parametrize(
    "typed", ["", "WO-000042", "7K3M-9QXW-2HPU", "7K3M-9QXW-2HP", "7K3M9QXW2HPDD", "七K3M9QXW2HPD"]
)
def test_what_is_no_code_is_none(typed: str) -> None:
    """Too short, too long or with another letter: no code."""
    assert read_case_code(typed) is None
