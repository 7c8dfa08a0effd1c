"""Examples of questions with the answers that they should have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import FunctionRef
from tinyllm_actors.function.language.said import Said
from tinyllm_actors.kernel import ChildSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Example", "ExampleLike", "ExampleManager", "as_examples", "example_messages"]


class Example(msgspec.Struct, frozen=True):
    """What a user says, and what the assistant should answer.

    ```python
    >>> Example("2 + 2", "4")
    Example(user_message='2 + 2', assistant_message='4')

    ```
    """

    user_message: str
    assistant_message: str


ExampleLike: TypeAlias = "Example | tuple[str, str] | Mapping[str, str]"
"""An example, a pair of texts, or a mapping with `user_message` and `assistant_message`, or `user` and `assistant`."""


def as_examples(examples: Iterable[ExampleLike]) -> list[Example]:
    """Return examples of whatever they are given as.

    Raises:
        ConfigurationError: one is none, or has no text; the message names its place.
    """
    found: list[Example] = []
    for place, example in enumerate(cast("Iterable[Any]", examples)):
        texts: tuple[Any, ...] = ()
        if isinstance(example, Example):
            texts = (example.user_message, example.assistant_message)
        elif isinstance(example, Mapping):
            named = cast("Mapping[str, Any]", example)
            user, assistant = (named.get(f"{role}_message", named.get(role)) for role in ("user", "assistant"))
            texts = (user, assistant)
        elif isinstance(example, tuple | list):
            texts = tuple(cast("tuple[Any, ...]", example))
        if len(texts) != 2 or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ConfigurationError(
                f"examples[{place}] is {example!r:.200}; give Example('what a user says', 'what to answer')"
            )
        found.append(Example(*texts))
    return found


def example_messages(examples: Iterable[Example]) -> list[Said]:
    """Return examples as a conversation: a message of a user and one of the assistant for each."""
    return [
        message
        for example in examples
        for message in (Said("user", example.user_message), Said("assistant", example.assistant_message))
    ]


class ExampleManager:
    """The examples that a model is shown: some always, and some that are like the question.

    ```python
    >>> from tinyllm_actors import Agent, ExampleManager, run
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> model = ScriptedModel([text("Chaud.")])
    >>> examples = ExampleManager([("cold", "Froid."), ("rain", "Pluie.")])
    >>> _ = run(Agent.spec(model=model, example_manager=examples), content="hot")
    >>> [message.content for message in model.requests[0].messages[1:]]
    ['cold', 'Froid.', 'rain', 'Pluie.', 'hot']

    ```

    Args:
        constant_examples: shown in every prompt, in this order.
        example_selector: the spec of an `ExampleSelector`, or of another Function that is called with `input="…"` and
            answers `{"best_examples": […]}`, or a reference to one; asked once in a run.

    Raises:
        ConfigurationError: an example has no text, or the selector is no Function.
    """

    def __init__(
        self,
        constant_examples: Iterable[ExampleLike] = (),
        example_selector: ChildSpec | FunctionRef | None = None,
    ) -> None:
        self.constant_examples = as_examples(constant_examples)
        if example_selector is not None and not isinstance(example_selector, ChildSpec | FunctionRef):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"example_selector={example_selector!r} is no Function: give ExampleSelector.spec(…), or a reference"
            )
        self.example_selector = example_selector
