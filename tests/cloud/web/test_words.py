"""The words: complete in both languages, and a catalogue that says when it is not."""

from copy import deepcopy

import pytest

from cloud.registry.person import Role
from cloud.web import catalogue
from cloud.web.words import FLAGS, ROLES, SEVERITIES, STATES, TESTS, Language, words
from cloud.workorders.states import State
from edge.contract.messages import Flag, Severity
from edge.contract.readings import Test


def test_the_catalogue_is_complete() -> None:
    """Every text has its Chinese, nothing in it is unused, placeholders agree."""
    assert catalogue.faults(catalogue.present()) == []


def test_each_fault_of_a_catalogue_is_found() -> None:
    """A text without translation, one that is gone, one that is not there, and another placeholder."""
    broken = deepcopy(catalogue.present())
    broken["Sign in"].string = ""
    broken["%(duration)s ago"].string = "%(time)s前"
    broken.delete("Sign out")
    broken.add("never used", "从未使用")
    assert catalogue.faults(broken) == [
        "no longer used: never used",
        "not in the catalogue: Sign out",
        "not translated: Sign in",
        "other placeholders: %(duration)s ago",
    ]


def test_updating_keeps_translations() -> None:
    """What is there stays as it is; a second time changes nothing."""
    present = catalogue.present()
    assert {m.id: m.string for m in catalogue.updated(present) if m.id} == {m.id: m.string for m in present if m.id}


def test_every_state_flag_test_and_role_has_a_word() -> None:
    """Whoever adds one gives it its word."""
    assert set(STATES) == set(State)
    assert set(SEVERITIES) == set(Severity)
    assert set(ROLES) == set(Role)
    assert set(FLAGS) == set(Flag)
    assert set(TESTS) == {test for test in Test if test}


@pytest.mark.parametrize(
    ("point", "zh", "en"),
    [
        ("depth", "积水深度", "depth of standing water"),
        ("voltage_l1", "电压 L1", "voltage L1"),
        ("energy_import_total", "正向有功电能 合计", "imported energy total"),
        ("no_such_thing", "no_such_thing", "no_such_thing"),
    ],
)
def test_points_are_named_by_their_quantity(point: str, zh: str, en: str) -> None:
    """With what distinguishes it; one that nobody knows as it calls itself."""
    assert (words(Language.ZH).point(point), words(Language.EN).point(point)) == (zh, en)


def test_unknown_words_are_shown_as_they_are() -> None:
    """A state, class or kind of another version is shown, not hidden."""
    zh = words(Language.ZH)
    assert (zh.state("parked"), zh.event_class("X.NEW"), zh.kind("rain_gauge_2")) == ("parked", "X.NEW", "rain gauge 2")
    assert zh.tests(Test.SPAN | Test.NO_ANSWER) == ["设备没有应答", "超出传感器量程"]
