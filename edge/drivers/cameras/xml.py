"""XML of cameras, read by expat into small elements, with bounds on everything. Pure.

A document type is refused, and with it every entity that is not XML's own: no camera sends one. Depth, number of
elements, attributes and bytes are bounded while reading, before anything is built from them.

Vendors in China declare GB2312, or declare UTF-8 and send GBK in names: what is no UTF-8 is read as GB18030.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from xml.parsers import expat  # nosec B407 -- a document type is refused below

from edge.drivers.cameras import Refused, Why

MOST_BYTES: Final = 256 * 1024
MOST_ELEMENTS: Final = 4096
MOST_ATTRIBUTES: Final = 32  # of one element
DEEPEST: Final = 32
BYTE_ORDER_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class Element:
    """One element: its name without prefix, the namespace that the prefix stood for, attributes by local name."""

    __slots__ = ("attributes", "children", "name", "namespace", "text")

    def __init__(self, namespace: str, name: str, attributes: dict[str, str]) -> None:
        self.namespace, self.name, self.attributes = namespace, name, attributes
        self.children: list[Element] = []
        self.text = ""

    def child(self, *names: str) -> Element | None:
        """Return the first child of that name, and of it the next name's; None where there is none."""
        found: Element | None = self
        for name in names:
            found = next((child for child in found.children if child.name == name), None) if found else None
        return found

    def word(self, *names: str) -> str:
        """Return the stripped text of that child, empty where there is none."""
        found = self.child(*names)
        return found.text.strip() if found else ""

    def all(self, name: str) -> Iterator[Element]:
        """Every element of that name below and with this one, in the order of the document."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            if element.name == name:
                yield element
            waiting.extend(reversed(element.children))


def read_xml(body: bytes) -> Element:
    """Return the root element. Raises Refused: malformed, hostile or too large."""
    if len(body) > MOST_BYTES:
        raise Refused(Why.TOO_LARGE, f"XML has {len(body)} bytes, at most {MOST_BYTES} are read")
    builder = _Builder()
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.begin
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.take
    try:
        parser.Parse(_as_text(body).encode(), True)  # noqa: FBT003 -- expat takes no keywords
    except expat.ExpatError as error:
        raise Refused(Why.MALFORMED, f"XML: {error}") from error
    return builder.root


def _as_text(body: bytes) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, errors="replace")
    try:
        return body.strip().decode()
    except UnicodeDecodeError:
        return body.strip().decode("gb18030", errors="replace")


def _refuse_doctype(*_: Any) -> None:
    raise Refused(Why.HOSTILE, "XML has a document type, which may define entities: no camera sends one")


class _Builder:
    def __init__(self) -> None:
        self.root = Element("", "", {})
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0

    def begin(self, said: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= DEEPEST or self._count > MOST_ELEMENTS or len(attributes) > MOST_ATTRIBUTES:
            raise Refused(Why.HOSTILE, f"XML is deeper than {DEEPEST} or has more than {MOST_ELEMENTS} elements")
        namespace, _, name = said.rpartition(" ")
        element = Element(namespace, name, {key.rpartition(" ")[2]: value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def take(self, text: str) -> None:
        self._texts[-1].append(text)
