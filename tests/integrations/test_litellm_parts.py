"""The parts of the litellm adapter that need no litellm: versions, names, requests, failures."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.litellm import LiteLLMModel, from_name, loading
from tinyllm_actors.integrations.litellm.failures import failure_of
from tinyllm_actors.integrations.litellm.names import capabilities_of, check_credential, provider_of
from tinyllm_actors.integrations.litellm.request import call_arguments
from tinyllm_actors.integrations.litellm.streams import Reasons, is_stream
from tinyllm_actors.integrations.litellm.usage import Prices, usage_of_reports
from tinyllm_actors.llm.assembly import ChunkAssembler
from tinyllm_actors.llm.messages import AssistantMessage, ImagePart, TextPart, UserMessage
from tinyllm_actors.llm.model import Capabilities, ChatRequest, ToolSchema, Usage

# --- loading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.102.4", "1.106.2", "1.106.99", "1.103.0rc1"])
def test_versions_that_work_are_taken(version: str) -> None:
    """The versions that the adapter was tested with raise nothing."""
    loading.check_version(version)


@pytest.mark.parametrize("version", ["1.82.6", "1.102.3", "1.107.0", "2.0.0", None])
def test_other_versions_are_refused_with_the_command_that_helps(version: str | None) -> None:
    """An absent, old or new litellm is named together with the command that installs the right one."""
    with pytest.raises(errors.MissingDependency, match=r'pip install "tinyllm_actors\[litellm\]"') as caught:
        loading.check_version(version)
    assert version is None or version in str(caught.value)


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8"])
def test_compromised_versions_are_called_so(version: str) -> None:
    """Two releases carried malware; whoever has one must change their keys, not only the version."""
    with pytest.raises(errors.MissingDependency, match=r"compromised.*keys"):
        loading.check_version(version)


def test_an_absent_litellm_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the version is None, whatever its metadata say."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with pytest.raises(errors.MissingDependency):
        loading.check_version(loading.installed_version())


def test_the_adapter_imports_no_vendor() -> None:
    """Importing the adapter and making a model costs no vendor's import; `open()` does."""
    program = (
        "import sys; from tinyllm_actors.integrations.litellm import from_name; from_name('openai/x', {});"
        "print(sorted({'litellm', 'openai', 'httpx', 'aiohttp', 'trio'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- names ----------------------------------------------------------------------------------------


def known(**more: Any) -> Any:
    """Return what the adapter asks of litellm, small."""

    def get_llm_provider(model: str, api_base: object) -> tuple[str, str]:
        del api_base
        if model == "gpt-4o":
            return model, "openai"
        raise ValueError("LLM Provider NOT provided, and more of the kind")

    return SimpleNamespace(
        **{
            "provider_list": ["openai", "anthropic", "ollama", "together_ai", "gemini", "azure", "huggingface"],
            "custom_provider_map": [{"provider": "mine"}],
            "model_cost": {"gpt-4o": {"supports_function_calling": True, "supports_response_schema": True}},
            "get_llm_provider": get_llm_provider,
            "secret_manager_client": None,
            "validate_environment": lambda name: {"missing_keys": [f"{name.partition('/')[0].upper()}_API_KEY"]},  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType]
            **more,
        }
    )


@pytest.mark.parametrize(
    ("name", "options", "provider"),
    [
        ("openai/anything", {}, "openai"),
        ("gpt-4o", {}, "openai"),
        ("mine/model", {}, "mine"),
        ("whatever/it/is", {"custom_llm_provider": "openai"}, "openai"),
    ],
)
def test_a_known_name_has_its_provider(name: str, options: dict[str, object], provider: str) -> None:
    """The provider is the prefix, or what litellm's table says, or what the option says."""
    assert provider_of(known(), name, options) == provider


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("opnai/gpt-4o", {}, "did you mean 'openai/gpt-4o'?"),
        ("nowhere/gpt-4o", {}, "write it as 'provider/model'"),
        ("gpt4o", {}, "did you mean 'gpt-4o'?"),
        ("zzz", {}, "write it as 'provider/model'"),
        ("openai/", {}, "names a provider and no model"),
        ("x", {"custom_llm_provider": "antropic"}, "did you mean 'anthropic'?"),
    ],
)
def test_an_unknown_name_is_named_with_a_remedy(name: str, options: dict[str, object], says: str) -> None:
    """One sentence has the value that was wrong and what to write instead."""
    with pytest.raises(errors.UnknownModel) as caught:
        provider_of(known(), name, options)
    assert repr(name) in str(caught.value)
    assert says in str(caught.value)


def nothing_missing(name: str) -> dict[str, list[str]]:
    """Find nothing missing."""
    del name
    return {"missing_keys": []}


