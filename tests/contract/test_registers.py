"""Register words become the right values, and back: golden cases by hand, properties over all patterns."""

import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.profile import BIT_TABLES, ModbusProfile, RegisterPoint, RegisterType, load_profile
from edge.contract.readings import Value
from edge.contract.registers import EXPONENTS, decode, encode, exponent_in, own_bits, words
from tests.golden import CASES, case_name, load_case

WORD = st.integers(0, 0xFFFF)
ORDERS = st.sampled_from(["high_first", "low_first"])
INTEGERS: dict[RegisterType, tuple[int, int]] = {
    "uint16": (0, 0xFFFF),
    "int16": (-0x8000, 0x7FFF),
    "sign_magnitude16": (-0x7FFF, 0x7FFF),
    "bcd16": (0, 9999),
    "bcd32": (0, 99_999_999),
    "uint32": (0, 0xFFFF_FFFF),
    "int32": (-0x8000_0000, 0x7FFF_FFFF),
}


CONTACT = {"name": "wet_contact", "unit": "1", "span": None}


def point(**changes: Any) -> RegisterPoint:
    """A point of a plain number in volts, or what the changes say."""
    plain = {"name": "voltage", "unit": "V", "table": "input", "address": 0, "type": "uint16", "span": (-1e300, 1e300)}
    return RegisterPoint.model_validate(plain | changes)


def counter(**changes: Any) -> RegisterPoint:
    """A point of a counter in kWh, or what the changes say."""
    plain = {"name": "energy_import", "unit": "kWh", "counter": True, "span": None}
    return point(**plain | changes)


@pytest.mark.parametrize("path", CASES, ids=case_name)
def test_golden_cases(path: Path) -> None:
    """Every point of the profile reads what was worked out by hand, to the last bit, and writes the same words."""
    profile = load_profile(path.parent.name)
    assert isinstance(profile, ModbusProfile)
    case = load_case(path)
    assert list(profile.setting_faults(case.settings)) == []
    assert set(case.expect) == {each.name for each in profile.points}
    for each in profile.installed(case.settings).points:
        held = [case.registers[each.table][address] for address in each.registers]
        wanted = case.expect[each.name]
        value = decode(each, held)
        assert (type(value), repr(value)) == (type(wanted), repr(wanted)), each.name
        if value is not None:
            written = encode(each, value, exponent=exponent_in(each, held))
            assert written == [word & own for word, own in zip(held, own_bits(each), strict=True)], each.name


def test_the_worked_example_holds(tmp_path: Path) -> None:
    """The profile and the case that CONTRIBUTING shows fit each other."""
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    profile_text, case_text = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "acme_l1.yaml").write_text(profile_text, encoding="utf-8")
    (tmp_path / "full.yaml").write_text(case_text, encoding="utf-8")
    case = load_case(tmp_path / "full.yaml")
    (each,) = load_profile(tmp_path / "acme_l1.yaml").points
    assert isinstance(each, RegisterPoint)
    assert case.expect == {each.name: decode(each, [case.registers["holding"][each.address]])}


def test_every_modbus_profile_has_a_golden_case() -> None:
    """A profile that is read by Modbus comes with at least one case worked out by hand."""
    folder = Path(__file__).parents[2] / "firmware_configs" / "profiles"
    names = {path.stem for path in folder.glob("*/*.yaml")}
    modbus = {name for name in names if isinstance(load_profile(name), ModbusProfile)}
    cases = {path.parent.name for path in CASES}
    missing = [f"{name}: no case in tests/cases/profiles/{name}/" for name in sorted(modbus - cases)]
    assert missing == []
    assert cases <= modbus


@given(data=st.data(), kind=st.sampled_from(sorted(INTEGERS)), word_order=ORDERS, byte_order=ORDERS)
def test_whole_numbers_survive(data: st.DataObject, kind: RegisterType, word_order: str, byte_order: str) -> None:
    """Every whole number of a register type comes back from the words it was written as, in every order of bytes."""
    each = point(type=kind, word_order=word_order, byte_order=byte_order)
    number = data.draw(st.integers(*INTEGERS[kind]))
    assert decode(each, encode(each, number)) == number


@given(
    held=st.lists(WORD, min_size=2, max_size=2),
    kind=st.sampled_from(["uint32", "int32", "float32"]),
    scale=st.sampled_from(["1", "0.1", "0.001", "10"]),
    word_order=ORDERS,
    byte_order=ORDERS,
)
def test_patterns_survive(held: list[int], kind: str, scale: str, word_order: str, byte_order: str) -> None:
    """What was read can be written again: every pattern of two registers that holds a value gives itself."""
    each = point(type=kind, scale=Decimal(scale), word_order=word_order, byte_order=byte_order)
    value = decode(each, held)
    if value is None:
        assert kind == "float32"  # NaN and infinities only
    elif not (kind == "float32" and value == 0 and scale != "1"):  # scaling takes the sign of -0.0
        assert encode(each, value) == held


