"""What people say of flags: a second set, of which the later word counts, test by test."""

import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from cloud.database import Database
from cloud.quality.reviews import MOST_OF_SPAN, Review, Reviews, ReviewWanted, Verdict, add_review, find_reviews
from cloud.registry.person import Person, Role
from edge.contract.messages import Flag, Reading, Test

NOW = 1_790_000_000_000
CHEN = Person(login="chen", name="陈", roles=frozenset({Role.OPERATOR}))
CONFIRMED, OVERRULED = Verdict.CONFIRMED, Verdict.OVERRULED


def say(database: Database, verdict: Verdict, start: int, end: int, tests: int | None = None, **other: Any) -> Review:
    where = {"gateway": "gw-1", "device": "road-1", "point": "depth", "reason": "went there"} | other
    wanted = ReviewWanted(begins_at=NOW + start, ends_at=NOW + end, tests=tests, verdict=verdict, **where)
    return database.write_now(lambda c: add_review(c, wanted, person=CHEN, now_ms=NOW + 99))


def reviews(database: Database, start: int = 0, end: int = 100) -> Reviews:
    span = {"start": NOW + start, "end": NOW + end}
    return Reviews(database.read_now(lambda c: find_reviews(c, "gw-1", "road-1", "depth", **span)))


def verdict(found: Reviews, at: int, tests: int, flag: Flag = Flag.SUSPECT) -> Verdict | None:
    review = found.of(Reading("road-1", "depth", NOW + at, None if flag is Flag.MISSING else 1.0, flag, tests))
    return review.verdict if review else None


def test_a_review_speaks_of_its_span(neighbourhood: Database) -> None:
    """From its beginning up to its end, which is not in it, and only of flags that doubt or fail a value."""
    say(neighbourhood, OVERRULED, 10, 20)
    found = reviews(neighbourhood)
    assert [verdict(found, at, Test.FLAT) for at in (9, 10, 19, 20)] == [None, OVERRULED, OVERRULED, None]
    assert verdict(found, 10, 0) is OVERRULED
    assert verdict(found, 10, Test.SPAN, Flag.FAIL) is OVERRULED
    assert verdict(found, 10, Test.NO_ANSWER, Flag.MISSING) is None
    assert verdict(found, 10, 0, Flag.PASS) is None


def test_the_later_word_counts_and_the_earlier_stays(neighbourhood: Database) -> None:
    """A review that is superseded is still there."""
    say(neighbourhood, OVERRULED, 0, 50)
    say(neighbourhood, CONFIRMED, 10, 20)
    found = reviews(neighbourhood)
    assert [verdict(found, at, Test.FLAT) for at in (5, 15, 25)] == [OVERRULED, CONFIRMED, OVERRULED]
    span = {"start": NOW, "end": NOW + 100}
    kept = neighbourhood.read_now(lambda c: find_reviews(c, "gw-1", "road-1", "depth", **span))
    assert [(one.verdict, one.who, one.reason, one.at) for one in kept] == [
        (CONFIRMED, "chen", "went there", NOW + 99),
        (OVERRULED, "chen", "went there", NOW + 99),
    ]


def test_a_flag_of_two_tests_needs_both_overruled(neighbourhood: Database) -> None:
    """One test that is right is enough for a flag; where one is open, so is the flag."""
    both = Test.RATE | Test.SPIKE
    say(neighbourhood, OVERRULED, 0, 50, Test.RATE)
    assert verdict(reviews(neighbourhood), 5, Test.RATE) is OVERRULED
    assert verdict(reviews(neighbourhood), 5, both) is None
    say(neighbourhood, OVERRULED, 0, 50, Test.SPIKE)
    assert verdict(reviews(neighbourhood), 5, both) is OVERRULED
    say(neighbourhood, CONFIRMED, 0, 50, Test.SPIKE)
    assert verdict(reviews(neighbourhood), 5, both) is CONFIRMED
    assert verdict(reviews(neighbourhood), 5, Test.RATE) is OVERRULED


@pytest.mark.parametrize("other", [{"gateway": "gw-2"}, {"device": "road-2"}, {"point": "level"}])
def test_a_review_is_of_one_point(neighbourhood: Database, other: dict[str, Any]) -> None:
    """What is said of another point says nothing here, nor does what is said of another span."""
    say(neighbourhood, OVERRULED, 0, 100, **other)
    assert not reviews(neighbourhood)
    say(neighbourhood, OVERRULED, 0, 10)
    assert not reviews(neighbourhood, 10, 100)


def test_only_so_many_are_read(neighbourhood: Database) -> None:
    """The newest ones of a span, and a page of older ones after a given one."""
    said = [say(neighbourhood, OVERRULED, 0, 10).id for _ in range(5)]

    def look(**page: int) -> list[Review]:
        span = {"start": NOW, "end": NOW + 1}
        return neighbourhood.read_now(lambda c: find_reviews(c, "gw-1", "road-1", "depth", **span, **page))

    first = look(most=2)
    then = look(most=9, before=first[-1].id)
    assert [one.id for one in (*first, *then)] == said[::-1]
    assert MOST_OF_SPAN >= 100


def test_the_log_says_who_judged_what(neighbourhood: Database) -> None:
    """Who, which point, which span, which tests, and why."""
    with capture_logs() as logs:
        say(neighbourhood, CONFIRMED, 0, 10, Test.FLAT)
    [line] = logs
    assert (line["event"], line["by"], line["device"], line["tests"]) == ("flags confirmed", "chen", "road-1", 128)
    assert (line["begins_at"], line["reason"]) == (NOW, "went there")


def test_however_many_reviews_lie_over_each_other(neighbourhood: Database) -> None:
    """What counts for a reading is what one finds by looking at each review, the newest first."""
    chance = random.Random(7)
    for _ in range(60):
        start = chance.randrange(90)
        tests = chance.choice([None, Test.RATE, Test.FLAT, Test.RATE | Test.FLAT])
        say(neighbourhood, chance.choice([CONFIRMED, OVERRULED]), start, start + chance.randint(1, 40), tests)
    found = reviews(neighbourhood)
    for at in range(100):
        for test in (Test.RATE, Test.FLAT):
            said = [
                one
                for one in found._newest_first
                if one.begins_at <= NOW + at < one.ends_at and (one.tests is None or one.tests & test)
            ]
            assert found.of_test(NOW + at, test) == (said[0] if said else None)
