"""Letters: why messages were not taken, what is in them, taking them after all, discarding them."""

import re
from typing import Any

import pytest
from sqlalchemy import select

from cloud.dead_letters import CLIP, dead_letters, unregistered
from cloud.ledger import CONFLICT
from cloud.web.letter_causes import WORDS, Cause
from cloud.web.letter_content import MOST_READINGS, MOST_TEXT
from cloud.workorders.tables import orders
from edge.contract.messages import EventState, Flag, Lane, Reading, encode_blob, encode_event, seal, split_blob
from tests.cloud.api.callers import JPEG
from tests.cloud.batches import EPOCH, NOON, sealed
from tests.cloud.web.conftest import Site
from tests.cloud.web.forms import Form, forms_of, send
from tests.cloud.web.scenes import ESCAPED, SCRIPT, hear, keep_letter, letters, name_everything
from tests.cloud.workorders.samples import MINUTE, NOW, make_event

FUTURE = "road-1: taken 34 min in the future: check the clock"


def shown(text: str) -> list[int]:
    """Return the letters of a list, in their order there."""
    return [int(number) for number in re.findall(r'<li id="letter-([0-9]+)"', text)]


def form_of(text: str, action: str) -> Form:
    """Return the form of a page that is posted there."""
    [form] = [form for form in forms_of(text) if form.action == action]
    return form


async def press(site: Site, path: str, action: str, **typed: str) -> Any:
    """Open a page as an operator and send one of its forms."""
    return await send(site, "chen", form_of(await site.see("chen", path), action), **typed)


def batch(seq: int, at_ms: int = NOW) -> bytes:
    """Return a batch of two readings."""
    return sealed(seq, [Reading("road-1", "depth", at_ms + seq + each, 1.5) for each in range(2)])


async def stored(site: Site) -> int:
    """Return how many readings of road-1's depth are in the store."""
    found = await site.services.series.read("gw-1", "road-1", "depth", start_ms=0, end_ms=2 * NOON, limit=100)
    return len(found)


@pytest.mark.parametrize("path", ["/letters", "/letters/1"])
@pytest.mark.parametrize(("login", "status"), [("chen", 200), ("zhao", 200), ("wang", 404), ("sun", 404), (None, 303)])
async def test_letters_are_for_operators(site: Site, path: str, login: str | None, status: int) -> None:
    """For anybody else they do not exist."""
    keep_letter(site, b"x", FUTURE)
    assert (await site.visit(login, path)).status_code == status


@pytest.mark.parametrize("action", ["/letters/1/replay", "/letters/1/discard", "/letters/replay"])
@pytest.mark.parametrize("login", ["wang", "sun"])
async def test_others_change_nothing(site: Site, login: str, action: str) -> None:
    """Neither take nor discard, whatever they post."""
    keep_letter(site, sealed(1), "full")
    assert (await site.post(login, action, {"cause": "other"})).status_code == 404
    assert len(letters(site)) == 1


async def test_nothing_kept_says_so(site: Site) -> None:
    """Every message was taken, and no gateway waits."""
    assert "Every message was taken" in await site.see("chen", "/letters")
    assert "No gateway waits" in await site.see("chen", "/letters?tab=waiting")