@given(held=st.lists(WORD, min_size=4, max_size=4), kind=st.sampled_from(["uint64", "int64"]), word_order=ORDERS)
def test_wide_counters_survive(held: list[int], kind: str, word_order: str) -> None:
    """A 64-bit counter keeps every digit; what an int64 cannot hold is no value rather than a wrong one."""
    each = counter(type=kind, unit="Wh", word_order=word_order)
    value = decode(each, held)
    high_first = held if word_order == "high_first" else held[::-1]
    raw = int("".join(f"{word:04X}" for word in high_first), 16)
    if kind == "uint64" and raw >= 1 << 63:
        assert value is None
    else:
        assert value == (raw if raw < 1 << 63 else raw - (1 << 64))
        assert encode(each, value) == held


@given(raw=st.integers(-0x8000, 0x7FFF), digits=st.integers(0, 6))
def test_scale_is_exact(raw: int, digits: int) -> None:
    """A decimal scale gives the float nearest to the decimal a person would write."""
    scale = Decimal(1).scaleb(-digits)
    value = decode(point(type="int16", scale=scale), [raw & 0xFFFF])
    assert value == float(raw * scale)


@given(raw=st.integers(0, 0xFFFF_FFFF), scale=st.sampled_from(["0.01", "0.001", "0.0001", "1", "0.125"]))
def test_counters_are_rounded_once(raw: int, scale: str) -> None:
    """A counter is the whole number of watt-hours nearest to the exact product, never off by a float's error."""
    value = decode(counter(type="uint32", scale=Decimal(scale)), [raw >> 16, raw & 0xFFFF])
    assert isinstance(value, int)
    assert abs(Fraction(value) - raw * Fraction(scale) * 1000) <= Fraction(1, 2)


def scaled(**changes: Any) -> RegisterPoint:
    """A 16-bit number at address 10 whose exponent stands two registers after it."""
    return point(**{"type": "int16", "address": 10, "scale_from": {"address": 12}} | changes)


@pytest.mark.parametrize(
    ("changes", "held", "value"),
    [
        ({}, [2301, 7, 0xFFFF], 230.1),  # -1
        ({}, [2301, 7, 0x0000], 2301.0),
        ({}, [2301, 7, 0x0002], 230_100.0),
        ({}, [2301, 7, 0xFFF6], 2.301e-7),  # -10, the least that SunSpec has
        ({}, [2301, 7, 0x8000], None),  # SunSpec: not implemented
        ({}, [2301, 7, 11], None),
        ({"missing": (0x8000,)}, [0x8000, 7, 0xFFFF], None),
        ({"scale_from": {"address": 8}}, [0xFFFE, 7, 2301], 23.01),  # the exponent before the value
        ({"scale_from": {"address": 11, "sign": -1}}, [2301, 2], 23.01),  # the number of decimals
        ({"scale_from": {"address": 11, "sign": -1, "bits": (8, 11)}}, [2301, 0xF2FF], 23.01),
        ({"scale_from": {"address": 11, "sign": -1, "bits": (8, 11)}}, [2301, 0x0BFF], None),  # 11 decimals
        ({"unit": "kV", "scale": Decimal("0.5"), "offset": Decimal(1)}, [2301, 7, 0xFFFF], 116_050.0),
        ({"byte_order": "low_first"}, [0xFD08, 7, 0xFFFF], 230.1),
        ({"type": "float32", "scale_from": {"address": 12}}, [0x4366, 0x0000, 0xFFFF], 23.0),
    ],
)
def test_a_scale_factor_is_read_with_the_value(changes: dict[str, Any], held: list[int], value: Value) -> None:
    """The power of ten that stands beside a value holds for it at once; one that says nothing leaves no value."""
    each = scaled(**changes)
    assert len(each.registers) == words(each) == len(held)
    assert decode(each, held) == value
    if value is not None:
        written = encode(each, value, exponent=exponent_in(each, held))
        assert written == [word & own for word, own in zip(held, own_bits(each), strict=True)]


