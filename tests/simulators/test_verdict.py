"""The demo's verdict: 0 only when nothing is missing or foreign, the account adds up, and people closed an order."""

from __future__ import annotations

import msgspec
import pytest

from simulators.demo.check import Report, closed_by_people
from simulators.demo.cloud_api import Order

GOOD = Report(
    taken=3521,
    unchanged=2797,
    stored=724,
    missing=0,
    foreign=0,
    orders_opened=3,
    orders_closed=1,
    seconds_to_order=0.01,
)


def test_a_good_report_passes() -> None:
    """It has no faults, exit code 0, and one line for people."""
    assert (GOOD.faults, GOOD.exit_code) == ([], 0)
    assert str(GOOD) == "nothing is missing: 724 readings stored of 724 sent, 2797 unchanged"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"missing": 3}, "3 readings are missing"),
        ({"foreign": 2}, "2 readings are foreign"),
        ({"orders_closed": 0}, "no order was closed by people"),
        ({"taken": 3522}, "724 readings are stored and 725 were sent"),
        ({"unchanged": 2798}, "724 readings are stored and 723 were sent"),
        ({"stored": 725}, "725 readings are stored and 724 were sent"),
    ],
)
def test_each_fault_fails_alone(changes: dict[str, int], fault: str) -> None:
    """One fault is enough for exit code 1, and it is named."""
    report = msgspec.structs.replace(GOOD, **changes)
    assert (report.faults, report.exit_code) == ([fault], 1)
    assert str(report).startswith(f"{fault}: ")
    assert "nothing is missing" not in str(report)


def test_the_report_has_the_keys_of_the_contract() -> None:
    """The last line of the check has exactly these keys, in this order."""
    keys = "taken unchanged stored missing foreign orders_opened orders_closed seconds_to_order"
    assert list(msgspec.json.decode(msgspec.json.encode(GOOD))) == keys.split()


def order(state: str, *, recovered: bool = False) -> Order:
    return Order(
        code="WO-000001",
        state=state,
        version=1,
        class_code="WATERLOG.ROAD.2",
        gateway="gw-east",
        device="road-r3",
        device_name="和平路铁路桥下",
        handler="wang",
        waits_for=None,
        opened_at=1_790_000_000_000,
        recovered=recovered,
    )


def test_only_what_people_closed_counts() -> None:
    """An order that recovered by itself, is void or is still open is not closed by people."""
    orders = [order("closed"), order("closed", recovered=True), order("void"), order("dispatched")]
    assert closed_by_people(orders) == 1
