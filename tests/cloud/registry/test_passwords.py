"""What is kept of a password, and what comparing with it tells."""

import re

import pytest

from cloud.registry.passwords import PasswordChecker

PASSWORD = "a quiet river in May"


async def test_what_is_kept_is_costly_to_guess_from() -> None:
    """Argon2id with 64 MiB and three passes, and another salt each time."""
    kept = [await PasswordChecker().hash(PASSWORD, "wang") for _ in range(2)]
    for each in kept:
        assert re.match(r"\$argon2id\$v=19\$m=65536,t=3,p=4\$", each)
    assert kept[0] != kept[1]


@pytest.mark.parametrize("typed", [PASSWORD, PASSWORD.replace("quiet", "ｑuiet")])
async def test_the_password_alone_is_right(typed: str) -> None:
    """However a keyboard sends it; another one is wrong, and any is where nothing is kept."""
    checker = PasswordChecker()
    kept = await checker.hash(PASSWORD, "wang")
    assert await checker.is_right(kept, typed)
    assert not await checker.is_right(kept, f"{typed}.")
    assert not await checker.is_right(None, "nobody has this password")
