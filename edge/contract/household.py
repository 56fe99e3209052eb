"""Which devices are those of a household, told by their id alone: `hh-` and twelve characters of chance.

So an id says nothing about who lives where, and whoever keeps readings knows without asking which of them to keep apart
and for a short time only. A device that becomes a household's gets a new id; no history moves.
"""

import re
import secrets
from typing import Annotated

from pydantic import AfterValidator

from edge.contract.forms import Id

PREFIX = "hh-"
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"  # of base 32: nobody takes one of them for another
LENGTH = 12
_FORM = re.compile(rf"{PREFIX}[a-z2-7]{{{LENGTH}}}")


def is_household(device: str) -> bool:
    """Whether a device is a household's; so is one whose id was cut short."""
    return device.startswith(PREFIX)


def new_household_id() -> str:
    """Return an id that no other device has."""
    return PREFIX + "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


def check_device_id(device: str) -> str:
    """Return an id. Raises ValueError for one of a household that may say more than chance does; it names a new one."""
    if is_household(device) and _FORM.fullmatch(device) is None:
        raise ValueError(
            f"{PREFIX} begins the id of a household's device, which must say nothing about the home: write "
            f"{new_household_id()}, which was made just now, or an id that begins otherwise"
        )
    return device


DeviceId = Annotated[Id, AfterValidator(check_device_id)]
