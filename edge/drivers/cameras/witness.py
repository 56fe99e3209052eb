"""Whoever watches cameras at work, as an installer does, is told what becomes of all that comes."""

from __future__ import annotations

from typing import Final, NamedTuple

from edge.contract.messages import Event
from edge.drivers.cameras import Refused, Sighting
from edge.drivers.cameras.tracker import Step

NO_ANSWER: Final = 0


class Away(NamedTuple):
    """What was turned away and is counted for no camera; name and path are the sender's words."""

    status: int  # of HTTP; NO_ANSWER where none was given: it hung up, spoke no HTTP, or is Frigate
    text: str
    address: str
    name: str  # that it signs in with; empty where it does not sign in
    path: str


class Witness:
    """Is told; this one, the agent's, looks away."""

    def wants(self, _camera: str) -> bool:
        """Whether posts of a camera are taken now; if not, it is told to send them again later."""
        return True

    def took(self, camera: str, sighting: Sighting, step: Step, event: Event | None) -> None:
        """A sighting was taken, with what followed; ``event`` is the revision that was committed."""

    def refused(self, camera: str, refused: Refused, kind: str = "") -> None:
        """Something of a camera was refused, once; ``kind`` is the vendor's word where that could be read."""

    def heard(self, camera: str) -> None:
        """A camera was heard."""

    def lost(self, camera: str, reason: str) -> None:
        """A camera cannot be reached; told at every attempt."""

    def doubted(self, camera: str) -> None:
        """A camera answers, but posts nothing though it was asked to."""

    def turned_away(self, away: Away) -> None:
        """Something was turned away before a camera had to do with it."""

    def told_of_another(self, camera: str) -> None:
        """Frigate tells of a camera that none of ours is."""


UNWATCHED = Witness()