@given(raw=st.integers(-0x8000, 0x7FFF), exponent=st.sampled_from(EXPONENTS), digits=st.integers(0, 4))
def test_scale_factors_are_exact(raw: int, exponent: int, digits: int) -> None:
    """Whatever the exponent, the value is the float nearest to the exact decimal, and comes back as it was written."""
    each = scaled(scale=Decimal(1).scaleb(-digits))
    held = [raw & 0xFFFF, 0, exponent & 0xFFFF]
    value = decode(each, held)
    assert value == float(raw * Fraction(10) ** (exponent - digits))
    assert exponent_in(each, held) == exponent
    assert encode(each, value, exponent=exponent) == held


def test_without_a_word_the_usual_scale_factor_is_written() -> None:
    """A simulated device has the exponent that the profile calls usual; one that does not fit is refused."""
    each = scaled(scale_from={"address": 11, "usual": -2})
    assert encode(each, 23.01) == [2301, 0xFFFE]
    with pytest.raises(ValueError, match="voltage: 11 does not fit into its scale factor"):
        encode(each, 23.01, exponent=11)
    assert exponent_in(point(), [1]) is None


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ([1, 2], "voltage: int16 is 3 words, not 2"),
        ([1, 2, 65536], "voltage: 65536 is not a word from 0 to 65535"),
        ([65536, 2, 3], "voltage: 65536 is not a word from 0 to 65535"),
    ],
)
def test_words_with_a_scale_factor_are_checked(held: list[int], reason: str) -> None:
    """Words that cannot have come from the device are told by name also where a scale factor is among them."""
    with pytest.raises(ValueError, match=reason):
        decode(scaled(), held)


@given(word=WORD, first=st.integers(0, 15), size=st.integers(1, 16), byte_order=ORDERS)
def test_fields_of_bits(word: int, first: int, size: int, byte_order: str) -> None:
    """A field reads its own bits, whatever the others hold, and is written into these alone."""
    last = min(first + size - 1, 15)
    each = point(bits=(first, last), byte_order=byte_order)
    number = word if byte_order == "high_first" else int.from_bytes(word.to_bytes(2, "little"), "big")
    value = decode(each, [word])
    assert value == float(f"{number:016b}"[15 - last : 16 - first] and int(f"{number:016b}"[15 - last : 16 - first], 2))
    assert encode(each, value) == [word & own_bits(each)[0]]


@pytest.mark.parametrize(
    ("changes", "modulus"),
    [
        ({"type": "uint16", "unit": "Wh"}, 65_536),
        ({"type": "uint32", "scale": Decimal("0.01")}, 42_949_672_960),
        ({"type": "uint32", "wraps_at": 99_999_999, "scale": Decimal("0.01")}, 1_000_000_000),
        ({"type": "bcd32"}, 100_000_000_000),
        ({"type": "uint64"}, None),
        ({"type": "float32"}, None),
        ({"type": "uint32", "scale_from": {"address": 5}}, None),
    ],
)
def test_where_counters_begin_again(changes: dict[str, Any], modulus: int | None) -> None:
    """A counter tells in its quantity's unit what it has counted when it is at 0 again; 64 bits never come to that."""
    assert counter(**changes).modulus == modulus


ALL_NUMBERS: list[RegisterType] = [*INTEGERS, "uint64", "int64", "float32", "float64"]
FORMATS = {"int16": ">h", "int32": ">i", "int64": ">q", "float32": ">f", "float64": ">d"}


def in_fractions(each: RegisterPoint, held: list[int]) -> Value:
    """The value by the formula as it is written, slowly: one pattern, one exact product, rounded once."""
    ordered = held if each.word_order == "high_first" else held[::-1]
    data = b"".join(word.to_bytes(2, "big" if each.byte_order == "high_first" else "little") for word in ordered)
    raw: int | float = int.from_bytes(data, "big")
    if raw in each.missing:
        return None
    if each.type in FORMATS:
        (raw,) = struct.unpack(FORMATS[each.type], data)
    if each.type.startswith("bcd"):
        try:
            raw = int(f"{raw:X}")
        except ValueError:
            return None
    if each.type == "sign_magnitude16" and raw >= 0x8000:
        raw = 0x8000 - int(raw)
    if not math.isfinite(raw):
        return None
    if isinstance(raw, float) and not each.counter and (each.multiplier, each.addend) == (Fraction(1), Fraction(0)):
        return raw
    exact = Fraction(raw) * each.multiplier + each.addend
    if each.counter:
        return round(exact) if -(1 << 63) <= round(exact) < 1 << 63 else None
    try:
        return float(exact)
    except OverflowError:
        return None


