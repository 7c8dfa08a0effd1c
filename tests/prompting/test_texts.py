"""Tools for texts that models read and write; what parses is fuzzed."""

from __future__ import annotations

import enum
import sys
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tinyllm_actors.errors import ConfigurationError, MissingDependency
from tinyllm_actors.prompting import (
    CodeBlock,
    Template,
    as_block,
    closest_matches,
    describe_model,
    extract_block,
    extract_blocks,
    extract_code,
    model_to_text,
    number_lines,
    unique_lines,
    without_blocks,
    without_numbers,
)

# --- blocks ---------------------------------------------------------------------------------------

MARKUP = st.lists(
    st.sampled_from(["<a>", "</a>", "<a b='1'>", '<a b="2" c="<">', "<ab>", "</ab>", "<", ">", "a", " ", "\n", "<a"]),
    max_size=40,
).map("".join)


@given(st.one_of(st.text(), MARKUP))
def test_blocks_are_where_they_say(text: str) -> None:
    """Of any text: in order, apart, each between its tag and its end; what is left has no block."""
    blocks = extract_blocks(text, "a")
    end = 0
    for block in blocks:
        assert end <= block.start < block.end
        end = block.end
        piece = text[block.start : block.end]
        assert piece.startswith("<a")
        assert piece.endswith(">")
        assert block.content in piece
    assert len(without_blocks(text, "a")) == len(text) - sum(block.end - block.start for block in blocks)
    assert extract_block(text, "a") == (blocks[0].content if blocks else None)


@given(st.one_of(st.text(), MARKUP))
def test_what_is_quoted_does_not_end_its_block(text: str) -> None:
    """A block that was made of any text is one block, and all of the text."""
    [block] = extract_blocks(f"before {as_block('a', text)} after", "a")
    assert (block.start, block.end) == (7, 7 + len(as_block("a", text)))
    assert block.content.replace("<\\", "<") == text.strip().replace("<\\", "<")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<a>1</a><a>2</a>", ["1", "2"]),
        ("<a>1<a>2</a></a>", ["1<a>2</a>"]),
        ("<a>1<a>2</a>", ["2"]),
        ("</a><a>1</a></a>", ["1"]),
        ("<ab>1</ab>", []),
        ("<a\n>1</a >", ["1"]),
    ],
)
def test_blocks_inside_of_blocks(text: str, found: list[str]) -> None:
    """The outer ones are found; what nothing ends is text."""
    assert [block.content for block in extract_blocks(text, "a")] == found


def test_attributes_are_read() -> None:
    """With either kind of quotes; what is none is nothing."""
    [block] = extract_blocks("<a one='1' two=\"'2'\" three four=4>x</a>", "a")
    assert block.attributes == {"one": "1", "two": "'2'"}


@pytest.mark.parametrize("tag", ["", "a b", "<a>", "1", "a("])
def test_a_tag_has_a_name(tag: str) -> None:
    """What is none is refused, and never part of a pattern."""
    with pytest.raises(ConfigurationError, match="is no name"):
        extract_blocks("text", tag)


def test_many_tags_take_time_in_proportion() -> None:
    """A hundred thousand tags that nothing ends are read in one go."""
    assert extract_blocks("<a " * 100_000, "a") == []
    assert extract_blocks("<a>" * 100_000, "a") == []
    assert len(extract_blocks("<a>" * 50_000 + "</a>" * 50_000, "a")) == 1


# --- code -----------------------------------------------------------------------------------------

FENCES = st.lists(
    st.sampled_from(["```", "~~~", "````", "```py", "   ```", "    ```", "code", "", "``` `", "\r"]), max_size=15
).map("\n".join)


@given(st.one_of(st.text(), FENCES))
def test_code_is_a_part_of_the_text(text: str) -> None:
    """Of any text: the lines of code are lines of it, and only the last block may be open."""
    blocks = extract_code(text)
    lines = {line.lstrip(" ") for line in text.replace("\r\n", "\n").split("\n")}
    for block in blocks:
        assert all(line.lstrip(" ") in lines for line in block.code.split("\n") if line)
    assert all(block.closed for block in blocks[:-1])


