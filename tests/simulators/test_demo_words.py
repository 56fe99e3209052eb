"""What the demo says: who did what, what to do next, when a gateway is back, and a strip that fits."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from simulators.demo.cloud_api import Epoch, Gateway, Lane, Order, Status, Step
from simulators.demo.console import Console, OutputError, strip_of
from simulators.demo.next_step import next_step
from simulators.demo.watch import has_sent, in_words

COUNTS = [
    ("orders", "3 open, 12 done"),
    ("", "http://127.0.0.1:43211"),
    ("stored", "28671"),
    ("online", "2/2"),
    ("waiting", "118"),
]
ADDRESS = "http://127.0.0.1:43211"


def order(state: str, *, device: str = "road-r3", handler: str | None = "wang") -> Order:
    return Order(
        code="WO-000003",
        state=state,
        version=4,
        class_code="WATERLOG.ROAD.2",
        gateway="gw-east",
        device=device,
        device_name="和平路铁路桥下",
        handler=handler,
        waits_for=None,
        opened_at=1_790_000_000_000,
        recovered=False,
        closing_standards=["消除积水，恢复通行"],
    )


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(5, "wang", "acknowledged"), "acknowledged by wang"),
        (Step(5, "wang", "on_site"), "on site by wang"),
        (Step(5, "zhao", "verified"), "verified by zhao (wang's order)"),
        (Step(5, "rules", "dispatched", "wang"), "dispatched to wang by the rules"),
        (Step(5, "zhao", "dispatched", "wang"), "dispatched to wang by zhao"),
        (Step(5, "rules", "closed"), "closed by itself (自动恢复): the sensor cleared before anybody was on it"),
    ],
)
def test_who_did_it_is_said(step: Step, words: str) -> None:
    """The one who acted is named, and the handler only as the one whose order it is."""
    assert in_words(step, order(step.target)) == words


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("raised", "赵敏 (zhao)"),
        ("dispatched", "王芳 (wang)"),
        ("acknowledged", "王芳 (wang)"),
        ("on_site", "王芳 (wang)"),
        ("done", "赵敏 (zhao)"),
        ("verified", "赵敏 (zhao)"),
    ],
)
def test_the_next_step_says_who_and_where(state: str, name: str) -> None:
    """The person who may take it, and the page of the order."""
    step = next_step(order(state), address=ADDRESS)
    assert step is not None
    assert step.startswith(f"next: {name} ")
    assert step.endswith(f": {ADDRESS}/orders/WO-000003")


def test_nobody_is_asked_to_be_someone_without_a_link() -> None:
    """Each person that has a next step can be signed in as; the orders of others just stay with them."""
    step = next_step(order("dispatched", device="underpass-u1", handler="liu"), address=ADDRESS)
    assert step == f"order WO-000003 stays with 刘洋 (liu), whom nobody plays here: {ADDRESS}/orders/WO-000003"


def test_the_held_flood_says_so() -> None:
    """Only the flooded road waits for its acknowledgement; a finished order has no next step."""
    held, river = (next_step(order("dispatched", device=name), address=ADDRESS) for name in ("road-r3", "river-1"))
    assert held is not None
    assert "stays wet until then, for 10 minutes at most" in held
    assert river is not None
    assert "wet" not in river
    assert next_step(order("closed"), address=ADDRESS) is None


def test_a_gateway_is_back_when_what_waited_is_here() -> None:
    """Every lane must have its receipts up to where it stood; what is new since then may wait, and epochs may go."""

    def gateway(**lanes: tuple[int, int]) -> Gateway:
        status = Status([Epoch("8f3a61c2d47b905e", {name: Lane(*span) for name, span in lanes.items()})])
        return Gateway(online=True, status=status, accounts=[])

    then = gateway(events=(3, 5), backlog=(10, 30))
    assert then.waiting_messages == 22
    assert not has_sent(then, then)
    assert not has_sent(gateway(events=(5, 5), backlog=(29, 30)), then)
    assert has_sent(gateway(events=(5, 6), backlog=(30, 31)), then)
    assert has_sent(Gateway(online=True, status=Status([]), accounts=[]), then)


@pytest.mark.parametrize("width", range(0, 120, 5))
def test_the_strip_holds_whole_counts(width: int) -> None:
    """It never is wider than the terminal, begins with the orders, and no figure is cut."""
    strip = strip_of(COUNTS, width)
    assert strip.cell_len <= width
    shown = [value for _, value in COUNTS if value in strip.plain]
    assert shown == [value for _, value in COUNTS][: len(shown)]
    assert len(strip.plain.split()) == sum(len(f"{name} {value}".split()) for name, value in COUNTS[: len(shown)])


def test_a_narrow_strip_has_orders_and_address() -> None:
    """60 columns hold what a person needs to act."""
    assert strip_of(COUNTS, 60).plain == " orders  3 open, 12 done http://127.0.0.1:43211"


def test_lines_have_their_time_in_one_column() -> None:
    """Whatever says it, a line begins with its second; a line for programs does not."""
    out = io.StringIO()
    with Console(out) as console:
        console.say("one")
        console.say("two\nand more", "order")
        console.say_bare('{"a": 1}')
    lines = out.getvalue().splitlines()
    assert [line[10:] for line in lines[:3]] == ["one", "two", "and more"]
    assert all(line[:10].endswith(" s  ") for line in lines[:2])
    assert lines[3] == '{"a": 1}'


def test_a_full_disk_is_told_as_such() -> None:
    """An output that takes nothing raises OutputError with the reason."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    file = full.open("w")
    try:
        with pytest.raises(OutputError, match="No space left on device"):
            Console(file).say("one")
    finally:
        with pytest.raises(OSError, match="No space"):
            file.close()
