"""A configuration file that cannot be used is refused with file, line, key, reason and the nearest valid word."""

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from edge.contract.config_file import (
    ConfigError,
    ConfigModel,
    LocalPath,
    Misfit,
    SecretPath,
    check_values,
    in_yaml,
    load_yaml,
    read_document,
)

CASES = Path(__file__).parents[1] / "cases" / "config_file"


class Colour(StrEnum):
    """Something to choose from."""

    RED = "red"
    BLUE = "blue"


class Leaf(ConfigModel):
    """A part with the plain types."""

    name: str
    count: int = Field(default=1, ge=1)
    share: float = 0.5
    is_on: bool = False
    colour: Colour = Colour.RED
    table: Literal["input", "holding"] = "input"

    @model_validator(mode="after")
    def _has_no_bad_name(self) -> Self:
        if self.name == "bad":
            raise Misfit([(("name",), "is bad"), (("count",), "is bad too")])
        return self


class Sample(ConfigModel):
    """A file with parts in every place a part can stand."""

    title: str = ""
    leaves: tuple[Leaf, ...] = ()
    by_name: dict[str, Leaf] = Field(default_factory=dict)
    pair: tuple[int, Leaf] | None = None
    single: Leaf | None = None
    filled: tuple[int, ...] = Field(default=(1,), min_length=1)
    near: LocalPath | None = None
    secret: SecretPath | None = None


def refusal(folder: Path, content: str | bytes) -> list[str]:
    """The lines of the error that the content gives, with the folder taken off."""
    path = folder / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_yaml(path, Sample)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def refusals() -> list[tuple[str, list[str]]]:
    """The cases of refusals.txt: content and the lines of its error."""
    cases = (CASES / "refusals.txt").read_text(encoding="utf-8").split("=====\n")[1:]
    pairs = [case.rstrip("\n").rsplit("\n---\n", 1) for case in cases]
    return [(content, answer.splitlines()) for content, answer in pairs]


@pytest.mark.parametrize(("content", "lines"), refusals())
def test_refusals(tmp_path: Path, content: str, lines: list[str]) -> None:
    """Each fault is told in one line that says where it is and what to do."""
    assert sorted(refusal(tmp_path, content)) == sorted(lines)


YAML_HINT = ": look at indents, colons, quotes and brackets here and just above"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"title: a\x07", "a.yaml:1: character U+0007 is not allowed"),
        (b"title: a\nleaves: \xe4\n", "a.yaml:2: not UTF-8 text: save the file as UTF-8"),
        (b"#" * (1024 * 1024 + 1), "a.yaml: larger than 1024 KiB: not a configuration file"),
        (b"title: " + b"[" * 5000, "a.yaml:1: not valid YAML: nested deeper than 32 levels" + YAML_HINT),
        (b"# nothing\n", "a.yaml: the file is empty"),
    ],
)
def test_no_text(tmp_path: Path, content: bytes, line: str) -> None:
    """Bytes that are no text, too many or none at all are told as such."""
    assert refusal(tmp_path, content) == [line]


def test_a_file_without_end_is_not_read_to_the_end() -> None:
    """A device in place of a file is refused after as many bytes as a file may have."""
    with pytest.raises(ConfigError, match="/dev/zero: larger than 1024 KiB"):
        read_document(Path("/dev/zero"))


def test_all_problems_by_line(tmp_path: Path) -> None:
    """A file with several faults tells all of them at once, in the order of its lines."""
    content = "leaves:\n  - {name: x, count: a}\n  - {nam: y}\ntitel: z\ntitle: 3"
    assert [line.split(": ")[0] for line in refusal(tmp_path, content)] == [
        "a.yaml:2",
        "a.yaml:3",
        "a.yaml:3",
        "a.yaml:4",
        "a.yaml:5",
    ]


@pytest.mark.parametrize(
    ("name", "reason"), [("nothing.yaml", "no such file"), (".", "is a directory, expected a YAML file")]
)
def test_no_file(tmp_path: Path, name: str, reason: str) -> None:
    """A path that is no file is told as such."""
    with pytest.raises(ConfigError) as caught:
        load_yaml(tmp_path / name, Sample)
    assert str(caught.value) == f"{tmp_path / name}: {reason}"


