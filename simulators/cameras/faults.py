"""What is wrong with a simulated camera, as real ones have it."""

from __future__ import annotations

from enum import Enum


class CameraFault(Enum):
    """One thing that is wrong; the text is what it does."""

    WRONG_BOUNDARY = "its boundary is another one than its header says"
    NO_LENGTH = "its parts have no Content-Length"
    WRONG_LENGTH = "Content-Length of its parts is too small"
    NEVER_ENDING = "it never says that something is over"
    STORM = "it says everything twenty times"
    WRONG_CLOCK = "its clock is an hour and a half behind"
    UNDATED = "its clock shows 0000-00-00"
    SILENT = "it accepts, and says nothing at all"
    TRICKLING = "it sends bytes that never become a message"
    HUGE = "it sends 50 MB where a message belongs"
    HANGING_UP = "it hangs up after each message"
    LOCKED = "it knows no user any more"
    ONLY_TIMES = "it takes the end of a subscription as a time only, not as a duration"
    NEVER_RENEWING = "it renews no subscription"
    ENTITIES = "its XML defines entities"

    @property
    def word(self) -> str:
        """How it is typed."""
        return self.name.lower().replace("_", "-")
