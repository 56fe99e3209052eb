"""Inputs that nobody would send, made of those that cameras send: torn, grown, nested, spliced; and who must bear them.

An input is named by parser, seed and number: the same name makes the same bytes. Each parser must give sightings, which
the tracker must bear too, or raise Refused; in bounded memory.
"""

from __future__ import annotations

import random
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from typing import NamedTuple

import msgspec

from edge.contract.camera_config import Brand
from edge.drivers.cameras import Refused, Sighting, dahua, hikvision, soap
from edge.drivers.cameras.anlan import read_anlan
from edge.drivers.cameras.dahua import read_dahua
from edge.drivers.cameras.frigate_read import read_object, read_review
from edge.drivers.cameras.hikvision import read_hikvision
from edge.drivers.cameras.onvif import read_onvif
from edge.drivers.cameras.parts import Part, Parts
from edge.drivers.cameras.tracker import Moment, Tracker
from edge.drivers.cameras.webhook import read_webhook
from edge.drivers.cameras.xml import read_xml
from tests.edge.drivers.cameras.samples import JPEG, load_samples
from tests.edge.drivers.cameras.stand import START, camera

MOST_INPUT = 3 * 1024 * 1024  # what a listener lets in
MOST_MEMORY = 48 * 1024 * 1024  # of one call
LONGEST_TEXT = 400  # a note of our own form
GRAIN = 1000  # bytes of what is repeated hundreds of times
SLOWEST_MS = 5000  # CPU of one call: far more than any takes, far less than what grows with the square
LOOK_EVERY = 40  # inputs between two whose memory is traced

Source = random.Random
Read = Callable[[str, bytes, Source], Sequence[Sighting]]


class Parser(NamedTuple):
    """What is tried: its reader, and the brand whose tracker gets what it reads."""

    read: Read
    brand: Brand
    seeds: Sequence[tuple[str, bytes]]


# --- who must bear them -----------------------------------------------------------------------------------------------


def _of_brand(brand: str) -> list[tuple[str, bytes]]:
    return [(sample.content_type, sample.body) for sample in load_samples() if sample.brand == brand]


def _streamed(read: Callable[..., list[Sighting]]) -> Read:
    """Feed a stream in pieces of any size, with pauses, as the network does."""

    def follow(_: str, body: bytes, source: Source) -> list[Sighting]:
        parts = Parts(most_part=256 * 1024)
        found: list[Part] = []
        while body:
            size = source.choice([1, 7, 100, 1500, 65536])
            found += parts.feed(body[:size])
            body = body[size:]
            if source.random() < 0.1:
                found += filter(None, [parts.pause()])
        found += filter(None, [parts.finish()])
        return [sighting for part in found[:200] for sighting in read([part], zone=UTC)]

    return follow


def _soap(_: str, body: bytes, __: Source) -> list[Sighting]:
    root = read_xml(body)
    soap.read_fault(root)
    soap.read_clock(root)
    soap.read_granted(root)
    subscription = soap.read_subscription(root)
    token = soap.Token("u", "p", START, bytes(16))
    # What a camera gives of itself comes back to it as XML that can be read.
    read_xml(soap.envelope(soap.UNSUBSCRIBE, token=token, action="a", subscription=subscription))
    soap.read_event_service(root)
    return []


FRIGATE_OBJECT = b"""{"type": "new", "before": {}, "after": {"id": "1607123955.475377-mxklsc", "camera": "gate",
 "label": "car", "sub_label": ["A", 0.9], "start_time": 1795306500.5, "end_time": null, "frame_time": 1795306501.1,
 "score": 0.79, "top_score": 0.95, "false_positive": false, "current_zones": ["fire_lane"],
 "entered_zones": ["fire_lane"]}}"""
FRIGATE_REVIEW = b"""{"type": "end", "before": {}, "after": {"id": "1718987129.308396-fqk5ka", "camera": "gate",
 "severity": "alert", "start_time": 1795306500.5, "end_time": 1795306560.5,
 "data": {"zones": ["fire_lane"], "objects": ["car"]}}}"""
OWN = b'{"class": "CAM.GARBAGE", "time": "2026-11-22T08:15:00+08:00", "note": "north gate", "state": "active"}'
OWN_FORM = b"\r\n".join(
    [
        *(b"--f", b'Content-Disposition: form-data; name="event"', b"", OWN, b"--f"),
        *(b'Content-Disposition: form-data; name="picture"; filename="../../x.jpg"', b"", JPEG, b"--f--", b""),
    ]
)
OWN_SEEDS = [("application/json", OWN), ("multipart/form-data; boundary=f", OWN_FORM)]
SUBSCRIPTION = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://www.w3.org/2005/08/addressing" xmlns:v="http://vendor.example"><s:Body><r>
<SubscriptionReference><a:Address>http://192.0.2.9:8000/onvif/sub?id=1</a:Address>
<a:ReferenceParameters><v:SubscriptionId v:a="1">7</v:SubscriptionId></a:ReferenceParameters></SubscriptionReference>
<CurrentTime>2026-11-22T01:02:03Z</CurrentTime><TerminationTime>2026-11-22T01:07:03+01:00</TerminationTime>
<UTCDateTime><Time><Hour>1</Hour><Minute>2</Minute><Second>3</Second></Time>
<Date><Year>2026</Year><Month>11</Month><Day>22</Day></Date></UTCDateTime>
<Events><XAddr>http://192.0.2.9/onvif/event_service</XAddr></Events></r></s:Body></s:Envelope>"""

