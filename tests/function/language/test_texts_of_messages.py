"""What messages say, how long that is, which belong together, and which vectors are alike: for any kind of message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest

from tinyllm_actors import ActorSystem, Function
from tinyllm_actors.errors import ActorFailed, ConfigurationError, FunctionFailed, MalformedResponse
from tinyllm_actors.function.language import (
    Said,
    characters_of,
    cosine,
    estimate_messages,
    most_similar,
    question_of,
    text_of,
)
from tinyllm_actors.function.language.answer_size import answer_tokens
from tinyllm_actors.function.language.embedding import Embedding
from tinyllm_actors.function.language.groups import Groups, groups, newest_groups
from tinyllm_actors.function.language.said import role_of
from tinyllm_actors.function.language.size import PART_TOKENS
from tinyllm_actors.testing import Puppet


@dataclass
class Part:
    text: str


@dataclass
class Call:
    id: str
    name: str = "look_up"
    arguments: str = "{}"


@dataclass
class Message:
    content: Any = None
    role: str | None = None
    tool_calls: list[Call] = field(default_factory=list[Call])
    tool_call_id: str | None = None


class Tagged(msgspec.Struct, tag_field="role", tag="user"):
    content: str


MIXED: list[Any] = [{"type": "text", "text": "a"}, {"type": "image_url"}, Part("b"), object()]


def test_the_text_of_a_message_is_that_of_its_parts() -> None:
    """Each on a line of its own; pictures, files and nothing say nothing."""
    assert text_of(Message(MIXED)) == "a\nb"
    assert text_of(Message(None)) == ""
    assert text_of("plain") == "plain"


def test_the_length_of_a_message_counts_calls_and_pictures() -> None:
    """A call by its name and its arguments, whatever is no text by a fixed number."""
    assert characters_of(Message(MIXED)) == 3 + 2 * 4_500
    assert characters_of(Message("abc", tool_calls=[Call("1")])) == 3 + 7 + 2
    pictures: list[Any] = [{"type": "image_url"}, {"type": "text", "text": "abc"}]
    assert estimate_messages([Message(pictures)]) >= PART_TOKENS
    assert estimate_messages([Said("user", "a" * 300)]) > 100


def test_the_question_is_the_newest_text_of_a_user() -> None:
    """Whatever way a message has to say its role; without one there is no question."""
    asked = [Tagged("first"), Said("assistant", "answer"), Tagged("  "), Message("?")]
    assert [role_of(message) for message in asked] == ["user", "assistant", "user", ""]
    assert question_of(asked) == "first"
    assert question_of([Said("assistant", "answer")]) == ""


def test_a_call_and_its_results_stay_together() -> None:
    """Results without a call, or with one that has its result, are left out; the newest group stays in any case."""
    call = Message("", tool_calls=[Call("1"), Call("2")])
    one, two = Message("r1", tool_call_id="1"), Message("r2", tool_call_id="2")
    said = Message("hello")
    stray = Message("r3", tool_call_id="3")
    assert groups([stray, said, call, one, one, two, stray]) == [[said], [call, one, two]]
    assert newest_groups([said, call, one, two], 1) == [call, one, two]
    held = Groups(lambda message: len(message.content))
    held.extend([said, call, one])
    assert (held.size, held.oldest(2), held.trim(7)) == (7, [[said]], [])
    assert held.trim(2) == [[said]]
    assert held.messages() == [call, one]
    held.drop(1)
    assert not held.add(two), "its call is gone"
    held.add(call)
    held.clear()
    assert (held.size, held.lists(), held.add(two)) == (0, [], False)


def test_an_answer_may_have_what_is_left() -> None:
    """Of the context, of the model's limit and of the expected ratio the least; nothing known is no limit."""

    def size(rule: str, **changes: Any) -> int | None:
        known: dict[str, Any] = {"prompt": 100, "context_window": 1000, "max_output": 500, "expected_io_ratio": 2.0}
        known.update(changes)
        return answer_tokens(rule, **known)

    assert size("max") == 500
    assert size("max", max_output=None) == 900
    assert size("expected_ratio") == 200
    assert size("max", context_window=None) is None
    assert size("expected_ratio", context_window=None, max_output=None) == 200


