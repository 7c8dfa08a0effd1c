"""A signature that cannot be described is refused in one sentence, where the tool is made."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Annotated, TypedDict

import pytest

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool import Tool


def _unannotated(city) -> None: ...  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]


def _many(*cities: str) -> None: ...


def _named(**cities: str) -> None: ...


def _handle(handle: socket.socket) -> None: ...


def _callback(x: int, then: Callable[[], None]) -> None: ...


class Faulty:
    def __get_pydantic_core_schema__(self, source: object, handler: object) -> None:
        raise RuntimeError("no schema today\nreally")


def _faulty(x: Annotated[int, Faulty()]) -> None: ...


class Typed(TypedDict):
    x: int


def _typed(it: Typed) -> None: ...


REFUSED: list[tuple[Callable[..., object], str]] = [
    (_unannotated, r"parameter 'city' of .*_unannotated has no annotation.*write `city: str`"),
    (_many, r"\*cities of .*_many cannot be described to a model; name each parameter"),
    (_named, r"\*\*cities of .*_named cannot be described to a model; name each parameter"),
    (_handle, r"parameter 'handle' of .*_handle cannot be described in JSON: .*socket.*; use a type that pydantic"),
    (_callback, r"parameter 'then' of .*_callback cannot be described in JSON"),
    (_faulty, r"parameter 'x' of .*_faulty cannot be described in JSON: no schema today; use"),
]


@pytest.mark.parametrize(("function", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_signature_that_cannot_be_described_is_refused(function: Callable[..., object], sentence: str) -> None:
    """Where the tool is made, one sentence names the function and the parameter, and says what to do."""
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        Tool.from_function(function)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif("sys.version_info >= (3, 12)", reason="later versions of Python have no such trouble")
def test_typed_dictionary_of_the_standard_library_is_refused_before_3_12() -> None:
    """Pydantic cannot read it there; the error says which to use."""
    with pytest.raises(ConfigurationError, match=r"parameter 'it' of .*typing_extensions.TypedDict"):
        Tool.from_function(_typed)
