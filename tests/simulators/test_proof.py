"""The proof finds what is missing, foreign, changed or double, and nothing else."""

from __future__ import annotations

from pathlib import Path

from simulators.demo.proof import Counts, Row, compare, join, read_journal

JOURNAL = """\
{"epoch":"8f3a61c2d47b905e","lane":"live","seq":1,"readings":[["m","voltage_l1",1790000000000,230.1,1,0],["m","depth",1790000000000,null,9,1]]}
{"epoch":"8f3a61c2d47b905e","lane":"events","seq":1,"readings":[]}
{"epoch":"8f3a61c2d47b905e","counts":{"taken":2,"unchanged":0,"given_up":0,"refused":0}}
{"epoch":"8f3a61c2d47b905e","counts":{"taken":9,"unchanged":7,"given_up":0,"refused":0}}
{"epoch":"1111111111111111","lane":"backlog","seq":1,"readings":[["m","energy_import_total",1790000001000,9007199254740993,1,0]]}
{"epoch":"1111111111111111","counts":{"taken":3,"unchanged":2,"given_up":0,"refused":0}}
"""
ROWS = [
    Row("gw", "m", "voltage_l1", 1_790_000_000_000, 230.1, 1, 0),
    Row("gw", "m", "depth", 1_790_000_000_000, None, 9, 1),
    Row("gw", "m", "energy_import_total", 1_790_000_001_000, 9_007_199_254_740_993, 1, 0),
]


def test_a_journal_is_read(tmp_path: Path) -> None:
    """Every reading is there with all its digits; of each epoch the last counts hold."""
    path = tmp_path / "journal"
    path.write_text(JOURNAL)
    journalled = read_journal(path, "gw")
    assert journalled.rows == ROWS
    assert journalled.counts == Counts(taken=12, unchanged=9)
    assert join([journalled, journalled]).counts == Counts(taken=24, unchanged=18)


def test_the_same_is_the_same() -> None:
    """Order does not matter."""
    comparison = compare(ROWS, ROWS[::-1])
    assert (comparison.missing, comparison.foreign, comparison.repeated) == ([], [], 0)


def test_what_differs_is_found() -> None:
    """A lost row is missing, an invented one foreign, a changed value or flag both, a double one counted."""
    first, second, third = ROWS
    changed, flagged, invented = first._replace(value=230.2), second._replace(flag=4), third._replace(point="depth")
    comparison = compare(ROWS, [changed, flagged, invented, invented])
    assert set(comparison.missing) == set(ROWS)
    assert set(comparison.foreign) == {changed, flagged, invented}
    assert comparison.repeated == 1
    assert "foreign" in str(comparison)
