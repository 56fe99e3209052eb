"""What each test of readings means and what to do about it, for somebody who has never heard of such tests."""

from collections.abc import Mapping

from msgspec import Struct

from cloud.series import LastHeard
from cloud.web.words import N_, Words
from edge.contract.readings import Test


class Meaning(Struct, frozen=True):
    """Why a test sets its flag, and what helps; both are sources."""

    why: str
    help: str


MEANINGS: Mapping[Test, Meaning] = {
    Test.NO_ANSWER: Meaning(
        N_("The device was asked and did not answer in time."),
        N_("Check its power, the cable and the address."),
    ),
    Test.SENTINEL: Meaning(
        N_("The device answered that it has no value."),
        N_("Look at the device itself: its probe may be disconnected or dry."),
    ),
    Test.REFUSED: Meaning(
        N_("The device answered with an error."),
        N_("Check whether the model in the configuration is the one that is there."),
    ),
    Test.SPAN: Meaning(
        N_("The value is outside what this sensor can physically measure."),
        N_("A broken cable or probe, most often: look at the wiring."),
    ),
    Test.COUNTER: Meaning(
        N_("A counter fell, and it is not known yet whether it began again."),
        N_("Was the meter changed? Otherwise look at the next readings."),
    ),
    Test.RATE: Meaning(
        N_("The value changed faster than the thing itself can."),
        N_("Look at the picture or go there: if the water did rise so fast, overrule it."),
    ),
    Test.SPIKE: Meaning(
        N_("Single values far away from those before and after."),
        N_("Now and then is harmless; often means a loose contact or interference."),
    ),
    Test.FLAT: Meaning(
        N_("It has not moved by a digit for longer than it ever does."),
        N_("Look at the probe: stuck, silted up or frozen?"),
    ),
    Test.ATTENUATED: Meaning(
        N_("It still moves, but far less than usual."),
        N_("Look for mud or growth on the probe, or a blocked stilling pipe."),
    ),
    Test.STEP: Meaning(
        N_("It jumped to another level and stayed there."),
        N_("Was the probe moved, changed or set anew? Then check its zero point."),
    ),
    Test.DRIFT: Meaning(
        N_("It creeps away from what is usual for it, a little every day."),
        N_("Compare with a hand measurement, clean and calibrate."),
    ),
    Test.GAP: Meaning(
        N_("It was due and did not come, or came late; or is the first one after that."),
        N_("Look at the gateway and its line."),
    ),
    Test.SANITY: Meaning(
        N_("Points of this device contradict each other."),
        N_("Check the wiring of phases and transformers, and their ratio in the configuration."),
    ),
    Test.NEIGHBOUR: Meaning(
        N_("It does not go with the sensor beside it."),
        N_("Compare both with a hand measurement: one of them is wrong."),
    ),
    Test.BLIP: Meaning(
        N_("One sample up and back: no water does that."),
        N_("Usually a car or a splash: nothing to do."),
    ),
    Test.PULSES: Meaning(
        N_("A chain of short blips."),
        N_("Usually traffic or rain on the sensor; often means a loose contact."),
    ),
    Test.BOX: Meaning(
        N_("At once to one height, constant there, and as suddenly back."),
        N_("Something stands under the sensor, a parked car perhaps, or water that came at once: look there."),
    ),
    Test.SNOW: Meaning(
        N_("It rises as snow lies, without rain."),
        N_("Snow under the sensor: it measures its height, not water."),
    ),
    Test.BYPASS: Meaning(
        N_("The meter counts far less than its household is used to."),
        N_("Perhaps led around the meter, perhaps away: have a person look."),
    ),
    Test.STUCK: Meaning(
        N_("The counter stands still while power or water flows."),
        N_("The meter is probably broken: have it changed."),
    ),
    Test.REVERSED: Meaning(
        N_("One phase runs backwards."),
        N_("A transformer is probably mounted the wrong way round: check the wiring."),
    ),
    Test.BURST: Meaning(
        N_("The rain gauge tips faster than rain falls."),
        N_("Somebody cleaned or shook it? Otherwise look for a loose contact."),
    ),
    Test.BLOCKED: Meaning(
        N_("The rain gauge is dry while those around it are wet."),
        N_("Leaves or a nest in the funnel: clean it."),
    ),
    Test.WET: Meaning(
        N_("The wet contact and the depth contradict each other."),
        N_("Clean the contact, check the zero point of the depth."),
    ),
}


def doubt_of(words: Words, heard: LastHeard) -> str:
    """Return in one line why a newest reading is not to be trusted, and what helps."""
    tests = [test for test in MEANINGS if heard.tests & test]
    named = ", ".join(words.tests(heard.tests)) or words.flag(heard.flag)
    return f"{named}: {words.text(MEANINGS[tests[0]].help)}" if tests else named


REASONS: Mapping[str, tuple[str, ...]] = {
    "overruled": (
        N_("seen on site: it really was so"),
        N_("the picture shows it"),
        N_("the sensors nearby show the same"),
        N_("work or a test at the sensor"),
    ),
    "confirmed": (
        N_("seen on site: the sensor is wrong"),
        N_("dirty, blocked or displaced"),
        N_("broken, an order is on its way"),
    ),
}
"""Reasons that somebody in the rain can tap instead of typing."""
