"""The code by which anybody can follow a case, like a parcel; twelve random letters and digits, so nobody guesses one.

It is written in three groups, `7K3M-9QXW-2HPD`, and read however a person types it: without the dashes, in small
letters, with O for 0 and I or L for 1.
"""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter that looks like a digit, no U."""
LENGTH = 12
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def new_case_code() -> str:
    """Return a new code, 60 random bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def show_case_code(code: str) -> str:
    """Return the code as people write it, in groups of four."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def read_case_code(typed: str) -> str | None:
    """Return the code that a person typed, or None for what is no code."""
    code = typed.strip().upper().translate(_MISREAD)
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else None
