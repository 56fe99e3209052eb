"""The words of the pages: Chinese first, English a click away.

Sources are in English; `locale/zh_CN/LC_MESSAGES/anlan.po` has the Chinese, complete, which `./anlan check` holds.
`N_` marks a text that is translated later, where it is shown.
"""

import gettext
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Protocol

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from edge.contract.event_classes import event_classes
from edge.contract.profile import quantities, quantity_of
from edge.contract.readings import Test

LOCALE = Path(__file__).parent / "locale"


class Language(StrEnum):
    """The languages of the pages, the first one first."""

    ZH = "zh"
    EN = "en"

    @property
    def tag(self) -> str:
        """The language as HTML names it."""
        return "zh-CN" if self is Language.ZH else "en"

    @property
    def other(self) -> "Language":
        """The one that is a click away."""
        return Language.EN if self is Language.ZH else Language.ZH


def heading(text: str) -> str:
    """Return a text that begins a heading: English ones with a capital letter."""
    return text[:1].upper() + text[1:]


def N_(text: str) -> str:  # noqa: N802 -- gettext's name for it, which the extraction looks for
    """Mark a text to be translated where it is shown."""
    return text


class InTwoLanguages(Protocol):
    """What configuration files give in both languages."""

    @property
    def zh(self) -> str:
        """Chinese."""

    @property
    def en(self) -> str:
        """English."""


STATES: Mapping[str, str] = {
    "raised": N_("raised"),
    "accepted": N_("accepted"),
    "void": N_("void"),
    "dispatched": N_("dispatched"),
    "returned": N_("returned"),
    "acknowledged": N_("acknowledged"),
    "on_site": N_("on site"),
    "done": N_("done"),
    "verified": N_("verified"),
    "rework": N_("rework"),
    "closed": N_("closed"),
}
SEVERITIES: Mapping[str, str] = {"red": N_("red"), "orange": N_("orange"), "yellow": N_("yellow"), "blue": N_("blue")}
ROLES: Mapping[str, str] = {
    "installer": N_("installer"),
    "worker": N_("grid worker"),
    "operator": N_("operator"),
    "admin": N_("administrator"),
}
FLAGS: Mapping[int, str] = {
    1: N_("pass"),
    2: N_("not evaluated"),
    3: N_("suspect"),
    4: N_("failed"),
    9: N_("missing"),
}
TESTS: Mapping[Test, str] = {
    Test.NO_ANSWER: N_("the device did not answer"),
    Test.SENTINEL: N_("the device has no value"),
    Test.REFUSED: N_("the device refused"),
    Test.SPAN: N_("outside what the sensor can measure"),
    Test.COUNTER: N_("the counter fell back"),
    Test.RATE: N_("changed too fast"),
    Test.SPIKE: N_("spike"),
    Test.FLAT: N_("stuck"),
    Test.ATTENUATED: N_("moves less than usual"),
    Test.STEP: N_("jumped to another level"),
    Test.DRIFT: N_("drifts away"),
    Test.GAP: N_("absent or late"),
    Test.SANITY: N_("contradicts other points"),
    Test.NEIGHBOUR: N_("contradicts its neighbour"),
    Test.BLIP: N_("blip"),
    Test.PULSES: N_("chain of pulses"),
    Test.BOX: N_("box: something stands under it"),
    Test.SNOW: N_("snow"),
    Test.BYPASS: N_("counts far less than usual"),
    Test.STUCK: N_("stands still while something flows"),
    Test.REVERSED: N_("a phase runs backwards"),
    Test.BURST: N_("tips too fast"),
    Test.BLOCKED: N_("dry while others are wet"),
    Test.WET: N_("contact and depth contradict"),
}
KINDS: Mapping[str, str] = {
    "electricity_meter": N_("electricity meter"),
    "gateway": N_("gateway"),
    "heat_meter": N_("heat meter"),
    "level_transmitter": N_("level transmitter"),
    "rain_gauge": N_("rain gauge"),
    "water_meter": N_("water meter"),
    "waterlogging_sensor": N_("waterlogging sensor"),
    "camera": N_("camera"),
    "climate_sensor": N_("climate sensor"),
}


class Words:
    """One language's words."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.translations = _translations(language)

    def text(self, source: str) -> str:
        """Return a source text in this language; nothing for nothing, which in a catalogue is its head."""
        return self.translations.gettext(source) if source else ""

    def plural(self, one: str, many: str, number: int) -> str:
        """Return the right one of two source texts for a number."""
        return self.translations.ngettext(one, many, number)

    def pick(self, named: InTwoLanguages) -> str:
        """Return this language's half."""
        return named.zh if self.language is Language.ZH else named.en

    def state(self, state: str) -> str:
        """Name a work order's state."""
        return self._name(STATES, state)

    def severity(self, severity: str) -> str:
        """Name a severity."""
        return self._name(SEVERITIES, severity)

    def role(self, role: str) -> str:
        """Name a role."""
        return self._name(ROLES, role)

    def flag(self, flag: int) -> str:
        """Name a reading's flag."""
        return self.text(FLAGS[flag]) if flag in FLAGS else str(flag)

    def tests(self, mask: int) -> list[str]:
        """Say which tests set a flag."""
        return [self.text(words) for test, words in TESTS.items() if mask & test]

    def bits(self, mask: int) -> list[int]:
        """Return the tests of a mask, one by one."""
        return [test for test in TESTS if mask & test]

    def kind(self, kind: str) -> str:
        """Name a kind of device; one that we have no word for as it calls itself."""
        return self._name(KINDS, kind).replace("_", " ")

    def event_class(self, code: str) -> str:
        """Name an event class; an unknown one by its code."""
        known = event_classes().get(code)
        return self.pick(known) if known else code

    def point(self, point: str) -> str:
        """Name a point by its quantity: `voltage_l1` -> 电压 l1; an unknown one as it calls itself."""
        try:
            quantity = quantity_of(point)
        except ValueError:
            return point
        rest = point.removeprefix(quantity).strip("_").replace("_", " ")
        name = self.pick(quantities()[quantity])
        rest = self.text(REST[rest]) if rest in REST else rest.upper()
        return f"{name} {rest}".strip()

    def _name(self, names: Mapping[str, str], key: str) -> str:
        """Return the word for what is known; what is not is no text of ours, and shown as it is."""
        return self.text(names[key]) if key in names else key


REST: Mapping[str, str] = {"total": N_("total")}


@cache
def words(language: Language) -> Words:
    """Return the words of a language."""
    return Words(language)


@cache
def _translations(language: Language) -> gettext.NullTranslations:
    if language is Language.EN:
        return gettext.NullTranslations()
    with (LOCALE / "zh_CN" / "LC_MESSAGES" / "anlan.po").open("rb") as file:
        catalogue = read_po(file, locale="zh_CN")
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
