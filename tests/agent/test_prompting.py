"""What an agent shows its model: examples, the time, the format of the answer, pictures, and no more than fits."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import pytest

from tinyllm_actors import ActorSystem, Agent, ExampleManager, ExampleSelector, PromptManager, tool
from tinyllm_actors.agent.input import check_input
from tinyllm_actors.agent.prompting import Prompting
from tinyllm_actors.errors import StartFailed
from tinyllm_actors.function import as_function
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
from tinyllm_actors.llm import (
    LLM,
    AssistantMessage,
    ChatModel,
    ImagePart,
    MaxTokensStrategy,
    ModelInfo,
    SystemMessage,
    TextPart,
    UserMessage,
)
from tinyllm_actors.memory import SemanticMemory
from tinyllm_actors.testing import HashEmbeddings, ScriptedModel, text, tool_call
from tinyllm_actors.testing import behaviours as b
from tinyllm_actors.testing.fault_server import FaultServer

pytestmark = pytest.mark.anyio

EXAMPLES = [("what is the weather", "Rain."), ("who wrote Hamlet", "Shakespeare."), ("weather tomorrow", "Snow.")]
PICTURE = {"url": "data:image/png;base64,iVBORw0KGgo="}


@tool
async def lookup(key: str) -> str:
    """Look something up."""
    return f"value of {key}"


async def test_options_of_prompts_need_no_manager() -> None:
    """The model reads the role, the format and the time, then the examples, the first message and the question."""
    model = ScriptedModel([text("One."), text("Two.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(
            Agent.spec(
                model=model,
                system_role="Be brief.",
                answer_format="One word.",
                example_manager=ExampleManager([("a", "b")]),
                initial_user_message_text="I am Ada.",
                time_aware=True,
            )
        )
        await agent(content="1?")
        await agent(content="2?")
    system_message, *rest = model.requests[1].messages
    assert isinstance(system_message, SystemMessage)
    assert system_message.content.startswith("Be brief.\n\nAnswer in this format:\nOne word.\n\nThe time is ")
    assert rest == [
        UserMessage("a"),
        AssistantMessage("b"),
        UserMessage("I am Ada."),
        UserMessage("1?"),
        AssistantMessage("One."),
        UserMessage("2?"),
    ]


async def test_examples_are_selected_and_the_time_read_once_in_a_run() -> None:
    """Each model call of a run shows the same examples and time; the next run has its own."""
    minutes = iter(range(10))
    asked: list[str] = []

    async def select(input: str) -> dict[str, Any]:
        asked.append(input)
        return {"best_examples": [EXAMPLES[0] if "weather" in input else EXAMPLES[1]]}

    model = ScriptedModel([tool_call("lookup", key="x"), text("Sun."), text("Austen.")])
    manager = PromptManager(
        system_role="",
        time_aware=True,
        clock=lambda: datetime(2026, 5, 4, 12, next(minutes), tzinfo=UTC),
        example_manager=ExampleManager(example_selector=as_function(select)),
    )
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, prompt_manager=manager, tools=[lookup]))
        await agent(content="weather?")
        await agent(content="Emma?")
    first, second, third = (request.messages for request in model.requests)
    assert asked == ["weather?", "Emma?"]
    assert first[0] == second[0] == SystemMessage("The time is Monday, 2026-05-04 12:00 UTC.")
    assert third[0] == SystemMessage("The time is Monday, 2026-05-04 12:01 UTC.")
    assert first[1:3] == second[1:3] == [UserMessage(EXAMPLES[0][0]), AssistantMessage(EXAMPLES[0][1])]
    assert third[1:3] == [UserMessage(EXAMPLES[1][0]), AssistantMessage(EXAMPLES[1][1])]


async def test_the_selector_is_a_part_of_the_agent() -> None:
    """It is a child with tinyllm's name; one that fails costs the examples and not the answer."""
    model = ScriptedModel([text("Austen."), text("Yes.")])
    selector = ExampleSelector.spec(EXAMPLES, HashEmbeddings(), k=1)
    async with ActorSystem("test") as system:
        agent = await system.spawn(
            Agent.spec(model=model, example_manager=ExampleManager(example_selector=selector)), name="Agent"
        )
        await agent(content="who wrote Emma")
        await system["Agent/example_selector"].stop()
        assert (await agent(content="Sure?"))["status"] == "success"
    assert model.requests[0].messages[1].content == "who wrote Hamlet"
    assert [message.content for message in model.requests[1].messages[1:]] == ["who wrote Emma", "Austen.", "Sure?"]


async def test_the_system_content_can_change_between_runs() -> None:
    """`update_system_content` takes effect with the next model call."""
    model = ScriptedModel([text("a"), text("b")])
    manager = PromptManager(system_role="Be brief.")
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, prompt_manager=manager))
        await agent(content="1")
        manager.update_system_content("Be long.")
        await agent(content="2")
    assert [request.messages[0].content for request in model.requests] == ["Be brief.", "Be long."]