def test_values(tmp_path: Path) -> None:
    """What is written is what is read: hex numbers, quoted words, dates and numbers that stay text, aliases."""
    path = tmp_path / "a.yaml"
    path.write_text(
        "\ufefftitle: 2026-11-22\n"
        "leaves: [&one {name: 'on', count: 0xFF, share: 2}, *one]\n"
        "by_name: {no: {name: '5'}}\n",
        encoding="utf-8",
    )
    sample = load_yaml(path, Sample)
    assert sample.title == "2026-11-22"
    assert sample.leaves == (Leaf(name="on", count=255, share=2.0),) * 2
    assert sample.by_name == {"no": Leaf(name="5")}


def test_aliases_stay_small(tmp_path: Path) -> None:
    """A few lines of aliases that stand for a billion words are refused, not built."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (line,) = refusal(tmp_path, "\n".join(lines))
    assert line.endswith("aliases make the file too large")


def test_an_alias_of_itself(tmp_path: Path) -> None:
    """A list that holds itself is refused."""
    (line,) = refusal(tmp_path, "title: &a [*a]")
    assert line.endswith("aliases make the file too large")


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    """A relative path counts from the file's folder, an absolute one stays."""
    (tmp_path / "a.yaml").write_text("near: b/c")
    assert load_yaml(tmp_path / "a.yaml", Sample).near == tmp_path / "b/c"
    (tmp_path / "a.yaml").write_text("near: /b/c")
    assert load_yaml(tmp_path / "a.yaml", Sample).near == Path("/b/c")


def test_secrets_are_kept(tmp_path: Path) -> None:
    """A secret is a file that not everyone may read; a missing, open or empty one is refused."""
    secret = tmp_path / "s"
    assert refusal(tmp_path, "secret: s") == ["a.yaml:1: secret: cannot read s: No such file or directory"]
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path, "secret: folder") == ["a.yaml:1: secret: cannot read folder: Is a directory"]
    secret.touch(0o600)
    assert refusal(tmp_path, "secret: s") == ["a.yaml:1: secret: s is empty"]
    secret.write_text("x")
    secret.chmod(0o644)
    reason = "everyone on this machine may read s: chmod 600 it"
    assert refusal(tmp_path, "secret: s") == [f"a.yaml:1: secret: {reason}"]
    secret.chmod(0o640)
    assert load_yaml(tmp_path / "a.yaml", Sample).secret == secret


@settings(max_examples=300)
@given(content=st.binary(max_size=200) | st.text("{}[]:-,&*!|> \n\t'\"\\#aon0.xud8", max_size=80).map(str.encode))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever a file holds, reading it gives values or a ConfigError, nothing else."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        read_document(path).validate(Sample)


def test_values_of_no_file(tmp_path: Path) -> None:
    """A filled form is checked like a file, but nothing that it names is looked for on this machine."""
    values = {"title": "a", "leaves": [{"name": "x", "count": 2}], "near": "b/c", "secret": "/nowhere/s"}
    sample = check_values(values, Sample, name="form")
    assert (sample.near, sample.secret) == (Path("b/c"), Path("/nowhere/s"))
    with pytest.raises(ConfigError) as caught:
        check_values({"title": 3, "leaves": [{"name": "bad"}], "pair": None, "titel": 1}, Sample, name="form")
    assert [(problem.key, problem.reason) for problem in caught.value.problems] == [
        ("leaves.0.count", "is bad too"),
        ("leaves.0.name", "is bad"),
        ("titel", 'unknown key (did you mean "title"?)'),
        ("title", "expected text, found 3"),
    ]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "on", "1"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=300)
@given(value=PLAIN)
def test_one_line_of_yaml(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """Whatever the values are, they stand on one line, and what is read is what was written."""
    line = in_yaml(value)
    assert len(line.splitlines()) == 1
    path = tmp_path_factory.getbasetemp() / "line.yaml"
    path.write_text(f"outer:\n  - key: {line}  # comment\n", encoding="utf-8")
    assert read_document(path).value == {"outer": [{"key": value}]}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"host": "192.0.2.10", "unit": 1}, "{host: 192.0.2.10, unit: 1}"),
        ("on", "'on'"),
        ("和平路", "和平路"),
        ("a\nb: c", '"a\\nb: c"'),
        ({}, "{}"),
        (["A.B"], "[A.B]"),
    ],
)
def test_a_line_is_as_a_person_writes_it(value: object, line: str) -> None:
    """Quotes stand only where they are needed."""
    assert in_yaml(value) == line