@pytest.fixture
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "TOGETHER_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_keys")
def test_a_missing_key_is_named() -> None:
    """The message has the model and the variable that would hold the key."""
    with pytest.raises(errors.MissingCredential, match=r"'openai/x' needs a key: set OPENAI_API_KEY"):
        check_credential(known(), "openai/x", "openai", {})


@pytest.mark.usefixtures("_no_keys")
@pytest.mark.parametrize(
    ("provider", "options", "environment", "more"),
    [
        ("openai", {"api_key": "x"}, {}, {}),
        ("openai", {"extra_headers": {"Authorization": "Bearer x"}}, {}, {}),
        ("openai", {"mock_response": "x"}, {}, {}),
        ("openai", {}, {}, {"api_key": "x"}),
        ("openai", {}, {}, {"openai_key": "x"}),
        ("openai", {}, {}, {"secret_manager_client": object()}),
        ("anthropic", {}, {"ANTHROPIC_AUTH_TOKEN": "x"}, {}),
        ("together_ai", {}, {"TOGETHER_API_KEY": "x"}, {}),
        ("huggingface", {}, {"HF_TOKEN": "x"}, {}),
        ("azure", {}, {}, {}),
        ("ollama", {}, {}, {}),
        ("gemini", {}, {}, {"validate_environment": nothing_missing}),
    ],
)
def test_in_doubt_no_key_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    options: dict[str, object],
    environment: dict[str, str],
    more: dict[str, Any],
) -> None:
    """Whoever may have a key in a way that we do not know is not refused; the provider will say."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check_credential(known(**more), f"{provider}/x", provider, options)


def test_capabilities_come_from_the_table_where_it_has_the_model() -> None:
    """A model that is not in the table is taken to have tools and schemas."""
    assert capabilities_of(known(), "openai/gpt-4o") == Capabilities()
    assert capabilities_of(known(), "openai/else") == Capabilities()
    poor = known(model_cost={"openai/old": {"supports_function_calling": False}})
    assert capabilities_of(poor, "openai/old") == Capabilities(tools=False, json_schema=False)


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["model", "messages", "stream", "n", "num_retries", "max_retries", "fallbacks"])
def test_options_that_are_the_adapters_own_are_refused(option: str) -> None:
    """What would break a promise of the adapter is refused by name, for all calls and for one."""
    with pytest.raises(errors.ConfigurationError, match=repr(option)):
        from_name("openai/x", {option: 1})
    with pytest.raises(errors.ConfigurationError, match=repr(option)):
        call_arguments("openai/x", ChatRequest(messages=[], options={option: 1}), {}, stream=False)


@pytest.mark.parametrize("idle_timeout", [0, -1, "60", None])
def test_a_time_out_must_be_one(idle_timeout: Any) -> None:
    """A time-out that is no positive number of seconds is refused by value."""
    with pytest.raises(errors.ConfigurationError, match=repr(idle_timeout)):
        LiteLLMModel("openai/x", idle_timeout=idle_timeout)


@pytest.mark.parametrize("name", ["", "litellm/", "/"])
def test_a_name_must_name_something(name: str) -> None:
    """An empty name is refused before anything is imported."""
    with pytest.raises(errors.UnknownModel, match="names no model"):
        from_name(name, {})


def test_a_prefix_chooses_the_adapter_and_is_no_part_of_the_name() -> None:
    """`litellm/` before a name is for whoever chooses among adapters."""
    assert from_name("litellm/openai/x", {}).name == from_name("openai/x", {}).name == "openai/x"


def test_nobody_reads_the_key() -> None:
    """The model shows its name only."""
    assert repr(LiteLLMModel("openai/x", api_key="sk-secret")) == "LiteLLMModel('openai/x')"


def test_messages_are_written_for_all_of_litellms_dialects() -> None:
    """Parts are kept, an assistant always has `content`, its thinking is sent on demand only."""
    request = ChatRequest(
        messages=[
            UserMessage([TextPart("What is it?"), ImagePart({"url": "data:image/png;base64,AA=="})]),
            AssistantMessage(reasoning_content="Hm."),
        ],
        tools=[ToolSchema("f", "d", {"type": "object"})],
        tool_choice="auto",
    )
    arguments = call_arguments("openai/x", request, {"temperature": 1, "seed": 1}, stream=True)
    assert arguments["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {"role": "assistant", "content": None},
    ]
    assert arguments["tool_choice"] == "auto"
    assert arguments["_skip_mcp_handler"] is True
    assert arguments["stream_options"] == {"include_usage": True}
    assert arguments["num_retries"] == 0
    thinking = call_arguments("openai/x", request, {}, stream=False, client=object(), send_reasoning=True)
    assert thinking["messages"][1]["reasoning_content"] == "Hm."
    assert not {"stream", "stream_options"} & thinking.keys()
    silent = call_arguments("openai/x", ChatRequest(messages=[]), {}, stream=True, stream_usage=False)
    assert not {"stream_options", "tools", "_skip_mcp_handler"} & silent.keys()


# --- failures -------------------------------------------------------------------------------------


def raised(name: str, message: str = "boom", *, module: str = "litellm.exceptions", **attributes: Any) -> Exception:
    """Return an exception of a class that has this name."""
    error: Exception = type(name, (Exception,), {"__module__": module})(message)
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


def judged(error: BaseException, answer: ChunkAssembler | None = None) -> Any:
    """Return what the adapter would raise."""
    return failure_of(error, model="openai/x", scrub=lambda text: text.replace("hidden", "***"), answer=answer)


def chained(outer: Exception, *causes: Exception) -> Exception:
    """Return `outer` as if it had been raised while each of `causes` was handled, the first cause last."""
    link: BaseException = outer
    for cause in causes:
        link.__context__ = cause
        link = cause
    return outer


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (raised("ContextWindowExceededError", status_code=400), errors.ContextWindowExceeded, False),
        (raised("ContentPolicyViolationError", status_code=400), errors.RequestRejected, False),
        (raised("AuthenticationError"), errors.AuthenticationFailed, False),
        (raised("RateLimitError", status_code=429), errors.RateLimited, True),
        (raised("RateLimitError", "insufficient_quota", status_code=429), errors.QuotaExceeded, False),
        (raised("BadRequestError", status_code=400), errors.RequestRejected, False),
        (raised("ServiceUnavailableError", status_code=503), errors.Overloaded, True),
        (raised("InternalServerError", status_code=500), errors.Overloaded, True),
        (raised("Timeout", status_code=408), errors.ModelTimeout, True),
        (TimeoutError(), errors.ModelTimeout, True),
        (
            chained(raised("InternalServerError", status_code=500), ConnectionRefusedError()),
            errors.ModelUnavailable,
            True,
        ),
        (
            chained(raised("APIConnectionError"), raised("NetworkError", module="httpx"), OSError()),
            errors.ModelUnavailable,
            True,
        ),
        (
            chained(raised("APIConnectionError"), raised("APIConnectionError", module="openai")),
            errors.ModelUnavailable,
            True,
        ),
        (
            chained(raised("APIConnectionError"), raised("JSONDecodeError", module="json")),
            errors.MalformedResponse,
            True,
        ),
        (chained(raised("APIConnectionError"), TypeError("a bug")), errors.ModelError, False),
        (
            chained(raised("APIConnectionError"), ModuleNotFoundError(name="boto3.session")),
            errors.MissingDependency,
            None,
        ),
        (raised("CancelledError", module="asyncio"), errors.ModelUnavailable, True),
        (
            raised("MidStreamFallbackError", original_exception=raised("RateLimitError", status_code=429)),
            errors.RateLimited,
            True,
        ),
    ],
)
def test_each_exception_has_its_meaning(error: Exception, kind: type[Exception], retryable: bool | None) -> None:
    """What came over the wire counts first, then what litellm's exception was raised from."""
    failure = judged(error)
    assert type(failure) is kind, failure
    assert getattr(failure, "retryable", None) is retryable
    assert "openai/x" in str(failure)


