"""How a limit was found, which gateways say in English, in the language of a page.

Only sentences that are known here are translated: another one, of a newer gateway, is shown as it came.
"""

import re
from functools import cache

from cloud.web.words import N_, Words

NOTES = (
    N_("what street floods rise by at most"),
    N_("water has risen as fast as that here"),
    N_("six times the noise"),
    N_("standing water sinks by 1 mm an hour"),
    N_("wet for so long"),
    N_("the contact has been wet at less"),
    N_("nobody has seen the contact get wet"),
    N_("most away from both neighbours, with a margin"),
    N_("longest that one value stood, with a margin"),
    N_("most in one interval: the second highest day with a margin"),
    N_("most above both neighbours: the second highest day with a margin"),
    N_("how long a value of the latest size may be shown unchanged"),
    N_("a usual day counts %(usual)s; %(share)s of what raises the suspicion that not all is counted"),
    N_("between what is counted and %(point)s"),
    N_("between the total and the sum of the phases"),
    N_("between the power and volts times amperes"),
    N_("difference to %(device)s"),
    N_("rain at %(device)s within hours, with less than a tenth of it here"),
    N_("more than the heaviest rain that was measured in China"),
    N_("Levels without their season; only a jump far beyond is flagged."),
    N_("From the forecast of the sensor's own past and season; digit %(digit)s."),
    N_(
        "From the forecast of the sensor's own past and season; digit %(digit)s; "
        "the new level is normal after 2 to 6 samples."
    ),
    N_("Longest on one value: %(hours)s h."),
    N_("Longest within %(digit)s or so: %(hours)s h."),
    N_("A tenth of the least that it moved in %(hours)s h."),
    N_("Even creep over %(days)s days; it was %(most)s at most."),
)
PLACEHOLDER = re.compile(r"%\\\((\w+)\\\)s")


def say_note(words: Words, note: str) -> str:
    """Return a note in words' language."""
    for source, pattern in _patterns():
        if found := pattern.fullmatch(note):
            return words.text(source) % found.groupdict()
    return note


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(source, re.compile(PLACEHOLDER.sub(r"(?P<\1>[^;]+?)", re.escape(source)))) for source in NOTES]