async def test_a_letter_says_why_whose_how_often_and_when(site: Site) -> None:
    """The cause in words, and the exact reason beside it."""
    for at_ms in (NOW, NOW + MINUTE, NOW + 2 * MINUTE):
        keep_letter(site, sealed(1), FUTURE, at_ms=at_ms)
    text = await site.see("chen", "/letters")
    for said in ("Times in the future", FUTURE, "和平路网关", "3 times", "readings", f"{len(sealed(1))} B"):
        assert said in text


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (FUTURE, Cause.FUTURE),
        ("event: 11 minutes in the future, at most 10 are allowed: set the gateway's clock", Cause.FUTURE),
        (CONFLICT, Cause.CONFLICT),
        ("another message of this name was taken before", Cause.CONFLICT),
        ("batch: names gateway 'gw-2' but arrived under 'gw-1'", Cause.IMPOSTOR),
        ("event: arrived with the name of a batch, which it is not", Cause.IMPOSTOR),
        ("lane LIVE does not carry a event", Cause.IMPOSTOR),
        ("checksum does not match: the message was damaged", Cause.DAMAGED),
        ("message of 3 bytes is shorter than its header of 33", Cause.DAMAGED),
        ("compressed body is not exactly the 12 bytes its header says", Cause.DAMAGED),
        ("topic 'anlan/v1/x/y/z' is not anlan/v1/{gateway}/{kind}", Cause.STRANGE),
        ("message does not begin with AL: not an Anlan message", Cause.STRANGE),
        ("message of version 2, this side speaks version 1", Cause.VERSION),
        ("body of 2000000 bytes, at most 1048576 are allowed", Cause.TOO_LARGE),
        ("picture: its content is not image/png", Cause.PICTURE),
        ("InfluxDB http://localhost:8086, database anlan: field type conflict", Cause.STORE),
        ("batch: a device has two tables", Cause.OTHER),
    ],
)
async def test_reasons_are_sorted_by_what_to_do(site: Site, reason: str, cause: Cause) -> None:
    """Each has its cause, by which it is found, and advice on its page."""
    number = keep_letter(site, b"x", reason)
    for other in Cause:
        assert shown(await site.see("chen", f"/letters?cause={other}")) == ([number] if other is cause else [])
    assert WORDS[cause].advice in await site.see("chen", f"/letters/{number}")


async def test_letters_are_found_by_gateway_and_page_by_page(site: Site) -> None:
    """The newest first; what waits for a registration is not among them."""
    numbers = [keep_letter(site, bytes([each]), FUTURE, at_ms=NOW + each) for each in range(52)]
    other = keep_letter(site, b"other", FUTURE, gateway="gw-2", at_ms=NOW - 1)
    keep_letter(site, b"waits", unregistered("gw-9"), gateway="gw-9")
    assert shown(await site.see("chen", "/letters")) == numbers[:1:-1]
    assert shown(await site.see("chen", "/letters?page=2")) == [*numbers[1::-1], other]
    assert shown(await site.see("chen", "/letters?gateway=gw-2")) == [other]
    assert "53" in await site.see("chen", "/letters")


async def test_gateways_that_wait_are_grouped_with_the_way_to_register_them(site: Site) -> None:
    """Also one that has only told its status; the link is for those who may."""
    keep_letter(site, sealed(1, gateway="gw-9"), unregistered("gw-9"), gateway="gw-9")
    keep_letter(site, sealed(2, gateway="gw-9"), unregistered("gw-9"), gateway="gw-9")
    keep_letter(site, b"event", unregistered("gw-9"), gateway="gw-9", kind="event")
    hear(site, gateway="gw-8")
    text = await site.see("zhao", "/letters?tab=waiting")
    assert re.findall(r'<li id="gateway-([^"]+)"', text) == ["gw-9", "gw-8"]
    assert "readings 2" in text
    assert "event 1" in text
    assert 'href="/gateways/new?gateway=gw-9"' in text
    assert 'href="/gateways/gw-8"' in text
    assert 'href="/gateways/gw-9"' not in text  # it has told nothing of itself that a page could show
    assert "/gateways/new" not in await site.see("chen", "/letters?tab=waiting")
    assert len(shown(await site.see("chen", "/letters?tab=waiting&gateway=gw-9"))) == 3


@pytest.mark.parametrize(
    "query", ["tab=x", "cause=bad", "page=0", "page=201", f"gateway={65 * 'x'}"], ids=lambda query: query[:12]
)
async def test_what_makes_no_sense_is_refused(site: Site, query: str) -> None:
    """Parameters are bounded: such an address is none of ours."""
    assert (await site.visit("chen", f"/letters?{query}")).status_code == 404


@pytest.mark.parametrize("number", ["0", "x", str(2**63), "999"])
async def test_a_letter_that_is_not_there_is_not_found(site: Site, number: str) -> None:
    """Neither one that is gone nor a number that no database holds."""
    assert (await site.visit("chen", f"/letters/{number}")).status_code == 404