def test_the_package_that_litellm_misses_is_named() -> None:
    """Some providers need packages of their own; the message has the command."""
    failure = judged(chained(raised("APIConnectionError"), ModuleNotFoundError(name="boto3.session")))
    assert "pip install boto3" in str(failure)


def test_a_mistake_of_litellms_is_called_so() -> None:
    """A bug that litellm reports as a lost connection is not taken for one, and not tried again."""
    failure = judged(chained(raised("APIConnectionError", "boom"), KeyError("a bug")))
    assert "litellm failed with KeyError" in str(failure)


def test_secrets_are_taken_out_of_messages() -> None:
    """Neither the keys that are known nor what looks like a key stays in a message."""
    said = 'XException - {"error": {"message": "bad key hidden, not sk-proj-1234567890abcdef or Bearer abc.def"}}'
    failure = judged(raised("AuthenticationError", said, status_code=401))
    assert "hidden" not in str(failure)
    assert "1234567890" not in str(failure)
    assert "abc.def" not in str(failure)
    assert str(failure).count("***") == 3


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'litellm.RateLimitError: RateLimitError: OpenAIException - {"error": {"message": "Slow down."}}',
            "Slow down.",
        ),
        ("litellm.RateLimitError: AnthropicException - Slow down.", "Slow down."),
        ("litellm.BadRequestError: {not json", "{not json"),
    ],
)
def test_the_providers_words_are_told_without_litellms(message: str, words: str) -> None:
    """What litellm puts before the provider's words is left out."""
    failure = judged(raised("RateLimitError", message, status_code=429))
    assert str(failure) == f"openai/x: the provider answered 429: {words}"


