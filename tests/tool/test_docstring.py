"""Descriptions come out of docstrings in every usual style."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.tool.docstring import DocstringText, parse_docstring

GOOGLE = """Find a flight.

    Prices are in euros.

    Args:
        origin: where from,
            three letters.
        day (datetime.date, optional): when.
        *rest: more.

    Returns:
        Flights.
    """
NUMPY = """Find a flight.

    Prices are in euros.

    Parameters
    ----------
    origin : str
        where from,
        three letters.
    day : datetime.date, optional
        when.
    rest
        more.

    Returns
    -------
    list
        Flights.
    """
SPHINX = """Find a flight.

    Prices are in euros.

    :param origin: where from,
        three letters.
    :param datetime.date day: when.
    :param rest: more.
    :returns: Flights.
    """
EPYDOC = """Find a flight.

    Prices are in euros.

    @param origin: where from,
        three letters.
    @param day: when.
    @param rest: more.
    @return: Flights.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX, EPYDOC], ids=["google", "numpy", "sphinx", "epydoc"])
def test_each_style_says_the_same(text: str) -> None:
    """The description and the parameters of a docstring are found, whatever its style; other sections are not."""
    assert parse_docstring(text) == DocstringText(
        "Find a flight.\n\nPrices are in euros.",
        {"origin": "where from, three letters.", "day": "when.", "rest": "more."},
    )


def test_parameters_documented_together_share_the_text() -> None:
    """NumPy's `x, y : float` describes both parameters."""
    text = "Move.\n\nParameters\n----------\nx, y : float\n    in metres\n"
    assert parse_docstring(text).parameters == {"x": "in metres", "y": "in metres"}


@pytest.mark.parametrize("text", [None, "", "  \n  "])
def test_no_docstring_says_nothing(text: str | None) -> None:
    """A function without a docstring has an empty description."""
    assert parse_docstring(text) == DocstringText()


def test_broken_docstring_is_all_description() -> None:
    """A section that cannot be read loses no text."""
    text = "Do it.\n\nArgs:\n    x: a\n    a line without a colon\n"
    assert parse_docstring(text) == DocstringText(text.strip())


def test_parser_that_fails_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the parser does with a docstring, the tool is made."""

    def fail(text: str) -> None:
        raise RecursionError

    monkeypatch.setattr("docstring_parser.parse", fail)
    assert parse_docstring("Do it.") == DocstringText("Do it.")


@given(
    st.lists(
        st.sampled_from(["Args:", "Parameters\n----------", ":param", ":param x: y", "@param z: q", "    x: b", "text"])
        | st.text(max_size=8),
        max_size=10,
    )
)
def test_any_docstring_can_be_read(lines: list[str]) -> None:
    """No text stops a function from becoming a tool."""
    parsed = parse_docstring("\n".join(lines))
    assert all(name == name.strip().lstrip("*") and text for name, text in parsed.parameters.items())