PARSERS: dict[str, Parser] = {
    "hikvision": Parser(
        lambda kind, body, _: read_hikvision(kind, body, zone=None), "hikvision", _of_brand("hikvision")
    ),
    "hikvision_stream": Parser(_streamed(hikvision.read_parts), "hikvision", _of_brand("hikvision")),
    "dahua": Parser(lambda kind, body, _: read_dahua(kind, body, zone=UTC), "dahua", _of_brand("dahua")),
    "dahua_stream": Parser(_streamed(dahua.read_parts), "dahua", _of_brand("dahua")),
    "onvif": Parser(lambda kind, body, _: read_onvif(kind, body, zone=None), "onvif", _of_brand("onvif")),
    "onvif_answers": Parser(_soap, "onvif", [*[("", SUBSCRIPTION)] * 20, *_of_brand("onvif")]),
    "anlan": Parser(lambda kind, body, _: read_anlan(kind, body, zone=None), "anlan", OWN_SEEDS),
    "webhook": Parser(lambda kind, body, _: read_webhook(kind, body, zone=None), "webhook", OWN_SEEDS),
    "frigate_events": Parser(lambda _, body, __: read_object(body).sightings, "frigate", [("", FRIGATE_OBJECT)]),
    "frigate_reviews": Parser(lambda _, body, __: read_review(body).sightings, "frigate", [("", FRIGATE_REVIEW)]),
}


# --- what is tried ----------------------------------------------------------------------------------------------------

WORDS = [
    *(
        b"",
        b"0",
        b"-1",
        b"1e999",
        b"NaN",
        b"9" * 400,
        b"9" * 5000,
        b"true",
        b"null",
        b"[]",
        b"{}",
        b"\x00",
        b"\xff\xfe",
    ),
    *(
        b"../../etc/passwd",
        b"%s%n",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"&#0;",
        b"&amp;",
        b"&x;",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
    ),
    *(
        b"0000-00-00T00:00:00Z",
        b"9999-12-31T23:59:59Z",
        b"2026-11-22T08:15:00+99:99",
        b"1970-01-01",
        b"\r\n\r\n",
        b"--b",
    ),
    *(
        "积水".encode(),
        "积水".encode("gbk"),
        "\u202e\u2028".encode(),
        b"\xf0\x9f\x92\xa7",
        b"a" * 3000,
        b"--boundary--",
    ),
]
TYPES = ["", "application/xml", "application/json", "text/plain", "multipart/mixed", "multipart/form-data; boundary=b"]
DOCTYPE = b'<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z SYSTEM "file:///etc/passwd">]>'
NUMBER = re.compile(rb"\d+")
TEXT = re.compile(rb'(?<=>)[^<>]{1,999}(?=<)|(?<=")[^"<>]{0,999}(?=")')
LINE = re.compile(rb"[^\n]*\n?")
ELEMENT = re.compile(rb"<(\w[\w:]{0,60})\b[^<>]{0,300}>[^<>]{0,999}</\1>")

Change = Callable[[bytes, Source], bytes]


def _span(body: bytes, source: Source, most: int = 200) -> tuple[int, int]:
    begin = source.randrange(len(body) + 1)
    return begin, min(len(body), begin + source.randrange(1, most))


def _in_place(pattern: re.Pattern[bytes], make: Callable[[bytes, Source], bytes]) -> Change:
    def change(body: bytes, source: Source) -> bytes:
        found = list(pattern.finditer(body, 0, 200_000))
        if not found:
            return body
        at = source.choice(found)
        return body[: at.start()] + make(at.group(), source) + body[at.end() :]

    return change


def _flip(body: bytes, source: Source) -> bytes:
    torn = bytearray(body or b"\0")
    for _ in range(source.choice([1, 1, 2, 8, 64])):
        torn[source.randrange(len(torn))] = source.choice(
            [0, 9, 10, 13, 34, 38, 45, 60, 62, 123, 125, 255, source.randrange(256)]
        )
    return bytes(torn)


def _cut(body: bytes, source: Source) -> bytes:
    begin, end = _span(body, source)
    return body[:begin] + body[end:]


def _repeat(body: bytes, source: Source) -> bytes:
    begin, end = _span(body, source)
    return body[:begin] + body[begin:end] * source.choice([2, 3, 50, 2000]) + body[end:]


def _nest(body: bytes, source: Source) -> bytes:
    before, after = source.choice([(b"<a>", b"</a>"), (b"[", b"]"), (b'{"a":', b"}"), (b"--b\r\n\r\n", b"\r\n--b--")])
    times = source.choice([1, 5, 40, 3000])
    return before * times + body + after * times