async def test_what_does_not_fit_is_left_out_in_whole_groups() -> None:
    """In a small context the oldest goes, the question stays, and tools count too."""
    model = ScriptedModel([tool_call("lookup", key="x" * 400), text("y" * 400), text("Yes.")])
    manager = PromptManager(system_role="Be brief.", context_window=512, max_tokens=100)
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, prompt_manager=manager, tools=[lookup]))
        await agent(content="What is it?")
        await agent(content="Sure?")
    assert [message.content for message in model.requests[1].messages[:2]] == ["Be brief.", "What is it?"]
    assert [message.content for message in model.requests[2].messages] == ["Be brief.", "y" * 400, "Sure?"]
    assert model.requests[2].options["max_tokens"] == 100


async def test_a_prompt_that_is_too_long_keeps_what_the_larger_model_has_room_for() -> None:
    """With a fallback model nothing is left out before its context is full."""
    model = ScriptedModel([text("y" * 900), text("Yes.")])
    manager = PromptManager(context_window=300, fallback_context_window=10_000, fallback_model="local", max_tokens=50)
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, prompt_manager=manager))
        await agent(content="What?")
        await agent(content="Sure?")
    assert [message.content for message in model.requests[1].messages[1:]] == ["What?", "y" * 900, "Sure?"]


@pytest.mark.parametrize(
    "options",
    [
        {"prompt_manager": PromptManager(), "time_aware": True},
        {"prompt_manager": PromptManager(), "system_role": "Be brief."},
        {"prompt_manager": PromptManager(max_tokens=5), "model": LLM.spec(ScriptedModel([]))},
    ],
)
async def test_an_option_that_would_have_no_effect_is_refused(options: dict[str, Any]) -> None:
    """What belongs into the manager, or into the model's spec, is said."""
    given: dict[str, Any] = {"model": ScriptedModel([]), **options}
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed, match=r"to the prompt_manager|belongs into the spec"):
            await system.spawn(Agent.spec(**given))


# --- pictures ------------------------------------------------------------------------------------


async def test_an_agent_is_shown_pictures_and_remembers_them() -> None:
    """Parts may be structs or in their wire form; memories and selectors take the text of them."""
    model = ScriptedModel([text("A cat."), text("Yes.")])
    memory = SemanticMemory.spec(HashEmbeddings(), facts=["Tom is a cat."], k=1, threshold=0.3)
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, memory=memory))
        parts = [{"type": "text", "text": "is Tom a cat"}, {"type": "image_url", "image_url": PICTURE}]
        assert (await agent(content=parts))["status"] == "success"
        assert (await agent(content=[TextPart("Sure?"), ImagePart(PICTURE)]))["status"] == "success"
    question = UserMessage([TextPart("is Tom a cat"), ImagePart(PICTURE)])
    assert model.requests[0].messages[-1] == question
    assert "Tom is a cat." in str(model.requests[0].messages[1].content)
    assert question in model.requests[1].messages


@pytest.mark.parametrize("content", [[1], [{"type": "song"}], [{"type": "text"}], ["text"]])
async def test_what_is_no_part_is_refused(content: list[Any]) -> None:
    """It is bad input, with the place in its message."""
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=ScriptedModel([])))
        result = await agent(content=content)
        assert result["error"]["state"] == "INPUT_VALIDATION"
        assert "a part of the message is none" in result["message"]


async def test_text_is_taken_as_it_is() -> None:
    """The arguments of a plain question are not copied."""
    arguments = {"content": "Hi"}
    assert check_input(arguments) is arguments


def _compatible(base: str) -> ChatModel:
    return OpenAICompatibleModel("any", api_base=base, api_key="sk-test")


def _litellm(base: str) -> ChatModel:
    from tinyllm_actors.integrations.litellm import LiteLLMModel

    return LiteLLMModel("hosted_vllm/any", api_base=base, api_key="sk-test")


@pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")  # litellm's affair
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_compatible, id="openai_compatible"),
        pytest.param(
            _litellm, id="litellm", marks=[] if find_spec("litellm") else [pytest.mark.skip(reason="needs litellm")]
        ),
    ],
)
async def test_pictures_reach_the_provider(make: Any) -> None:
    """What goes over the wire has the parts as OpenAI's API has them."""
    async with FaultServer([b.answer("A cat.")]) as server, ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=make(server.base_url), max_retries=0))
        result = await agent(content=[TextPart("What is it?"), ImagePart(PICTURE)])
        assert result["status"] == "success", result
        body: Any = server.requests[0].json
        sent = body["messages"][-1]
    assert sent["role"] == "user"
    assert sent["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": PICTURE},
    ]


async def test_an_llm_learns_what_its_answers_may_be() -> None:
    """The strategy, the ratio and the sizes that a manager was told are the model's too; known sizes come by name."""
    manager = PromptManager(max_tokens="expected_ratio", expected_io_ratio=0.5, context_window=9_000, max_output=700)
    assert Prompting(manager, "some/model").llm_options() == {
        "max_tokens": MaxTokensStrategy.EXPECTED_RATIO,
        "expected_io_ratio": 0.5,
        "context_window_fallback": None,
        "known_models": {"some/model": ModelInfo(context_window=9_000, max_output=700)},
    }
    prompting = Prompting(PromptManager(max_tokens="max"), "openai/gpt-4o-mini")
    run = await prompting.begin(UserMessage("Hi"))
    long = [UserMessage("x" * 300_000), UserMessage("y" * 300_000)]
    assert [m.content for m in run.messages(long, [UserMessage("Hi")], ())][1:] == ["y" * 300_000, "Hi"]