@settings(max_examples=400)
@given(data=st.data(), kind=st.sampled_from(ALL_NUMBERS), make=st.sampled_from([point, counter]))
def test_what_is_made_ready_follows_the_formula(
    data: st.DataObject, kind: RegisterType, make: Callable[..., RegisterPoint]
) -> None:
    """Of any type, order, unit, scale and offset, any words give the value of the exact formula to the last bit."""
    decimals = st.decimals(-1000, 1000, places=4).filter(bool)
    each = make(
        type=kind,
        unit=data.draw(st.sampled_from(["kV", "V"] if make is point else ["MWh", "Wh"])),
        word_order=data.draw(ORDERS),
        byte_order=data.draw(ORDERS),
        scale=data.draw(st.just(Decimal(1)) | decimals),
        offset=data.draw(st.just(Decimal(0)) | decimals),
        missing=tuple(data.draw(st.lists(st.sampled_from([0, 0x7FFF, 0x8000, 0xFFFF]), max_size=2))),
    )
    count = words(each)
    held = data.draw(st.lists(st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFF]) | WORD, min_size=count, max_size=count))
    assert repr(decode(each, held)) == repr(in_fractions(each, held))


def test_it_is_made_ready_once() -> None:
    """A point that is read over and over keeps what was made ready for it, and is the same point as before."""
    one, other = point(), point()
    assert decode(one, [7]) == 7.0
    assert one.decode is one.decode
    assert one == other


@pytest.mark.parametrize(
    ("changes", "held", "value"),
    [
        ({"scale": Decimal("0.1")}, [2301], 230.1),
        ({"type": "sign_magnitude16"}, [0x8005], -5.0),
        ({"type": "uint32", "word_order": "low_first"}, [0x0002, 0x0001], 65538.0),
        ({"type": "uint32", "byte_order": "low_first"}, [0x0100, 0x0200], 65538.0),
        # 0x12345678 sent with all four bytes reversed: 78 56 34 12
        ({"type": "uint32", "word_order": "low_first", "byte_order": "low_first"}, [0x7856, 0x3412], 305419896.0),
        ({"type": "int16", "unit": "kV"}, [0xFFFF], -1000.0),
        # 230.1 as a double: 1.79765625 x 2^7, exponent 1030 = 0x406, fraction .79765625 x 2^52 = 0xCC33333333333
        ({"type": "float64"}, [0x406C, 0xC333, 0x3333, 0x3333], 230.1),
        ({"type": "bcd16"}, [0x1234], 1234.0),
        ({"type": "bcd32", "scale": Decimal("0.01")}, [0x0012, 0x3456], 1234.56),
        ({"type": "bcd32", "word_order": "low_first"}, [0x3456, 0x0012], 123456.0),
        ({"type": "bcd32", "byte_order": "low_first"}, [0x1200, 0x5634], 123456.0),
        ({"type": "bcd32", "word_order": "low_first", "byte_order": "low_first"}, [0x5634, 0x1200], 123456.0),
        ({"bits": (8, 15)}, [0x2A00], 42.0),
        ({"bits": (4, 7), "scale": Decimal("0.5")}, [0x00F0], 7.5),
        ({"bits": (0, 7), "byte_order": "low_first"}, [0x2A00], 42.0),
        ({"enum": {0: "closed", 3: "leak"}}, [3], 3.0),
        ({"type": "int16", "enum": {-1: "below", 0: "in order"}}, [0xFFFF], -1.0),
        ({**CONTACT, "type": "uint16", "enum": {2: "dry", 3: "wet"}, "true_for": (3,)}, [3], 1.0),
        ({**CONTACT, "type": "uint16", "enum": {2: "dry", 3: "wet"}, "true_for": (3,)}, [2], 0.0),
        ({"table": "discrete", "type": "bool", "name": "wet_contact", "unit": "1", "span": None}, [1], 1.0),
        ({"type": "bool", "bit": 3, "name": "wet_contact", "unit": "1", "span": None}, [0x0008], 1.0),
        ({"type": "bool", "bit": 2, "name": "wet_contact", "unit": "1", "span": None}, [0x0000], 0.0),
    ],
)
def test_by_hand(changes: dict[str, Any], held: list[int], value: float) -> None:
    """Each type, order and scale reads and writes what the formats say."""
    each = point(**changes)
    assert decode(each, held) == value
    assert encode(each, value) == held