def _declare(body: bytes, source: Source) -> bytes:
    encoding = source.choice([b"UTF-8", b"UTF-16", b"GB2312", b"UTF-7", b"latin-1", b"x" * 50, b"utf-8\x00"])
    head = b'<?xml version="1.0" encoding="' + encoding + b'"?>'
    return head + source.choice([b"", DOCTYPE]) + re.sub(rb"^<\?xml[^>]*>", b"", body)


def _recode(body: bytes, source: Source) -> bytes:
    text = body.decode("utf-8", errors="replace")
    return source.choice([b"", b"\xef\xbb\xbf", b"\xff\xfe"]) + text.encode(
        source.choice(["utf-16-le", "utf-16-be", "gb18030", "utf-8", "utf-32"]), errors="replace"
    )


CHANGES: list[Change] = [
    _flip,
    _cut,
    _repeat,
    _nest,
    _declare,
    _recode,
    lambda body, source: body[: source.randrange(len(body) + 1)],
    lambda body, source: source.randbytes(source.randrange(100)) + body,
    lambda body, source: body.replace(b"\r\n", source.choice([b"\n", b"\r", b"\r\n\r\n", b" "])),
    lambda body, source: body.replace(b"\r\n", b"\r\n" * source.choice([1, 3]), source.randrange(5)),
    _in_place(NUMBER, lambda _, source: source.choice(WORDS)),
    _in_place(TEXT, lambda _, source: source.choice(WORDS)),
    _in_place(LINE, lambda line, source: source.choice([b"", line * 2, line[:GRAIN] * 100, source.choice(WORDS)])),
    _in_place(ELEMENT, lambda whole, source: whole[:GRAIN] * source.choice([0, 2, 100, 3000])),
    _in_place(ELEMENT, lambda whole, _: b"<DurationList>" + whole + b"</DurationList>"),
]


def made(name: str, seed: int, number: int) -> tuple[str, bytes, Source]:
    """Return the input of that name: content type, body, and what cuts it where it is a stream."""
    source = random.Random(f"{name}/{seed}/{number}")
    seeds = PARSERS[name].seeds
    content_type, body = source.choice(seeds)
    for _ in range(source.choice([1, 1, 1, 2, 3, 5, 9])):
        if source.random() < 0.1:  # grafted with another
            other = source.choice(seeds)[1]
            body = body[: source.randrange(len(body) + 1)] + other[source.randrange(len(other) + 1) :]
        body = source.choice(CHANGES)(body, source)[:MOST_INPUT]
    if source.random() < 0.1:
        content_type = source.choice([*TYPES, content_type + '; boundary="' + "b" * 300, "\x00", "multipart/"])
    return content_type, body, source


# --- the trial --------------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """What came of the inputs of one parser."""

    inputs: int
    refused: int
    sightings: int
    peak_bytes: int
    slowest_ms: float
    findings: list[str]


def tried(name: str, *, seed: int, seconds: float) -> Trial:
    """Try one parser for so long."""
    until = time.monotonic() + seconds
    number = refused = sightings = peak = 0
    slowest = 0.0
    findings: list[str] = []
    while time.monotonic() < until and len(findings) < 10:
        content_type, body, source = made(name, seed, number)
        is_traced = number % LOOK_EVERY == 0
        if is_traced:
            tracemalloc.start()
        began = time.process_time()
        try:
            found = PARSERS[name].read(content_type, body, source)
            sightings += len(found)
            findings += [f"{name}/{seed}/{number}: {wrong}" for wrong in _wrong(found, PARSERS[name].brand)]
        except Refused as refusal:
            refused += 1
            if len(str(refusal)) > 1000:
                findings.append(f"{name}/{seed}/{number}: a reason of {len(str(refusal))} characters")
        except Exception as error:  # whatever it is, it is a finding
            findings.append(f"{name}/{seed}/{number}: {type(error).__name__}: {str(error)[:200]}")
        slowest = max(slowest, (time.process_time() - began) * 1000)
        if is_traced:
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        number += 1
    if slowest > SLOWEST_MS:
        findings.append(f"{name}: {slowest:.0f} ms for one input")
    if peak > MOST_MEMORY:
        findings.append(f"{name}: {peak} bytes for one input")
    return Trial(number, refused, sightings, peak, slowest, findings)


def _wrong(found: Sequence[Sighting], brand: Brand) -> Iterator[str]:
    """Say what of the sightings cannot go on: texts without bound, or what the tracker or the contract cannot bear."""
    kinds = {each.kind: "CAM.GARBAGE" for each in found if 0 < len(each.kind) <= 120}
    tracker = Tracker(camera(brand=brand, map=dict(list(kinds.items())[:200])), gateway="gw")
    for sighting in found:
        texts = (sighting.kind, sighting.channel, sighting.id, sighting.note, sighting.said_at)
        if max(map(len, texts)) > LONGEST_TEXT:
            yield f"a text of {max(map(len, texts))} characters"
        try:
            step = tracker.judge(sighting, Moment(START, 1000))
        except Refused:
            continue
        tracker.accept(step)
        msgspec.json.encode(step.event)
        tracker.state()
