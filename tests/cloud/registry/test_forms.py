"""A form becomes the values of a file: rows in order, empty fields left out, faults at the form's own fields."""

from typing import Any

import pytest
from pydantic import Field

from cloud.registry.forms import Form, FormError, fill
from edge.contract.config_file import ConfigModel


class Row(ConfigModel):
    """A row of a form."""

    name: str = Field(max_length=3)
    size: int = 1


class Sheet(ConfigModel):
    """A form with rows and a section."""

    title: str
    rows: tuple[Row, ...] = ()
    extra: Row | None = None


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ({"title": "  a ", "extra.name": " "}, {"title": "a"}),
        ({"rows.10.name": "c", "rows.2.name": "b", "rows.0.size": "7"}, {
            "rows": [{"size": 7}, {"name": "b"}, {"name": "c"}]}),
        ({"rows.0.size": "2.50", "rows.1.size": "-3", "rows.2.size": "５", "rows.3.size": "1e3"}, {
            "rows": [{"size": 2.5}, {"size": -3}, {"size": 5}, {"size": "1e3"}]}),
        ({"title": "12"}, {"title": "12"}),
        ({"lid": "on", "box.lid.name": "x"}, {"lid": {}, "box": {"lid": {"name": "x"}}}),
        ({"extra": "x", "extra.name": "y"}, {"extra": {"name": "y"}}),
        ({"rows.0": "x", "rows.a": "y"}, {"rows": {"0": "x", "a": "y"}}),
        ({f"rows.{'1' * 5000}.name": "x", "a.b.c.d.e.f.g.h.i": "deep"}, {"rows": {"1" * 5000: {"name": "x"}}}),
    ],
)  # fmt: skip
def test_the_shape_of_a_file(form: Form, values: dict[str, Any]) -> None:
    """Sections, rows with gaps, numbers where numbers belong, and nothing where nothing was typed."""
    assert fill(form, numbers={"size"}, empty={"lid"}).values == values


def test_faults_are_told_at_the_forms_own_fields() -> None:
    """A row's number is the form's, also of a field that was not typed; what fits is returned as the model."""
    form = {"rows.3.name": "abc", "rows.7.name": "abcd", "rows.7.size": "big", "rows.9.size": "1"}
    with pytest.raises(FormError) as caught:
        fill(form, numbers={"size"}).check(Sheet)
    assert str(caught.value).splitlines() == [
        'rows.7.name: should have at most 3 characters, found "abcd"',
        'rows.7.size: expected a whole number, found "big"',
        "rows.9.name: missing",
        "title: missing",
    ]
    assert [fault.zh for fault in caught.value.at("title")] == ["请填写"]
    assert fill({"title": "x", "rows.3.name": "abc"}).check(Sheet) == Sheet(title="x", rows=(Row(name="abc"),))