@given(st.lists(st.text(st.characters(exclude_characters="`~\r\n"))), st.sampled_from(["```", "~~~~"]))
def test_code_comes_back_as_it_was_written(lines: list[str], fence: str) -> None:
    """White space included."""
    code = "\n".join(lines)
    [block] = extract_code(f"See:\n{fence}Py x\n{code}\n{fence}\nDone.")
    assert block == CodeBlock("py", code)


def test_code_that_broke_off_is_marked() -> None:
    """The beginning of an answer is code too; languages are chosen whatever their case."""
    text = "```python\nprint(1)\n```\n```SQL\nselect 1\n"
    assert extract_code(text, "sql") == [CodeBlock("sql", "select 1", closed=False)]
    assert extract_code("````\n```\n```\n````") == [CodeBlock("", "```\n```")]
    assert extract_code("  ```\n   a\n b\n  ```") == [CodeBlock("", " a\nb")]


# --- lines ----------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1)))
def test_numbers_go_as_they_came(lines: list[str]) -> None:
    """What was numbered is a list again."""
    assert without_numbers(number_lines(lines)) == lines


def test_a_line_of_a_list_stays_one() -> None:
    """Whatever ends of lines are in it."""
    assert number_lines(["a\nb", "c"], start=9) == "9. a b\n10. c"


@given(st.text("aA b\n"), st.booleans())
def test_no_line_comes_twice(text: str, exact: bool) -> None:
    """The lines that stay are in order, and doing it again changes nothing."""
    once = unique_lines(text, exact=exact)
    rest = iter(text.split("\n"))
    assert all(line in rest for line in once.split("\n"))
    assert unique_lines(once, exact=exact) == once
    keys = [line if exact else " ".join(line.split()).casefold() for line in once.split("\n")]
    assert len([key for key in keys if key]) == len({key for key in keys if key})


# --- closest --------------------------------------------------------------------------------------


@given(st.text(), st.lists(st.text(), max_size=6), st.integers(1, 4))
def test_matches_are_the_best_in_order(text: str, choices: list[str], k: int) -> None:
    """Of any texts: at most k, above the score, the best first; the same text has 100."""
    found = closest_matches(text, choices, k, min_score=50)
    assert len(found) <= k
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    assert all(choices[match.index] == match.text for match in found)
    assert all(50 <= match.score <= 100 for match in found)
    if text in choices:
        assert found[0].score == 100