async def test_what_is_in_a_batch_is_shown(site: Site) -> None:
    """Header and readings, of many only the first."""
    readings = [Reading("road-1", "depth", NOON + each, each / 2, Flag.PASS) for each in range(MOST_READINGS + 7)]
    text = await site.see("chen", f"/letters/{keep_letter(site, sealed(9, readings), 'full')}")
    assert EPOCH in text
    assert text.count("<td>road-1</td>") == MOST_READINGS
    assert "and 7 more" in text
    assert "53.0" not in text


async def test_what_is_in_an_event_and_a_picture_is_shown(site: Site) -> None:
    """An event as a document with its readings; of a picture which piece it is."""
    event = seal(encode_event(make_event(EventState.CONFIRMED, 1)), lane=Lane.EVENTS, epoch=EPOCH, seq=1)
    text = await site.see("chen", f"/letters/{keep_letter(site, event, 'x', kind='event')}")
    assert "WATERLOG.ROAD.2" in text
    [piece] = split_blob("gw-1", JPEG, "image/jpeg")
    blob = seal(encode_blob(piece), lane=Lane.BLOBS, epoch=EPOCH, seq=1)
    text = await site.see("chen", f"/letters/{keep_letter(site, blob, 'x', kind='blob')}")
    assert piece.name in text
    assert "1 / 1" in text


@pytest.mark.parametrize(
    ("payload", "kind", "said"),
    [
        (b"\x00\x01<b>junk", "batch", "00 01 3c 62 3e 6a 75 6e 6b"),
        (b"", "batch", "shorter than its header"),
        (sealed(1)[:-2] + b"xx", "batch", "checksum does not match"),
        (sealed(1), "event", "does not carry a event"),
        (b'{"online": true}', "status", "&#34;online&#34;: true"),
        (b"{", "status", "truncated"),
        (b"\xff\xfe", "inventory", "ff fe"),
        (b"[" * 8000 + b"]" * 8000, "status", "recursion"),
        (b"x", "receipt", "shorter than its header"),
        (b"x", "x" * 90, "shorter than its header"),
    ],
    ids=lambda value: str(value)[:16],
)
async def test_hostile_content_is_shown_as_what_it_is(site: Site, payload: bytes, kind: str, said: str) -> None:
    """What cannot be read is shown as bytes, with why; nothing that a stranger sends breaks the page or bloats it."""
    text = await site.see("chen", f"/letters/{keep_letter(site, payload, 'x', kind=kind)}")
    assert said in text.replace("maximum recursion", "recursion")
    assert len(text) < 20_000


async def test_much_content_is_cut(site: Site) -> None:
    """A letter keeps its beginning: the page says so, and offers nothing that cannot work."""
    text = await site.see("chen", f"/letters/{keep_letter(site, b'x' * (CLIP + 1), 'y')}")
    assert "only the first 256 KiB were kept" in text
    assert "/replay" not in text
    long = b'{"note": "' + b"n" * (2 * MOST_TEXT) + b'"}'
    text = await site.see("chen", f"/letters/{keep_letter(site, long, 'y', kind='status')}")
    assert text.count("n" * 50) <= MOST_TEXT / 50


async def test_a_letter_is_taken_after_all(site: Site) -> None:
    """Its readings are in the store, and the list says so."""
    keep_letter(site, batch(1), "the store was full")
    answer = await press(site, "/letters?cause=other", "/letters/1/replay")
    assert answer.headers["location"] == "/letters?cause=other&said=taken"
    assert (await stored(site), letters(site)) == (2, [])
    assert "The message was taken" in await site.see("chen", answer.headers["location"])


async def test_an_event_that_is_taken_opens_its_order(site: Site) -> None:
    """As if it had been taken when it came."""
    event = seal(encode_event(make_event(EventState.CONFIRMED, 1)), lane=Lane.EVENTS, epoch=EPOCH, seq=1)
    number = keep_letter(site, event, "class unknown", kind="event")
    await press(site, f"/letters/{number}", f"/letters/{number}/replay")
    assert site.database.read_now(lambda c: c.scalars(select(orders.c.class_code)).all()) == ["WATERLOG.ROAD.2"]


