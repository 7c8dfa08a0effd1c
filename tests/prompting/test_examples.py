"""Examples: those that are always shown, and those that are like the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem, ExampleManager, ExampleSelector
from tinyllm_actors.errors import ConfigurationError, Overloaded
from tinyllm_actors.function.language import cosine, most_similar
from tinyllm_actors.prompting import Example
from tinyllm_actors.prompting.example import as_examples
from tinyllm_actors.prompting.example_vectors import StoredVectors, load_vectors, save_vectors
from tinyllm_actors.testing import HashEmbeddings

if TYPE_CHECKING:
    from pathlib import Path

anyio = pytest.mark.anyio

EXAMPLES = [("what is the weather", "Rain."), ("who wrote Hamlet", "Shakespeare."), ("weather tomorrow", "Snow.")]


def found(result: Any) -> list[str]:
    """Return the questions of the examples that a selector found."""
    assert result["status"] == "success", result
    return [example.user_message for example in result["output"]["best_examples"]]


@anyio
async def test_the_most_alike_come_first() -> None:
    """Up to k, above the threshold; nothing for nothing."""
    async with ActorSystem("test") as system:
        selector = await system.spawn(ExampleSelector.spec(EXAMPLES, HashEmbeddings(512), k=2, threshold=0.2))
        assert found(await selector(input="what is the weather today")) == ["what is the weather", "weather tomorrow"]
        assert found(await selector(input="what is the weather today", k=1)) == ["what is the weather"]
        assert found(await selector(input="penguin")) == []
        assert found(await selector(input=" ")) == []
        result = await selector(input="who wrote Hamlet")
        assert result["output"]["similarities"][0] == pytest.approx(1.0, abs=1e-3)


@anyio
async def test_the_trace_has_tinyllms_name() -> None:
    """It is a Function that is called what it was called there."""
    async with ActorSystem("test") as system:
        selector = await system.spawn(ExampleSelector.spec(EXAMPLES, HashEmbeddings()))
        assert selector.cell.actor.name == "Standard example selector"


@anyio
async def test_vectors_are_made_once_and_kept(tmp_path: Path) -> None:
    """Another process finds them; new examples are added to the file, and old ones leave it."""
    path = tmp_path / "deep" / "vectors"
    first, second, third = HashEmbeddings(), HashEmbeddings(), HashEmbeddings()
    async with ActorSystem("one") as system:
        selector = await system.spawn(ExampleSelector.spec(EXAMPLES, first, path=path))
        await selector(input="weather")
        await selector(input="Hamlet")
    assert first.calls == [[user for user, _ in EXAMPLES], ["weather"], ["Hamlet"]]
    async with ActorSystem("two") as system:
        selector = await system.spawn(ExampleSelector.spec(EXAMPLES, second, path=path))
        assert found(await selector(input="who wrote Hamlet", k=1)) == ["who wrote Hamlet"]
    assert second.calls == [["who wrote Hamlet"]]
    async with ActorSystem("three") as system:
        changed = [*EXAMPLES[:2], ("how old is Ada", "36.")]
        selector = await system.spawn(ExampleSelector.spec(changed, third, path=path))
        assert third.calls == [["how old is Ada"]]
        assert len((await to_thread.run_sync(load_vectors, path)).vectors) == 3
        await selector(examples=EXAMPLES[:1])
        assert found(await selector(input="how old is Ada")) == ["what is the weather"]
    assert len((await to_thread.run_sync(load_vectors, path)).vectors) == 1
    assert await to_thread.run_sync(lambda: [entry.name for entry in path.parent.iterdir()]) == ["vectors"]


@anyio
async def test_another_model_makes_all_vectors_again(tmp_path: Path) -> None:
    """Whether it says its name, or its vectors have another length; found at the start or at a question."""
    path = tmp_path / "vectors"
    async with ActorSystem("test") as system:
        await system.spawn(ExampleSelector.spec(EXAMPLES, HashEmbeddings(16, name="a"), path=path))
        other = HashEmbeddings(16, name="b")
        selector = await system.spawn(ExampleSelector.spec(EXAMPLES, other, path=path))
        assert found(await selector(input="who wrote Hamlet", k=1)) == ["who wrote Hamlet"]
        assert (await to_thread.run_sync(load_vectors, path)).model == "b"
        larger = HashEmbeddings(32, name="b")
        await system.spawn(ExampleSelector.spec([*EXAMPLES, ("x", "y")], larger, path=path))
        assert (await to_thread.run_sync(load_vectors, path)).dimensions == 32
        assert len((await to_thread.run_sync(load_vectors, path)).vectors) == 4


@anyio
async def test_an_embedder_that_is_not_there_yet_is_asked_again() -> None:
    """The start succeeds, a question fails typed, and the next one is answered."""
    failures = [Overloaded("busy"), Overloaded("busy")]

    async def embed(texts: list[str]) -> Any:
        if failures:
            raise failures.pop()
        return (await HashEmbeddings().embed(texts)).vectors

    async with ActorSystem("test") as system:
        selector = await system.spawn(ExampleSelector.spec(EXAMPLES, embed))
        assert "busy" in (await selector(input="Hamlet"))["message"]
        assert found(await selector(input="Hamlet", k=1)) == ["who wrote Hamlet"]


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, b"not a file of ours"])
def test_a_damaged_file_is_none(tmp_path: Path, damage: bytes) -> None:
    """Vectors that cannot be read are made again."""
    path = tmp_path / "vectors"
    assert load_vectors(path) == StoredVectors()
    path.write_bytes(damage)
    assert load_vectors(path) == StoredVectors()


@given(st.data())
def test_no_damage_is_taken_for_vectors(data: st.DataObject) -> None:
    """Whatever byte of the file changes, what is read has one length, or is nothing."""
    import tempfile
    from array import array
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors"
        save_vectors(path, StoredVectors("m", {"a": array("f", [1.0, 2.0]), "b": array("f", [3.0, 4.0])}))
        body = bytearray(path.read_bytes())
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(body)
        kept = load_vectors(path)
    assert {len(row) for row in kept.vectors.values()} <= {kept.dimensions}


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """The temporary file goes, and the error says why."""
    (tmp_path / "vectors").mkdir()
    with pytest.raises(OSError, match="vectors"):
        save_vectors(tmp_path / "vectors", StoredVectors())
    assert [entry.name for entry in tmp_path.iterdir()] == ["vectors"]


VECTORS = st.lists(st.lists(st.floats(-1, 1, width=16), min_size=3, max_size=3), max_size=8)


@given(VECTORS, st.integers(1, 9), st.sampled_from([None, -0.5, 0.0, 0.7]), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_selection_is_within_its_bounds(
    vectors: list[list[float]], k: int, threshold: float | None, diversity: float
) -> None:
    """No more than k, none twice, none below the threshold; without diversity, the best in order."""
    query = [1.0, 0.5, 0.0]
    selected = most_similar(query, vectors, k, threshold=threshold, diversity=diversity)
    eligible = [cosine(query, vector) for vector in vectors if threshold is None or cosine(query, vector) >= threshold]
    assert len(selected) == min(k, len(eligible)) == len({index for index, _ in selected})
    assert all(likeness == cosine(query, vectors[index]) for index, likeness in selected)
    if not diversity:
        assert [likeness for _, likeness in selected] == sorted(eligible, reverse=True)[:k]
    if selected:
        assert selected[0][1] == max(eligible)


def test_vectors_of_different_lengths_are_not_compared() -> None:
    """The message says the lengths."""
    with pytest.raises(ValueError, match="1 and 2"):
        cosine([1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    "example",
    [
        Example("a", "b"),
        ("a", "b"),
        ["a", "b"],
        {"user_message": "a", "assistant_message": "b"},
        {"user": "a", "assistant": "b"},
    ],
)
def test_examples_are_given_as_one_likes(example: Any) -> None:
    """An example, a pair, or a mapping."""
    assert ExampleManager([example]).constant_examples == [Example("a", "b")]


@pytest.mark.parametrize("example", ["ab", ("a",), ("a", " "), {"user": "a"}, 7, Example("", "b")])
def test_what_is_no_example_is_refused(example: Any) -> None:
    """The message names its place."""
    with pytest.raises(ConfigurationError, match=r"examples\[1\]"):
        as_examples([("a", "b"), example])


@pytest.mark.parametrize("options", [{"k": 0}, {"diversity": 2.0}, {"threshold": 3.0}])
def test_what_has_no_meaning_is_refused(options: dict[str, Any]) -> None:
    """The message has the value."""
    with pytest.raises(ConfigurationError, match=str(next(iter(options.values())))):
        ExampleSelector(EXAMPLES, HashEmbeddings(), **options)
    with pytest.raises(ConfigurationError, match="example_selector=7"):
        ExampleManager(example_selector=7)  # pyright: ignore[reportArgumentType]