def test_of_equals_the_first_is_taken() -> None:
    """Case and white space make no difference."""
    found = closest_matches("a  TEA", ["a tea", "A Tea", "x"], 5)
    assert [(match.text, match.index, match.score) for match in found] == [("a tea", 0, 100.0), ("A Tea", 1, 100.0)]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rapidfuzz the error has the command; numbers without meaning are refused."""
    with pytest.raises(ConfigurationError, match="k >= 1"):
        closest_matches("a", ["a"], 0)
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(MissingDependency, match="pip install"):
        closest_matches("a", ["a"])


# --- models ---------------------------------------------------------------------------------------


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Item(BaseModel):
    name: str = Field(description="what it is")
    size: Size = Size.SMALL


class Node(BaseModel):
    value: int
    below: list[Node] = []


class Order(BaseModel):
    items: list[Item]
    first: Item | None = None
    paid: bool = False
    tags: set[str] = set()
    notes: dict[str, Annotated[float, "a sum"]] = Field(default_factory=dict[str, float])
    status: Literal["new", "sent"] = Field(default="new", description="where it is")
    anything: Any = None


def test_values_are_read_as_they_are_nested() -> None:
    """Models in lists, enums by value, yes and no, and what is empty."""
    order = Order(items=[Item(name="tea"), Item(name="two\nlines", size=Size.LARGE)], notes={"x": 1.5})
    assert model_to_text(order, with_descriptions=False).splitlines() == [
        "items:",
        "  - name: tea",
        "    size: small",
        "  - name:",
        "      two",
        "      lines",
        "    size: large",
        "first: none",
        "paid: no",
        "tags: (none)",
        "notes:",
        "  x: 1.5",
        "status: new",
        "anything: none",
    ]
    assert "status (where it is): new" in model_to_text(order)


def test_models_are_described() -> None:
    """Types in words, choices, descriptions, and what may be left out."""
    assert describe_model(Order).splitlines() == [
        "items (list of Item)",
        "  name (text): what it is",
        '  size ("small" or "large", "small" if left out)',
        "first (Item or nothing, may be left out)",
        "  name (text): what it is",
        '  size ("small" or "large", "small" if left out)',
        "paid (yes or no, no if left out)",
        "tags (list of text, may be left out)",
        "notes (map from text to number, may be left out)",
        'status ("new" or "sent", "new" if left out): where it is',
        "anything (anything, may be left out)",
    ]
    with pytest.raises(ConfigurationError, match="pydantic model"):
        describe_model(int)  # pyright: ignore[reportArgumentType]


def test_models_that_hold_themselves_end() -> None:
    """A description names the type once; values are cut where they are too deep."""
    assert describe_model(Node).splitlines() == ["value (whole number)", "below (list of Node, may be left out)"]
    node = Node(value=0)
    for value in range(1, 30):
        node = Node(value=value, below=[node])
    text = model_to_text(node)
    assert "…" in text
    assert "value: 29" in text
    assert "value: 1\n" not in text


# --- templates ------------------------------------------------------------------------------------


class Secret:
    """What a template must not reach into."""

    password = "hunter2"

    def __str__(self) -> str:
        return "a secret"


@pytest.mark.parametrize(
    "text", ["{x.password}", "{x[0]}", "{x!r}", "{x:>10}", "{0}", "{}", "{x", "x}", "{x.__class__.__mro__}", "{x:{y}}"]
)
def test_a_template_reaches_into_nothing(text: str) -> None:
    """Only names may be in braces: the rest is refused when the template is made."""
    with pytest.raises(ConfigurationError, match="the mail has"):
        Template(text, label="the mail")


@pytest.mark.parametrize("text", ["{{x.password}}", "{{x[0]}}", "{{1}}"])
def test_double_braces_hold_names_only(text: str) -> None:
    """Likewise."""
    with pytest.raises(ConfigurationError, match="double braces"):
        Template(text, braces=2)


@given(st.text(), st.text(), st.sampled_from([1, 2]))
def test_values_are_put_in_as_they_are(value: str, other: str, braces: Literal[1, 2]) -> None:
    """Braces in a value mean nothing."""
    text = "[{a}|{b}|{a}]" if braces == 1 else "[{{a}}|{{ b }}|{{a}}]"
    template = Template(text, braces=braces)
    assert template.names == {"a", "b"}
    assert template.render(a=value, b=other) == f"[{value}|{other}|{value}]"


@given(st.text("{}a. !:[]"), st.sampled_from([1, 2]))
def test_any_text_is_a_template_or_refused(text: str, braces: Literal[1, 2]) -> None:
    """There is no third way: what is one can be filled."""
    try:
        template = Template(text, braces=braces)
    except ConfigurationError:
        return
    assert "hunter2" not in template.render(**dict.fromkeys(template.names, Secret()))


def test_a_value_too_many_or_too_few_is_said() -> None:
    """With its name, and those that there are."""
    template = Template("{a}")
    with pytest.raises(ConfigurationError, match="a value for 'a'"):
        template.render()
    with pytest.raises(ConfigurationError, match="no place for 'b'; there are: 'a'"):
        template.render(a=1, b=2)
    assert Template("{a}, {b}").render(a=Item(name="tea"), b=[Item(name="x"), None]) == (
        '{"name":"tea","size":"small"}, [{"name":"x","size":"small"},null]'
    )
