"""Counting tokens offline, and what follows from the count."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem
from tinyllm_actors.errors import ContextWindowExceeded
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import (
    LLM,
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    ImagePart,
    MaxTokensStrategy,
    ModelInfo,
    ResponseSchema,
    SystemMessage,
    TextPart,
    TokenCount,
    ToolCall,
    ToolMessage,
    ToolSchema,
    UserMessage,
    count_tokens,
    encodings,
    max_tokens_for,
)
from tinyllm_actors.llm.encodings import find_encoding
from tinyllm_actors.llm.output_limit import limited_to, output_limit_of
from tinyllm_actors.llm.tokens import count_request, estimate_request, estimate_tokens
from tinyllm_actors.testing import ScriptedModel, text

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_tables = pytest.mark.skipif(
    find_spec("tiktoken") is None or find_spec("litellm") is None, reason="tiktoken or litellm's tables are missing"
)
MAX, RATIO = MaxTokensStrategy.MAX, MaxTokensStrategy.EXPECTED_RATIO
GPT_4O = "openai/gpt-4o"


@pytest.fixture
def fresh() -> Iterator[None]:
    """Forget which encodings were found, before and after."""
    find_encoding.cache_clear()
    yield
    find_encoding.cache_clear()


# --- counts ---------------------------------------------------------------------------------------


@needs_tables
def test_models_of_openai_are_counted_exactly() -> None:
    """The count of a text is the tokenizer's; what looks like a control token is text."""
    assert count_tokens("The quick brown fox jumps over the lazy dog.", GPT_4O) == TokenCount(10, exact=True)
    assert count_tokens("hello <|endoftext|>", "openai/gpt-4").exact
    assert count_tokens("", GPT_4O) == TokenCount(0, exact=True)


@needs_tables
def test_histories_are_counted_as_openai_documents() -> None:
    """Three tokens a message, one for its role, and three before the answer; a name costs one more than itself."""
    messages = [SystemMessage("You are helpful."), UserMessage("Hi"), AssistantMessage("Hello!")]
    texts = sum(count_tokens(text, GPT_4O).count for text in ("You are helpful.", "Hi", "Hello!"))
    assert count_tokens(messages, GPT_4O) == TokenCount(texts + 3 * 4 + 3, exact=True)
    named = count_tokens([UserMessage("Hi", name="Ann")], GPT_4O).count
    assert named == count_tokens([UserMessage("Hi")], GPT_4O).count + 1 + count_tokens("Ann", GPT_4O).count


@needs_tables
@pytest.mark.parametrize(
    "message",
    [
        UserMessage([TextPart("see"), ImagePart({"url": "data:image/png;base64," + "A" * 100_000})]),
        AssistantMessage(None, [ToolCall("1", FunctionCall("f"))]),
        ToolMessage("1", "result"),
    ],
)
def test_what_is_not_documented_is_an_estimate(message: UserMessage | AssistantMessage | ToolMessage) -> None:
    """Pictures, tool calls and their results make the count an estimate; a picture is not counted by its bytes."""
    counted = count_tokens([message], GPT_4O)
    assert not counted.exact
    assert 0 < counted.count < 2_000


def test_unknown_models_are_estimated() -> None:
    """Without a tokenizer the count says that it is an estimate; an empty text has none."""
    assert count_tokens("x" * 31, "nobody/knows") == TokenCount(11, exact=False)
    assert not count_tokens([UserMessage("hello")], "nobody/knows").exact
    assert count_tokens("", "nobody/knows").count == 0


@needs_tables
def test_a_given_encoding_is_used() -> None:
    """A model that the library does not know is counted with the encoding that the user names for it."""
    known = {"my/model": ModelInfo(encoding="cl100k_base")}
    assert count_tokens("hello world", "my/model", known) == TokenCount(2, exact=True)
    assert not count_tokens("hello", "my/model", {"my/model": ModelInfo(encoding="unheard_of")}).exact


def test_tools_and_shapes_are_counted_too() -> None:
    """What the model is told beside the messages has tokens, and is only estimated."""
    plain = ChatRequest(messages=[UserMessage("hello")])
    full = ChatRequest(
        messages=plain.messages,
        tools=[ToolSchema("look_up", "Look something up.", {"type": "object"})],
        response_schema=ResponseSchema("answer", {"type": "object"}),
    )
    assert estimate_request(full) - estimate_request(plain) > 10
    assert not count_request(full, GPT_4O).exact
    assert count_request(plain, GPT_4O).exact == (find_encoding("o200k_base") is not None)


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_estimated(text: str) -> None:
    """Lone surrogates included; never more than a token for each byte, never 0 for something."""
    assert (len(text) + 2) // 3 <= estimate_tokens(text) <= 4 * len(text)


# --- where tables are -----------------------------------------------------------------------------


@needs_tables
@pytest.mark.usefixtures("fresh")
def test_a_table_that_is_nowhere_or_damaged_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded and nothing is written: without a whole table, counts are estimates."""
    table = encodings._TABLES["o200k_base"][0]  # pyright: ignore[reportPrivateUsage]
    (tmp_path / table).write_bytes(b"damaged")
    monkeypatch.setattr(encodings, "_folders", lambda: [tmp_path, tmp_path / "missing"])
    assert find_encoding("o200k_base") is None
    assert (tmp_path / table).read_bytes() == b"damaged"


@needs_tables
@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("set_before", [True, False])
def test_the_environment_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_before: bool) -> None:
    """A table is found in tiktoken's own cache folder too, and the variable that names it is left alone."""
    name, table = "cl100k_base", encodings._TABLES["cl100k_base"][0]  # pyright: ignore[reportPrivateUsage]
    bundled = next(folder for folder in encodings._folders() if (folder / table).is_file())  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    if set_before:
        shutil.copy(bundled / table, tmp_path / table)
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    else:
        monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    assert find_encoding(name) is not None
    assert os.environ.get("TIKTOKEN_CACHE_DIR") == (str(tmp_path) if set_before else None)