def test_only_vectors_of_one_length_are_compared() -> None:
    """Others are refused; and who is chosen with diversity is unlike those chosen before."""
    with pytest.raises(ValueError, match="2 and 3 dimensions"):
        cosine([1.0, 0.0], [1.0, 0.0, 0.0])
    vectors = [[1.0, 0.1], [1.0, 0.12], [0.6, 0.8], [0.5, -0.9]]
    assert [index for index, _ in most_similar([1.0, 0.0], vectors, 3, diversity=0.7)] == [0, 3, 2]
    assert most_similar([1.0, 0.0], vectors, 3, threshold=0.99, diversity=0.7) == most_similar(
        [1.0, 0.0], vectors[:2], 2
    )


@dataclass
class Vectors:
    vectors: list[list[float]]
    model: str = "m"


class Fake:
    """Makes the vectors that it was given."""

    def __init__(self, answer: Any, *, later: bool = False) -> None:
        self.answer = answer
        self.later = later

    def embed(self, texts: Any, /) -> Any:
        async def answer() -> Any:
            return self.answer

        return answer() if self.later else self.answer


@pytest.mark.anyio
async def test_vectors_come_in_any_form() -> None:
    """At once or later, bare, in a dictionary or in an object that names its model."""
    for answer, model in (
        ([[1.0], [2.0]], ""),
        ({"embeddings": [[1.0], [2.0]]}, ""),
        ({"vectors": [[1.0], [2.0]]}, ""),
        (Vectors([[1.0], [2.0]]), "m"),
    ):
        for later in (False, True):
            embedding = Embedding(Fake(answer, later=later))
            assert [list(row) for row in await embedding.vectors(["a", "b"])] == [[1.0], [2.0]]
            assert embedding.model == model
            assert await embedding.vectors([]) == []


class Lengths(Function):
    async def run(self, texts: list[str]) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"embeddings": [[float(len(text))] for text in texts]}


@pytest.mark.anyio
async def test_vectors_come_from_a_function_and_its_failure_is_raised() -> None:
    """Given as a spec it becomes a child of whoever embeds; a reference is asked as it is."""

    class Embeds(Puppet):
        async def started(self) -> None:
            self.embedding = Embedding(Lengths.spec())
            await self.embedding.start(self.context)

        async def with_another(self, other: Any) -> list[Any]:
            await (embedding := Embedding(other)).start(self.context)
            return await embedding.vectors(["ab"])

    async with ActorSystem("test") as system:
        ref = await system.spawn(Embeds, name="embeds")
        rows = await Embeds.do(ref, lambda self: self.embedding.vectors(["a", "bcd"]))
        assert [list(row) for row in rows] == [[1.0], [3.0]]
        assert system.inspect("embeds/embedder").state == "RUNNING"
        lengths = await system.spawn(Lengths)
        rows = await Embeds.do(ref, lambda self: self.with_another(lengths))
        assert [list(row) for row in rows] == [[2.0]]
        await lengths.stop()
        with pytest.raises(ActorFailed) as caught:
            await Embeds.do(ref, lambda self: self.with_another(lengths))
        assert isinstance(caught.value.cause, FunctionFailed)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (7, "answered with int, not with vectors"),
        ([[1.0]], "1 vectors for 2 texts"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
        (cast("list[Any]", [[], []]), "different lengths"),
        ([[float("nan")], [1.0]], "with no numbers"),
    ],
)
async def test_what_is_no_vector_is_refused(answer: Any, why: str) -> None:
    """By a typed error that says what came instead."""
    with pytest.raises(MalformedResponse, match=why):
        await Embedding(Fake(answer)).vectors(["a", "b"])


def test_what_makes_no_vectors_is_refused() -> None:
    """When it is given, not when it is used."""
    with pytest.raises(ConfigurationError, match="embedder=7 makes no vectors"):
        Embedding(7)  # pyright: ignore[reportArgumentType]
