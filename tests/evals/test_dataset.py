"""Datasets: files of JSON lines, and what cannot be used of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tinyllm_actors.errors import DatasetInvalid
from tinyllm_actors.evals import Dataset, Example, JsonLinesDataset, load_examples
from tinyllm_actors.evals import dataset as module
from tinyllm_actors.evals.dataset import digest_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Examples come back as they were, in their order, and nothing else is left in the folder."""
    examples = [
        Example("b", {"content": "ü\n"}, expected=["x", 1], contexts=["c"], metadata={"tool_calls": ["add"]}),
        Example("a", {"n": 1}),
    ]
    dataset = JsonLinesDataset(tmp_path / "cases.jsonl")
    await dataset.save(examples)
    assert await dataset.load() == examples
    assert (dataset.name, isinstance(dataset, Dataset)) == ("cases", True)
    assert os.listdir(tmp_path) == ["cases.jsonl"]
    assert await load_examples(dataset.path) == ("cases", examples)
    assert await load_examples(iter(examples)) == ("examples", examples)


async def test_short_forms(tmp_path: Path) -> None:
    """A text as input is the content; an example without id has its line's number; empty lines are skipped."""
    path = tmp_path / "cases.jsonl"
    path.write_text('{"input": "When?"}\n\n  \n{"input": {"n": 1}, "id": "x"}', encoding="utf-8")
    assert await JsonLinesDataset(path, name="mine").load() == [
        Example("1", {"content": "When?"}),
        Example("x", {"n": 1}),
    ]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ('{"input": "a"}\n{"input"', 2, "truncated"),
        ('{"input": 7}\n', 1, "object"),
        ("[]\n", 1, "object"),
        ('{"id": "1"}\n', 1, "input"),
        ('{"input": "a", "expcted": "b"}\n', 1, "'expcted' means nothing"),
        ('{"input": "a", "id": "x"}\n{"input": "b", "id": "x"}\n', None, "two examples have the id 'x'"),
        ("\n", None, "no examples"),
        ('{"input": "' + "a" * 200 + '"}\n', 1, "more than 100 bytes"),
        ('{"input": "a"}\n' * 5, 5, "more than 4 examples"),
    ],
    ids=["cut", "number", "list", "no-input", "unknown", "twice", "empty", "long-line", "too-many"],
)
async def test_what_cannot_be_used_is_told_by_line(
    content: str, line: int | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which line it is, and what is wrong with it."""
    monkeypatch.setattr(module, "MAX_LINE", 100)
    monkeypatch.setattr(module, "MAX_EXAMPLES", 4)
    path = tmp_path / "cases.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DatasetInvalid, match=words) as raised:
        await load_examples(path)
    assert raised.value.line == line
    assert str(path) in str(raised.value)


async def test_files_that_are_not_there(tmp_path: Path) -> None:
    """A file that cannot be read, and a value that cannot be written, are told."""
    with pytest.raises(DatasetInvalid, match="cannot be read: No such file"):
        await load_examples(tmp_path / "none.jsonl")
    with pytest.raises(DatasetInvalid, match="is no JSON"):
        await JsonLinesDataset(tmp_path / "x.jsonl").save([Example("a", {"x": object()})])


def test_the_digest_tells_examples_apart() -> None:
    """Equal examples have equal digests, whatever the order of their keys; others have others."""
    one, same = Example("a", {"x": 1, "y": 2}), Example("a", {"y": 2, "x": 1})
    assert digest_of([one]) == digest_of([same]) != digest_of([Example("a", {"x": 1, "y": 3})])