async def test_one_that_is_refused_again_says_why(site: Site) -> None:
    """The letter stays, and its page has the reason."""
    keep_letter(site, sealed(1), "full")
    answer = await press(site, "/letters", "/letters/1/replay")
    assert answer.status_code == 409
    assert "in the future" in answer.text.partition('role="alert"')[2]
    assert len(letters(site)) == 1


async def test_one_that_is_gone_says_so(site: Site) -> None:
    """Somebody else was quicker."""
    keep_letter(site, sealed(1), "full")
    form = form_of(await site.see("chen", "/letters"), "/letters/1/replay")
    site.write(lambda connection: connection.execute(dead_letters.delete()))
    answer = await send(site, "chen", form)
    assert "not here any more" in await site.see("chen", answer.headers["location"])


async def test_what_cannot_be_taken_is_not_offered(site: Site) -> None:
    """Without a gateway, of a kind that comes again by itself, or waiting: there is no button that could not work."""
    keep_letter(site, b"x", "topic 'x': not a gateway id", gateway=None)
    keep_letter(site, b"x", "status: no", kind="status")
    keep_letter(site, sealed(1, gateway="gw-9"), unregistered("gw-9"), gateway="gw-9")
    for path in ("/letters", "/letters?tab=waiting", "/letters/1", "/letters/2", "/letters/3"):
        assert "/replay" not in await site.see("chen", path)


async def test_discarding_asks_first_and_says_that_it_is_done(site: Site) -> None:
    """The button stands behind another one."""
    keep_letter(site, b"x", "not an Anlan message")
    text = await site.see("chen", "/letters/1")
    assert re.search(r"<details[^>]*>.*?/letters/1/discard.*?</details>", text, re.DOTALL)
    answer = await press(site, "/letters/1", "/letters/1/discard")
    assert letters(site) == []
    assert "The message is discarded." in await site.see("chen", answer.headers["location"])


async def test_all_of_one_cause_are_taken_at_once(site: Site) -> None:
    """Those that are refused again stay, and how many of each is said; another cause is left alone."""
    for seq, at_ms in ((1, NOW), (2, NOW), (3, NOW + 60 * MINUTE)):
        keep_letter(site, batch(seq, at_ms), FUTURE)
    keep_letter(site, batch(4), "full")
    answer = await press(site, "/letters?cause=future", "/letters/replay")
    text = await site.see("chen", answer.headers["location"])
    assert "Taken: 2. Refused again: 1." in text
    assert len(letters(site)) == 2


@pytest.mark.parametrize("cause", ["", "nonsense"])
async def test_many_are_only_taken_by_a_cause(site: Site, cause: str) -> None:
    """No mistake in a form takes everything."""
    keep_letter(site, sealed(1), "full")
    assert (await site.post("chen", "/letters/replay", {"cause": cause})).status_code == 422
    assert len(letters(site)) == 1


async def test_a_form_leads_nowhere_else(site: Site) -> None:
    """After a step one comes back to a page of ours."""
    keep_letter(site, b"x", "y")
    answer = await press(site, "/letters/1", "/letters/1/discard", next="https://evil.example")
    assert answer.headers["location"].startswith("/?")


async def test_what_was_done_is_said_in_our_words_alone(site: Site) -> None:
    """No link puts words into the page."""
    text = await site.see("chen", f"/letters?said=many&taken={SCRIPT}&refused=99999999")
    assert "Taken: 0. Refused again: 0." in text
    assert 'role="status"' not in await site.see("chen", "/letters?said=x")


async def test_what_strangers_send_is_text(site: Site) -> None:
    """Topic, reason, content and names are shown, and never run."""
    name_everything(site, SCRIPT)
    keep_letter(site, SCRIPT.encode(), SCRIPT, gateway=None, kind=SCRIPT)
    keep_letter(site, b'{"x": "' + SCRIPT.encode() + b'"}', SCRIPT, kind="status")
    keep_letter(site, b"event", SCRIPT)
    keep_letter(site, sealed(1, gateway="gw-9"), unregistered("gw-9"), gateway="gw-9", kind=SCRIPT)
    for path in ("/letters", "/letters?tab=waiting", "/letters/1", "/letters/2", "/letters/3", "/letters/4"):
        text = await site.see("chen", path)
        assert SCRIPT not in text
        assert ESCAPED in text
