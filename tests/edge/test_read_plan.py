"""Read plans: every point once and whole, within the device's limits, in as few requests as can be."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.contract.profile import IllegalRange, ModbusProfile, Reads, RegisterPoint, RegisterType, Source, Table
from edge.read_plan import Block, plan

SOURCE = Source(document="none, made here", origin="none, made here", checked="made for this test")
TYPES: list[RegisterType] = ["uint16", "float32", "float64"]


def point(number: int, table: Table, address: int, register_type: RegisterType) -> RegisterPoint:
    return RegisterPoint(
        name=f"voltage_{number}", unit="V", span=(0.0, 1000.0), table=table, address=address, type=register_type
    )


def profile(points: list[RegisterPoint], **reads: object) -> ModbusProfile:
    return ModbusProfile(
        profile="made", maker="none", model="none", kind="electricity_meter", protocol="modbus", source=SOURCE,
        reads=Reads.model_validate(reads), points=tuple(points),
    )  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn, most_points: int = 30) -> ModbusProfile:
    """Points with random gaps in two tables, and illegal ranges in some of the gaps."""
    points: list[RegisterPoint] = []
    illegal: list[IllegalRange] = []
    tables: list[Table] = ["input", "holding"]
    for table in tables:
        address = draw(st.integers(0, 20))
        for gap, kind in draw(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(TYPES)), max_size=most_points)):
            if gap and draw(st.booleans()) and draw(st.booleans()):
                first = draw(st.integers(address, address + gap - 1))
                illegal.append(IllegalRange(table=table, first=first, last=draw(st.integers(first, address + gap - 1))))
            points.append(point(len(points), table, address + gap, kind))
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
    """Whether one request may read these points, sorted by address; written apart from the planner."""
    asked = {address for p in points for address in p.registers}
    span = range(min(asked), max(asked) + 1)
    banned = {a for t in reads.illegal if t.table == points[0].table for a in range(t.first, t.last + 1)}
    longest_gap = max((after - before - 1 for before, after in pairwise(sorted(asked))), default=0)
    return len(span) <= reads.max_registers and longest_gap <= reads.max_gap and banned.isdisjoint(span)


def fewest(points: tuple[RegisterPoint, ...], reads: Reads) -> int:
    """The fewest requests, by trying every way to put the first point together with any of the others."""
    if not points:
        return 0
    first, others = points[0], points[1:]
    best = len(points)
    for chosen in range(1 << len(others)):
        together = (first, *(p for index, p in enumerate(others) if chosen >> index & 1))
        if is_allowed(together, reads):
            rest = tuple(p for index, p in enumerate(others) if not chosen >> index & 1)
            best = min(best, 1 + fewest(rest, reads))
    return best


@given(profiles())
def test_every_point_is_read_once_and_whole(made: ModbusProfile) -> None:
    """Each point lies whole in exactly one block, of its own table."""
    blocks = plan(made)
    assert sorted(name for block in blocks for name in block.names) == sorted(p.name for p in made.points)
    for block in blocks:
        for p in block.points:
            assert p.table == block.table
            assert block.address <= p.registers.start <= p.registers.stop <= block.address + block.count


@given(profiles())
def test_a_block_keeps_the_limits(made: ModbusProfile) -> None:
    """No block is longer than the device allows, bridges too wide a gap, or touches an illegal address."""
    for block in plan(made):
        assert is_allowed(block.points, made.reads)
        asked = [address for p in block.points for address in p.registers]
        assert (block.address, block.count) == (min(asked), max(asked) + 1 - min(asked))


@given(profiles(most_points=4))
def test_no_plan_has_fewer_requests(made: ModbusProfile) -> None:
    """Every partition of a small map into allowed blocks has at least as many blocks as the plan."""
    tables: list[Table] = ["input", "holding"]
    by_table = [
        tuple(sorted((p for p in made.points if p.table == table), key=lambda p: p.address)) for table in tables
    ]
    assert len(plan(made)) == sum(fewest(points, made.reads) for points in by_table)


@given(profiles())
def test_the_order_of_points_in_the_profile_does_not_matter(made: ModbusProfile) -> None:
    """The same points in another order give the same plan."""
    other = made.model_copy(update={"points": tuple(reversed(made.points))})
    assert plan(other) == plan(made)


def test_a_block_gives_each_point_its_own_words() -> None:
    """Words are cut by address, whatever lies between the points."""
    block = Block("input", 10, 6, (point(0, "input", 10, "float32"), point(1, "input", 15, "uint16")))
    assert block.split((1, 2, 3, 4, 5, 6)) == {"voltage_0": (1, 2), "voltage_1": (6,)}
    assert str(block) == "input 0x000a to 0x000f"


def test_bits_of_one_register_share_it() -> None:
    """Points that are different bits of one register are read with one request for one register."""
    flags = [
        RegisterPoint(name=f"wet_contact_{bit}", unit="1", table="holding", address=3, type="bool", bit=bit)
        for bit in (0, 5)
    ]
    (block,) = plan(profile(flags))
    assert (block.address, block.count) == (3, 1)
    assert block.split((0x21,)) == {"wet_contact_0": (0x21,), "wet_contact_5": (0x21,)}
