"""Read plans: every point once and whole, within the device's limits, in as little bus time as can be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bus_time import NETWORK, Wire
from edge.contract.profile import (
    IllegalRange,
    ModbusProfile,
    Reads,
    RegisterPoint,
    RegisterType,
    ScaleFrom,
    Source,
    Table,
)
from edge.read_plan import Block, plan, plan_of
from tests.bench import _naive_plans as naive_plans

SOURCE = Source(document="none, made here", origin="none, made here", checked="made for this test")
TYPES: list[RegisterType] = ["uint16", "float32", "float64"]
TABLES: tuple[Table, ...] = ("input", "holding", "discrete")
WIRES = (
    Wire(9600),
    Wire(115_200, 11),
    Wire(1200, turnaround_s=0.0),
    Wire(19_200, turnaround_s=0.1),
    Wire(9600, pause_s=0.03),
    NETWORK,
)


def point(number: int, table: Table, address: int, register_type: RegisterType) -> RegisterPoint:
    return RegisterPoint(
        name=f"voltage_{number}", unit="V", span=(0.0, 1000.0), table=table, address=address, type=register_type
    )


def bit(number: int, table: Table, address: int, of_register: int | None = None) -> RegisterPoint:
    """A contact in a bit table, or in a bit of a register."""
    return RegisterPoint(
        name=f"wet_contact_{number}", unit="1", table=table, address=address, type="bool", bit=of_register
    )


def profile(points: list[RegisterPoint], **reads: object) -> ModbusProfile:
    return ModbusProfile(
        profile="made", maker="none", model="none", kind="electricity_meter", protocol="modbus", source=SOURCE,
        reads=Reads.model_validate(reads), points=tuple(points),
    )  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn, most_points: int = 30, tables: tuple[Table, ...] = TABLES) -> ModbusProfile:
    """Points with random gaps, bits of one register among them, and illegal ranges in some of the gaps."""
    points: list[RegisterPoint] = []
    illegal: list[IllegalRange] = []
    kinds = st.tuples(st.integers(0, 6), st.sampled_from([*TYPES, None]))  # None: two bits of one register
    for table in tables:
        address = draw(st.integers(0, 20))
        for gap, kind in draw(st.lists(kinds, max_size=most_points)):
            if gap and draw(st.booleans()) and draw(st.booleans()):
                first = draw(st.integers(address, address + gap - 1))
                illegal.append(IllegalRange(table=table, first=first, last=draw(st.integers(first, address + gap - 1))))
            number = len(points)
            if table == "discrete":
                points.append(bit(number, table, address + gap))
            elif kind is None:
                points += [bit(number, table, address + gap, 3), bit(number + 1, table, address + gap, 0)]
            else:
                points.append(point(number, table, address + gap, kind))
            address = points[-1].registers.stop
    points = points or [point(0, "input", 0, "uint16")]
    points = draw(st.permutations(points))
    return profile(
        points,
        max_registers=draw(st.integers(4, 20)),
        max_gap=draw(st.integers(0, 6)),
        illegal=tuple(illegal) if len(points) > 1 else (),
    )


def is_allowed(points: tuple[RegisterPoint, ...], reads: Reads) -> bool:
    """Whether one request may read these points; written apart from the planner."""
    asked = {address for p in points for address in p.registers}
    span = range(min(asked), max(asked) + 1)
    banned = {a for t in reads.illegal if t.table == points[0].table for a in range(t.first, t.last + 1)}
    longest_gap = max((after - before - 1 for before, after in pairwise(sorted(asked))), default=0)
    return len(span) <= reads.max_registers and longest_gap <= reads.max_gap and banned.isdisjoint(span)


Cost = tuple[int, int, int]  # nanoseconds, requests, registers


def partitions(points: tuple[RegisterPoint, ...]) -> Iterator[list[tuple[RegisterPoint, ...]]]:
    """Every way to put points into groups, whether consecutive or not."""
    if not points:
        yield []
        return
    first, others = points[0], points[1:]
    for size in range(len(others) + 1):
        for chosen in combinations(range(len(others)), size):
            rest = tuple(each for index, each in enumerate(others) if index not in chosen)
            for groups in partitions(rest):
                yield [(first, *(others[index] for index in chosen)), *groups]


def cost_of(groups: list[tuple[RegisterPoint, ...]], wire: Wire) -> Cost:
    """What it takes to read each group with one request."""
    spans = [(its[0].table, max(p.registers.stop for p in its) - min(p.registers.start for p in its)) for its in groups]
    return sum(wire.request_ns(*span) for span in spans), len(spans), sum(count for _, count in spans)


def least(points: tuple[RegisterPoint, ...], reads: Reads, wire: Wire) -> Cost:
    """The least cost of all partitions that the device allows."""
    allowed = (groups for groups in partitions(points) if all(is_allowed(its, reads) for its in groups))
    return min(cost_of(groups, wire) for groups in allowed)


@given(profiles(), st.sampled_from(WIRES))
def test_every_point_is_read_once_and_whole(made: ModbusProfile, wire: Wire) -> None:
    """Each point lies whole in exactly one block, of its own table."""
    blocks = plan_of(made, wire)
    assert sorted(name for block in blocks for name in block.names) == sorted(p.name for p in made.points)
    for block in blocks:
        for p in block.points:
            assert p.table == block.table
            assert block.address <= p.registers.start <= p.registers.stop <= block.address + block.count


@given(profiles(), st.sampled_from(WIRES))
def test_a_block_keeps_the_limits(made: ModbusProfile, wire: Wire) -> None:
    """No block is longer than the device allows, bridges too wide a gap, or touches an illegal address."""
    for block in plan_of(made, wire):
        assert is_allowed(block.points, made.reads)
        asked = [address for p in block.points for address in p.registers]
        assert (block.address, block.count) == (min(asked), max(asked) + 1 - min(asked))


@pytest.mark.parametrize("table", TABLES)
@given(st.data())
def test_no_plan_takes_less_time(table: Table, data: st.DataObject) -> None:
    """Every partition of a small map into allowed blocks takes as long as the plan, or longer, on every wire.

    Of those that take as long, none has fewer requests, and of these none reads fewer registers.
    """
    made = data.draw(profiles(most_points=3 if table != "discrete" else 6, tables=(table,)))
    made = made.model_copy(update={"points": made.points[:6]})
    for wire in WIRES:
        planned = cost_of([block.points for block in plan_of(made, wire)], wire)
        assert planned == least(made.points, made.reads, wire)


@st.composite
def scaled(draw: st.DrawFn) -> tuple[tuple[RegisterPoint, ...], Reads]:
    """Up to 6 values, some with a scale factor elsewhere: their registers may overlap, or lie within each other's."""
    places = draw(st.permutations(range(14)))
    count = draw(st.integers(1, 6))
    scales = places[count : count + 3]
    points = tuple(
        RegisterPoint.model_validate(
            {"name": f"voltage_{number}", "unit": "V", "span": (0, 1000), "table": "input", "type": "uint16",
             "address": address, "scale_from": None if scale is None else {"address": scale}}
        )
        for number, address in enumerate(places[:count])
        for scale in [draw(st.sampled_from([None, *scales]))]
    )  # fmt: skip
    asked = {address for each in points for address in each.registers}
    banned = draw(st.sets(st.sampled_from(range(15)), max_size=2)) - asked
    reads = Reads(
        max_registers=draw(st.integers(max(len(each.registers) for each in points), 15)),
        max_gap=draw(st.integers(0, 6)),
        illegal=tuple(IllegalRange(table="input", first=address, last=address) for address in banned),
    )
    return points, reads


