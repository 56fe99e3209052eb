"""The page about scanning says what the program says."""

from __future__ import annotations

import re

from tests.layout import ROOT

PAGE = (ROOT / "docs" / "scanning.md").read_text(encoding="utf-8")


def test_what_the_page_quotes_is_said_so() -> None:
    """Each quoted finding of the page stands in the program, but for what differs from line to line."""
    table = PAGE.partition("| it says | so |")[2].partition("\n\n")[0]
    quoted = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    source = (ROOT / "edge" / "scan" / "findings.py").read_text(encoding="utf-8")
    said = re.sub(r'"\s*\n\s*\+?\s*\(?f?"', "", source)
    assert len(quoted) == 8
    for words in (part for each in quoted for part in re.split(r" … | 9600 |\d+", each)):
        assert words.replace("try even parity", "try").strip(" :") in said, words