def test_the_body_that_an_sdk_has_decoded_is_used() -> None:
    """Where the exception holds the body, the words come from it."""
    failure = judged(raised("RateLimitError", "…", status_code=429, body={"message": "Slow down.", "code": "x"}))
    assert str(failure).endswith(": Slow down.")


@pytest.mark.parametrize("attribute", ["litellm_response_headers", "response"])
def test_the_time_to_wait_is_read_from_either_place_for_headers(attribute: str) -> None:
    """The provider's headers are found in whichever attribute litellm keeps them."""
    headers = {"Retry-After": "3"}
    attributes: dict[str, Any] = {attribute: headers if attribute != "response" else SimpleNamespace(headers=headers)}
    failure = judged(raised("APIError", status_code=529, **attributes))
    assert (type(failure), failure.retry_after) == (errors.Overloaded, 3.0)


def test_a_failure_in_the_middle_tells_what_had_come() -> None:
    """Once the answer has begun, what may pass is an interruption; a time-out stays one; a refusal stays final."""
    answer = ChunkAssembler("openai/x")
    answer.feed({"choices": [{"index": 0, "delta": {"content": "Hel"}}]})
    lost = chained(raised("APIConnectionError"), ConnectionResetError())
    for error, kind in (
        (lost, errors.StreamInterrupted),
        (raised("InternalServerError", status_code=500), errors.StreamInterrupted),
        (raised("Timeout"), errors.ModelTimeout),
        (raised("BadRequestError", status_code=400), errors.RequestRejected),
        (errors.MalformedResponse("too long"), errors.MalformedResponse),
    ):
        failure = judged(error, answer)
        assert (type(failure), failure.output_started, failure.partial) == (kind, True, "Hel")
        assert failure.model == "openai/x"


def test_an_endless_chain_of_causes_ends() -> None:
    """A chain that bites its own tail is read once."""
    first, second = raised("APIConnectionError"), KeyError("x")
    first.__context__, second.__context__ = second, first
    assert type(judged(first)) is errors.ModelError


# --- streams and prices ---------------------------------------------------------------------------


def test_the_reason_to_end_is_the_providers() -> None:
    """What litellm makes up does not count, but for answers that come from litellm itself."""
    stream = SimpleNamespace(received_finish_reason=None, intermittent_finish_reason=None)
    assert Reasons(stream, mocked=False).given() is None
    assert Reasons(stream, mocked=True).given() == "stop"
    stream.custom_llm_provider = "cached_response"
    assert Reasons(stream, mocked=False).given() == "stop"
    stream.intermittent_finish_reason = "length"
    assert Reasons(stream, mocked=True).given() == "length"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("text/event-stream", True), ("", True), ("application/json; charset=utf-8", False), ("text/html", False)],
)
def test_a_page_is_no_stream(kind: str, expected: bool) -> None:
    """An answer that says it is a page or one object is no stream."""
    assert is_stream(SimpleNamespace(_response_headers={"content-type": kind})) is expected
    assert is_stream(SimpleNamespace())


def test_tokens_are_running_totals() -> None:
    """The prompt from the first report and the answer from the last make the usage."""
    reports = [{"prompt_tokens": 10, "completion_tokens": 1}, {"prompt_tokens": 0, "completion_tokens": 5}]
    assert usage_of_reports(reports) == Usage(10, 5, 15)
    assert usage_of_reports([]) is None


def test_a_price_is_told_where_there_is_one() -> None:
    """A price is a number of dollars; no price is None and is not asked for again."""
    asked: list[str] = []

    def cost_per_token(**arguments: Any) -> tuple[float, float]:
        asked.append(arguments["model"])
        if arguments["model"] == "openai/free":
            return 0.0, 0.0
        raise ValueError("not mapped")

    module = SimpleNamespace(cost_per_token=cost_per_token)
    reports = [{"prompt_tokens": 1, "completion_tokens": 1}]
    free, unknown = Prices(module, "openai/free", "openai"), Prices(module, "openai/else", "openai")
    for _ in range(2):
        assert free.of_stream(reports) == Usage(1, 1, 2, 0.0)
        assert unknown.of_stream(reports) == Usage(1, 1, 2, None)
    assert asked == ["openai/free", "openai/else", "openai/free"]
    answer = SimpleNamespace(_hidden_params={"response_cost": 0.5})
    assert free.of_answer(Usage(1, 1, 2), answer) == Usage(1, 1, 2, 0.5)
    assert free.of_answer(Usage(1, 1, 2), SimpleNamespace(_hidden_params={"response_cost": None})) == Usage(1, 1, 2)