@given(scaled())
def test_no_plan_with_scale_factors_takes_less_time(made: tuple[tuple[RegisterPoint, ...], Reads]) -> None:
    """Points that are read together with a register elsewhere are planned as well as all others."""
    points, reads = made
    for wire in WIRES:
        blocks = plan(points, reads, wire)
        assert all(is_allowed(block.points, reads) for block in blocks)
        assert cost_of([block.points for block in blocks], wire) == least(points, reads, wire)


def test_a_shared_scale_factor_is_read_twice_where_that_is_least() -> None:
    """Two long runs that share a register between them need two requests, both with that register, not three."""
    low = [point(number, "input", number, "uint16") for number in range(8)]
    high = [point(number, "input", number, "uint16") for number in range(11, 19)]
    around = [
        RegisterPoint.model_validate({**each.model_dump(), "scale_from": {"address": 9}})
        for each in (point(30, "input", 8, "uint16"), point(31, "input", 10, "uint16"))
    ]
    blocks = plan([*low, *around, *high], Reads(max_registers=10), Wire(9600))
    assert [(block.address, block.count) for block in blocks] == [(0, 10), (9, 10)]


@given(profiles(most_points=4), st.sampled_from(WIRES))
def test_tables_are_planned_apart(made: ModbusProfile, wire: Wire) -> None:
    """The plan of a device is the plans of its tables."""
    alone = [plan([p for p in made.points if p.table == table], made.reads, wire) for table in TABLES]
    blocks = plan(made.points, made.reads, wire)
    assert sorted(map(str, blocks)) == sorted(str(block) for its in alone for block in its)


