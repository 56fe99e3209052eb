"""Wrong passwords: how long they keep an address out, and that remembering them stays bounded."""

from __future__ import annotations

from base64 import b64encode

import pytest

from edge.drivers.cameras import Refused
from edge.drivers.cameras.access import MOST_ADDRESSES, WITHIN_S, WRONG_TRIES, Access, TooManyTriesError

SECRETS = {"cam-1": b"secret"}
RIGHT = "Basic " + b64encode(b"cam-1:secret").decode()
WRONG = "Basic " + b64encode(b"cam-1:guess").decode()


def status(access: Access, authorization: str, address: str = "192.0.2.1") -> int:
    try:
        access.camera(authorization, address)
    except Refused:
        return 401
    except TooManyTriesError:
        return 429
    return 200


def test_an_address_is_heard_again_after_a_minute() -> None:
    """Five wrong passwords close an address for a minute counted from the first; others are not concerned."""
    now = 0.0
    access = Access(SECRETS, seconds=lambda: now)
    assert [status(access, WRONG) for _ in range(WRONG_TRIES + 1)] == [401] * WRONG_TRIES + [429]
    assert (status(access, RIGHT), status(access, RIGHT, "192.0.2.2")) == (429, 200)
    now = WITHIN_S
    assert status(access, RIGHT) == 200


def test_a_right_password_makes_up_for_wrong_ones() -> None:
    """A mistyped password that is then put right does not add up."""
    access = Access(SECRETS)
    for _ in range(WRONG_TRIES):
        assert [status(access, WRONG), status(access, WRONG), status(access, RIGHT)] == [401, 401, 200]


def test_many_addresses_take_bounded_memory() -> None:
    """However many addresses guess, only so many are remembered."""
    access = Access(SECRETS)
    for number in range(MOST_ADDRESSES * 2):
        status(access, WRONG, str(number))
    assert len(access.tries._wrong) == MOST_ADDRESSES


@pytest.mark.parametrize("name", ["cam-2", "", "CAM-1"])
def test_an_unknown_camera_is_refused_with_any_password(name: str) -> None:
    """No password belongs to a camera that this gateway does not have."""
    header = "Basic " + b64encode(f"{name}:no camera has this password".encode()).decode()
    assert status(Access(SECRETS), header) == 401
