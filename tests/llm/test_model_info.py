"""What is known of models offline."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import LLM, Budget, ChatRequest, ModelInfo, Price, Usage, UserMessage, model_info
from tinyllm_actors.llm.known_models import KNOWN_MODELS
from tinyllm_actors.llm.model_info import find_model, known_model, litellm_model
from tinyllm_actors.testing import ScriptedModel, text

if TYPE_CHECKING:
    from pathlib import Path

TABLE: dict[str, dict[str, Any]] = {
    "gpt-4o": {
        "litellm_provider": "openai",
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-06,
        "max_input_tokens": 1,
        "max_output_tokens": 2.0,
    },
    "acme/big": {"litellm_provider": "acme", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
    "free": {"litellm_provider": "acme", "input_cost_per_token": 0, "output_cost_per_token": 0},
    "odd": {"litellm_provider": "acme", "input_cost_per_token": 1e-6, "max_input_tokens": "many"},
}


@pytest.fixture
def litellm_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a small table in the place of litellm's."""
    monkeypatch.setattr("tinyllm_actors.llm.model_info._litellm_table", lambda: TABLE)


def test_dates_are_left_out_of_names() -> None:
    """A model with its date is the model, a longer name is another one, and unknown is None."""
    known = known_model("openai/gpt-4o-2024-08-06")
    assert known is not None
    assert (known.context_window, known.max_output, known.encoding) == (128_000, 16_384, "o200k_base")
    assert known_model("openai/gpt-4o-audio") is None
    assert known_model("azure/gpt-4o") is None
    assert known_model("anthropic/claude-3-5-sonnet-latest") == KNOWN_MODELS["anthropic/claude-3-5-sonnet"]


def test_what_is_given_goes_first(litellm_table: None) -> None:
    """The caller's knowledge is completed, not replaced, by the tables."""
    given = {"openai/gpt-4o": ModelInfo(context_window=5)}
    assert find_model("openai/gpt-4o", given) == ModelInfo(
        context_window=5, max_output=16_384, price=Price(2.5, 10.0, 1.25), encoding="o200k_base"
    )
    assert find_model("acme/new", {"acme/new": ModelInfo(price=Price(1, 1))}).price == Price(1, 1)
    assert find_model("nobody/knows") == ModelInfo()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-4o", ModelInfo(context_window=1, max_output=2, price=Price(2.5, 10.0, 1.25))),
        ("litellm/openai/gpt-4o-2024-08-06", ModelInfo(context_window=1, max_output=2, price=Price(2.5, 10.0, 1.25))),
        ("azure/gpt-4o", None),
        ("acme/big", ModelInfo(price=Price(1.0, 2.0))),
        ("acme/free", ModelInfo()),
        ("acme/odd", ModelInfo()),
        ("nothing", None),
    ],
)
@pytest.mark.usefixtures("litellm_table")
def test_litellm_entries_are_read_with_care(model: str, expected: ModelInfo | None) -> None:
    """Another provider's price is not taken, a price of 0 is unknown, and half a price is none."""
    assert litellm_model(model) == expected


@pytest.mark.parametrize("content", [None, b"[not json"])
def test_a_missing_table_is_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """Without litellm, without its table, or with one that is broken, prices are unknown, and nothing fails."""
    package = tmp_path / "litellm"
    package.mkdir()
    (package / "__init__.py").touch()
    if content is not None:
        (package / "model_prices_and_context_window_backup.json").write_bytes(content)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "litellm", raising=False)
    read = model_info._litellm_table.__wrapped__  # pyright: ignore[reportPrivateUsage]
    assert read() == {}
    monkeypatch.setattr(sys, "path", [])
    assert read() == {}


def test_litellm_is_read_without_being_imported() -> None:
    """The bundled table of the real package answers, and the package stays out of the process."""
    pytest.importorskip("tiktoken", reason="litellm and its dependencies are not installed")
    imported = "litellm" in sys.modules
    found = litellm_model("openai/gpt-4o-mini")
    assert found is not None
    assert found.price is not None
    assert found.price.output > found.price.input > 0
    assert ("litellm" in sys.modules) == imported


@pytest.mark.anyio
async def test_dollars_are_counted_with_the_table() -> None:
    """A model that litellm knows needs no price of the user's; one that nobody knows is refused by its type."""
    used = Usage(1_000_000, 0, 1_000_000)
    budget = Budget(max_usd=100.0)
    request = ChatRequest(messages=[UserMessage("hello")])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(ScriptedModel([text("hi", usage=used)], name="openai/gpt-4o"), budget=budget))
        unwrap(await llm(request=request))
        unknown = await system.spawn(LLM.spec(ScriptedModel([], name="nobody/knows"), budget=budget))
        result = await unknown(request=request)
    assert budget.used.usd > 0.1
    assert result["error"]["type"] == "UnknownPrice"