def test_neighbouring_bits_do_not_disturb() -> None:
    """A bit is read alone, whatever the rest of its register holds."""
    each = point(name="wet_contact", unit="1", span=None, type="bool", bit=3)
    assert decode(each, [0xFFF7]) == 0.0


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"missing": (0x7FFF, 0x8000)}, [0x8000]),
        ({"type": "int32", "missing": (0x7FFF_FFFF,)}, [0x7FFF, 0xFFFF]),
        ({"type": "float32", "missing": (0xC2C6_0000,)}, [0xC2C6, 0x0000]),
        ({"type": "sign_magnitude16", "missing": (0x8000,)}, [0x8000]),
        ({"type": "uint32", "word_order": "low_first", "missing": (1,)}, [1, 0]),
        ({"bits": (8, 15), "missing": (0xFF,)}, [0xFF12]),
        ({"enum": {0: "closed", 3: "leak"}}, [1]),
        ({"type": "bcd16"}, [0x12A4]),
        ({"type": "bcd16", "missing": (0x9999,)}, [0x9999]),
        ({"type": "float32"}, [0x7FC0, 0x0001]),
        ({"type": "float32"}, [0xFF80, 0x0000]),
        # 1.7e308 as a double, times 1000 for kV: no float can hold it
        ({"type": "float64", "unit": "kV"}, [0x7FEE, 0x4257, 0x5F18, 0xE6B2]),
    ],
)
def test_no_value(changes: dict[str, Any], held: list[int]) -> None:
    """Sentinels, NaN, infinities and what no float holds are no value, never a number."""
    assert decode(point(**changes), held) is None


@pytest.mark.parametrize(
    ("changes", "held"),
    [({"missing": (0x7FFF, 0x8000)}, [0x7FFF]), ({"type": "float32"}, [0x7FC0, 0x0000])],
)
def test_missing_is_written(changes: dict[str, Any], held: list[int]) -> None:
    """No value is written as the first sentinel, or as NaN; it reads back as no value."""
    each = point(**changes)
    assert encode(each, None) == held
    assert decode(each, held) is None


@pytest.mark.parametrize(
    ("changes", "value", "reason"),
    [
        ({}, None, 'voltage: uint16 has no pattern for "no value": the profile lists none in missing'),
        ({}, 65536, "voltage: 65536 V does not fit into uint16"),
        ({}, -1, "voltage: -1 V does not fit into uint16"),
        ({"type": "sign_magnitude16"}, -32768, "voltage: -32768 V does not fit into sign_magnitude16"),
        ({"type": "bcd16"}, 10_000, "voltage: 10000 V does not fit into bcd16"),
        ({"bits": (8, 11)}, 16, "voltage: 16 V does not fit into uint16"),
        ({"enum": {0: "closed", 3: "leak"}}, 1, "voltage: 1 V does not fit into uint16"),
        (
            {"scale_from": {"address": 1, "bits": (0, 1), "sign": -1}, "scale": Decimal(1)},
            70000,
            "voltage: 70000 V does not fit into uint16",
        ),
        ({"type": "float32"}, 1e39, "voltage: 1e+39 V does not fit into float32"),
        ({"type": "float32"}, math.inf, "voltage: inf is not a finite number"),
    ],
)
def test_encode_refuses(changes: dict[str, Any], value: Value, reason: str) -> None:
    """A value the registers cannot hold is refused by name, never clamped."""
    with pytest.raises(ValueError, match=r".") as caught:
        encode(point(**changes), value)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("changes", "held", "reason"),
    [
        ({"type": "uint32"}, [1], "voltage: uint32 is 2 words, not 1"),
        ({}, [65536], "voltage: 65536 is not a word from 0 to 65535"),
        (
            {"table": "coil", "type": "bool", "name": "wet_contact", "unit": "1", "span": None},
            [2],
            "wet_contact: 2 is not a word from 0 to 1",
        ),
    ],
)
def test_decode_refuses(changes: dict[str, Any], held: list[int], reason: str) -> None:
    """Words that cannot have come from the device are a fault of the caller, told by name."""
    with pytest.raises(ValueError, match=r".") as caught:
        decode(point(**changes), held)
    assert str(caught.value) == reason


def test_every_profile_point_reads_zero() -> None:
    """Every point of every profile can be read: all-zero words decode to a value of the right type, or to none."""
    for path in sorted((Path(__file__).parents[2] / "firmware_configs" / "profiles").glob("*/*.yaml")):
        profile = load_profile(path.stem)
        if isinstance(profile, ModbusProfile):
            for each in profile.points:
                assert words(each) == (1 if each.table in BIT_TABLES else len(each.registers))
                is_none = 0 in each.missing or (bool(each.enum) and 0 not in each.enum)
                kind = type(None) if is_none else int if each.counter else float
                assert isinstance(decode(each, [0] * words(each)), kind), f"{path.stem}: {each.name}"
