"""Why messages were not taken, sorted into a few causes that ask for different things, and put into words.

The exact reason stays beside the words: it is what a gateway's log says too.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from sqlalchemy import ColumnElement, case, literal, or_

from cloud.dead_letters import dead_letters
from cloud.ledger import CONFLICT
from cloud.web.words import N_


class Cause(StrEnum):
    """What was wrong, as far as it decides what to do."""

    FUTURE = "future"
    CONFLICT = "conflict"
    DAMAGED = "damaged"
    STRANGE = "strange"
    VERSION = "version"
    IMPOSTOR = "impostor"
    TOO_LARGE = "too_large"
    PICTURE = "picture"
    STORE = "store"
    OTHER = "other"


PATTERNS: Mapping[Cause, tuple[str, ...]] = {
    Cause.FUTURE: ("% in the future%",),
    Cause.CONFLICT: (CONFLICT, "another message of this name was taken before"),
    Cause.IMPOSTOR: (
        "%: names gateway % but arrived under %",
        "%: arrived with the name of a %",
        "lane % does not carry %",
    ),
    Cause.DAMAGED: (
        "checksum does not match: %",
        "message of % is shorter than its header %",
        "body cannot be decompressed",
        "body has % bytes, its header says %",
        "compressed body is not exactly %",
    ),
    Cause.STRANGE: ("topic %", "message does not begin with AL: %"),
    Cause.VERSION: ("message of version %", "unknown lane %", "unknown compression %"),
    Cause.TOO_LARGE: ("%, at most % are allowed",),
    Cause.PICTURE: ("picture%", "blob: %"),
    Cause.STORE: ("InfluxDB %",),
}
"""How the reasons begin or end, as SQL's LIKE has it; the first cause that fits is the one."""


class Words(Struct, frozen=True):
    """What happened in a few words, and what to do; both are sources, to be translated."""

    what: str
    advice: str


WORDS: Mapping[Cause, Words] = {
    Cause.FUTURE: Words(
        N_("Times in the future"),
        N_("The gateway's clock is ahead. Set it; what it sent can be taken once its time has come."),
    ),
    Cause.CONFLICT: Words(
        N_("One name, two contents"),
        N_("A copied card, or two programs with one identity: find the second one. What came first is kept."),
    ),
    Cause.DAMAGED: Words(
        N_("Damaged on the way"),
        N_("Taking it again does not help. The gateway has set it aside; look at its network and its card."),
    ),
    Cause.STRANGE: Words(
        N_("Not a message of Anlan"),
        N_("Something else writes to this broker under our topics. Find it, then discard this."),
    ),
    Cause.VERSION: Words(
        N_("Another version"),
        N_("Gateway and cloud do not speak the same version. Update the older one, then take it again."),
    ),
    Cause.IMPOSTOR: Words(
        N_("Says it is somebody else"),
        N_("A gateway sent under another one's name or kind. Look at the broker's rules on who may write where."),
    ),
    Cause.TOO_LARGE: Words(
        N_("Too large"),
        N_("More than a message may hold. The gateway's configuration or program is to be looked at."),
    ),
    Cause.PICTURE: Words(
        N_("A picture that is none"),
        N_("Its pieces do not make the picture they were cut from. The event it belongs to is here all the same."),
    ),
    Cause.STORE: Words(
        N_("Refused by the series store"),
        N_("The store will not have it, such as a point whose type has changed. Mend that, then take it again."),
    ),
    Cause.OTHER: Words(
        N_("Does not fit the contract"),
        N_("The exact reason says which field. Most often gateway and cloud are of different versions."),
    ),
}


def cause() -> ColumnElement[str]:
    """Return the cause of a letter as a column."""
    reason = dead_letters.c.reason
    fits = ((or_(*(reason.like(one) for one in patterns)), literal(name.value)) for name, patterns in PATTERNS.items())
    return case(*fits, else_=literal(Cause.OTHER.value))