@given(profiles(), st.sampled_from(WIRES))
def test_the_order_of_points_in_the_profile_does_not_matter(made: ModbusProfile, wire: Wire) -> None:
    """The same points in another order give the same plan."""
    other = made.model_copy(update={"points": tuple(reversed(made.points))})
    assert plan_of(other, wire) == plan_of(made, wire)


def test_a_gap_is_read_through_where_that_saves_time() -> None:
    """At 9600 baud, 8N1, a second request costs as much as 10.9 registers: a gap of 10 is read along, one of 11 not.

    13 characters and 3.5 of quiet at 1.0417 ms, and 5 ms of turnaround: 22.19 ms; a register takes 2.083 ms.
    On a network each gap that the device permits is read along.
    """
    near, far = (
        [point(0, "input", 0, "uint16"), point(1, "input", gap + 1, "uint16")] for gap in (10, 11)
    )  # fmt: skip
    reads = Reads(max_gap=20)
    assert [len(plan(points, reads, Wire(9600))) for points in (near, far)] == [1, 2]
    assert [len(plan(points, reads, NETWORK)) for points in (near, far)] == [1, 1]


def test_equal_time_goes_to_fewer_registers() -> None:
    """On a network, where two requests are needed anyway, the wide gap is the one that is not read along."""
    points = [point(index, "input", address, "uint16") for index, address in enumerate((0, 2, 8))]
    blocks = plan(points, Reads(max_registers=8, max_gap=6), NETWORK)
    assert [(block.address, block.count) for block in blocks] == [(0, 3), (8, 1)]


def test_a_block_gives_each_point_its_own_words() -> None:
    """Words are cut by address, whatever lies between the points."""
    block = Block("input", 10, 6, (point(0, "input", 10, "float32"), point(1, "input", 15, "uint16")))
    assert block.split((1, 2, 3, 4, 5, 6)) == {"voltage_0": (1, 2), "voltage_1": (6,)}
    assert str(block) == "input 0x000a to 0x000f"


def test_bits_of_one_register_share_it() -> None:
    """Points that are different bits of one register are read with one request for one register."""
    flags = [bit(number, "holding", 3, number) for number in (0, 5)]
    (block,) = plan(flags, Reads(), Wire(9600))
    assert (block.address, block.count) == (3, 1)
    assert block.split((0x21,)) == {"wet_contact_0": (0x21,), "wet_contact_5": (0x21,)}


def test_a_scale_factor_comes_with_its_value() -> None:
    """What lies between a value and its scale factor is in the same request, whichever of them comes first."""
    scaled = {
        name: point(number, "holding", address, "uint16").model_copy(update={"scale_from": ScaleFrom(address=scale)})
        for number, (name, address, scale) in enumerate((("before", 11, 5), ("after", 8, 14)))
    }
    plain = point(2, "holding", 6, "float32")
    for made in (profile([*scaled.values(), plain]), profile([plain, *reversed(scaled.values())])):
        (block,) = plan_of(made)
        words = block.split(tuple(range(block.address, block.address + block.count)))
        assert words == {each.name: tuple(each.registers) for each in made.points}
        assert (block.address, block.count) == (5, 10)


def test_naive_plans_are_what_their_names_say() -> None:
    """One by one is a request a point; merge adjacent stops at each gap and at the largest request."""
    points = [point(number, "input", address, "float32") for number, address in enumerate((0, 2, 4, 10, 12))]
    points.append(point(9, "holding", 14, "uint16"))
    assert len(naive_plans.one_by_one(iter(points))) == 6
    merged = naive_plans.merge_adjacent(iter(points), Reads(max_registers=4))
    assert sorted((b.table, b.address, b.count) for b in merged) == [
        ("holding", 14, 1),
        ("input", 0, 4),
        ("input", 4, 2),
        ("input", 10, 4),
    ]


@given(profiles(), st.sampled_from(WIRES))
def test_no_naive_plan_is_better(made: ModbusProfile, wire: Wire) -> None:
    """Neither naive plan takes less time than ours."""
    ours = cost_of([block.points for block in plan_of(made, wire)], wire)
    assert ours <= cost_of([block.points for block in naive_plans.one_by_one(made.points)], wire)
    assert ours <= cost_of([block.points for block in naive_plans.merge_adjacent(made.points, made.reads)], wire)