@pytest.mark.usefixtures("fresh")
def test_without_tiktoken_nothing_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is optional."""

    def find(name: str) -> None:
        """Find nothing."""

    monkeypatch.setattr("importlib.util.find_spec", find)
    assert find_encoding("o200k_base") is None


# --- how long an answer may be --------------------------------------------------------------------

SIZES = ModelInfo(context_window=8_192, max_output=4_096)


@pytest.mark.parametrize(
    ("strategy", "prompt", "model", "ratio", "expected"),
    [
        (MAX, 5_000, SIZES, 1.0, 3_192),
        (MAX, 100, SIZES, 1.0, 4_096),
        (MAX, 100, ModelInfo(context_window=8_192), 1.0, 8_092),
        (MAX, 100, ModelInfo(max_output=5), 1.0, None),
        (RATIO, 5_000, SIZES, 0.5, 2_500),
        (RATIO, 8_000, SIZES, 1.0, 192),
        (RATIO, 10, SIZES, 0.01, 1),
        (RATIO, 10, ModelInfo(), 2.0, 20),
    ],
)
def test_strategies(
    strategy: MaxTokensStrategy, prompt: int, model: ModelInfo, ratio: float, expected: int | None
) -> None:
    """The worked numbers; unknown sizes limit nothing, and `MAX` of an unknown context is unknown."""
    assert max_tokens_for(strategy, TokenCount(prompt, exact=True), model, expected_io_ratio=ratio) == expected


def test_a_prompt_that_fills_the_context() -> None:
    """Counted, it is the error that the provider would give; estimated, the provider decides."""
    with pytest.raises(ContextWindowExceeded, match=r"8192 tokens and the context of 'm' is 8192"):
        max_tokens_for(MAX, TokenCount(8_192, exact=True), SIZES, name="m")
    assert max_tokens_for(MAX, TokenCount(9_000, exact=False), SIZES) is None


@given(
    st.sampled_from(MaxTokensStrategy),
    st.integers(0, 10_000),
    st.integers(1, 10_000),
    st.none() | st.integers(1, 10_000),
    st.floats(0.01, 100),
)
def test_an_answer_always_fits(
    strategy: MaxTokensStrategy, prompt: int, window: int, output: int | None, ratio: float
) -> None:
    """Prompt and answer fit into the context, and the answer into what the model may say."""
    model = ModelInfo(context_window=window, max_output=output)
    tokens = max_tokens_for(strategy, TokenCount(prompt, exact=False), model, expected_io_ratio=ratio)
    if tokens is not None:
        assert 1 <= tokens <= (output or window)
        assert prompt + tokens <= window


@pytest.mark.parametrize(
    ("model", "option"),
    [
        ("openai/gpt-4o", "max_tokens"),
        ("openai/o3-mini", "max_completion_tokens"),
        ("litellm/openai/gpt-5", "max_completion_tokens"),
        ("gpt-5-nano", "max_completion_tokens"),
        ("ollama/o", "max_tokens"),
    ],
)
def test_models_that_think_have_an_option_of_their_own(model: str, option: str) -> None:
    """The limit is put in the words of the model, and read back from either."""
    options = limited_to(7, model, {})
    assert options == {option: 7}
    assert output_limit_of(ChatRequest(messages=[], options=options)) == 7
    assert output_limit_of(ChatRequest(messages=[]), options) == 7
    assert output_limit_of(ChatRequest(messages=[], options={"max_tokens": None})) is None


@pytest.mark.anyio
async def test_an_llm_sizes_its_answers() -> None:
    """The strategy of an `LLM` sets `max_tokens` from the sizes that are known; what is unknown sets nothing."""
    known = {"scripted": ModelInfo(context_window=1_000)}
    model = ScriptedModel([text("a"), text("b"), text("c")])
    request = ChatRequest(messages=[UserMessage("hello")])
    async with ActorSystem("t") as system:
        choices: list[dict[str, Any]] = [
            {"max_tokens": MAX, "known_models": known},
            {"max_tokens": RATIO, "expected_io_ratio": 2.0, "known_models": known},
            {"max_tokens": MAX},
        ]
        for options in choices:
            llm = await system.spawn(LLM.spec(model, **options))
            unwrap(await llm(request=request))
    prompt = estimate_request(request)
    sent = [one.options for one in model.requests]
    assert sent == [{"max_tokens": 1_000 - prompt}, {"max_tokens": 2 * prompt}, {}]


@pytest.mark.anyio
@needs_tables
async def test_a_prompt_that_is_known_to_be_too_long_is_not_sent() -> None:
    """It goes to the model with the larger context at once, and otherwise is a typed answer."""
    known = {"small": ModelInfo(context_window=5, encoding="cl100k_base")}
    small, wide = ScriptedModel([], name="small"), ScriptedModel([text("read")], name="wide")
    request = ChatRequest(messages=[UserMessage("some words too many for it")])
    async with ActorSystem("t") as system:
        alone = await system.spawn(LLM.spec(small, max_tokens=MAX, known_models=known))
        assert (await alone(request=request))["error"]["type"] == "ContextWindowExceeded"
        spec = LLM.spec(small, max_tokens=MAX, known_models=known, context_window_fallback=wide)
        unwrap(await (await system.spawn(spec))(request=request))
