"""What Langfuse is told, and what is kept there."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Evaluator, Function, chain
from tinyllm_actors.errors import MissingCredential, MissingDependency, TracingError
from tinyllm_actors.function.tracing import observe, start_tracing
from tinyllm_actors.llm import LLM, ChatRequest, ModelInfo, Price, Usage, UserMessage
from tinyllm_actors.testing import ScriptedModel, TraceRecorder, text

langfuse = pytest.importorskip("langfuse")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry import trace  # noqa: E402
from trace_receiver import receiving, refusing  # noqa: E402

from tinyllm_actors.integrations.langfuse import (  # noqa: E402
    LangfuseTracer,
    LangfuseWorkspace,
    access,
)

pytestmark = pytest.mark.anyio

KEYS: dict[str, Any] = {"public_key": "pk-lf-test", "secret_key": "sk-lf-test"}


# The first import of an SDK may take seconds on a busy machine, and the end of a system waits for it.
start = partial(start_tracing, close_timeout=20.0)


class Echo(Function):
    async def run(self, said: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return said


class Broken(Function):
    async def run(self, **arguments: Any) -> None:
        raise OSError("cannot log in with password=hunter22")


async def test_a_generation_says_what_it_took() -> None:
    """Model, parameters, tokens, dollars, first token, user and session arrive under Langfuse's names."""
    model = ScriptedModel([text("Hi there", usage=Usage(1_000, 100, 1_100))], name="openai/gpt-x")
    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            tracer = LangfuseTracer(**KEYS, base_url=receiver.url, environment="test", release="7")
            await start(system, tracer, tags=["beta"])
            spec = LLM.spec(
                model,
                name="llm",
                user_id="ann",
                session_id="s1",
                known_models={"openai/gpt-x": ModelInfo(price=Price(1.0, 2.0))},
            )
            llm = await system.spawn(spec)
            request = ChatRequest(messages=[UserMessage("Hello")], options={"temperature": 0.5})
            async with llm.stream(request=request) as events:
                async for _ in events:
                    pass
        [span] = receiver.spans
    found = span.attributes
    assert found["langfuse.observation.type"] == "generation"
    assert found["langfuse.observation.model.name"] == "openai/gpt-x"
    assert json.loads(found["langfuse.observation.model.parameters"]) == {"temperature": 0.5}
    assert json.loads(found["langfuse.observation.usage_details"]) == {"input": 1_000, "output": 100, "total": 1_100}
    assert json.loads(found["langfuse.observation.cost_details"]) == {"total": pytest.approx(0.0012)}
    assert json.loads(found["langfuse.observation.input"])[0]["content"] == "Hello"
    assert json.loads(found["langfuse.observation.output"])["content"] == "Hi there"
    assert found["langfuse.observation.completion_start_time"]
    assert (found["user.id"], found["session.id"]) == ("ann", "s1")
    assert found["langfuse.trace.tags"] == ["beta"]
    assert receiver.authorization == {"pk-lf-test:sk-lf-test"}


async def test_failures_have_a_level_and_no_secret() -> None:
    """An error's message is there, without its password; a cancelled call is a warning."""

    class Sleeper(Function):
        async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            await anyio.sleep_forever()

    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, LangfuseTracer(**KEYS, base_url=receiver.url))
            await (await system.spawn(Broken))()
            with anyio.move_on_after(0.02):
                await (await system.spawn(Sleeper))()
        broken, sleeper = receiver.spans
        assert "hunter22" not in receiver.everything()
    assert broken.attributes["langfuse.observation.level"] == "ERROR"
    assert broken.attributes["langfuse.observation.status_message"] == "OSError: cannot log in with password=***"
    assert sleeper.attributes["langfuse.observation.level"] == "WARNING"


async def test_scores_have_types_and_comments() -> None:
    """Numbers, booleans and words are scores; what is none of these is left out."""

    class Judge(Evaluator):
        async def run(self, input: Any, output: Any, error: Any) -> Any:
            return {"evals": {"length": 5, "polite": True}, "comment": "fine", "metadata": {"api_key": "abcdefgh"}}

    async def tone(input: Any, output: Any, error: Any) -> dict[str, Any]:
        return {"evals": {"tone": "warm", "odd": [1]}}

    async def failing(input: Any, output: Any, error: Any) -> float:
        raise ValueError("no score")

    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, LangfuseTracer(**KEYS, base_url=receiver.url))
            await (await system.spawn(Echo.spec(run_evaluators=[Judge.spec(), tone, failing])))(said="hello")
        scores = {score["name"]: score for score in receiver.scores}
    assert {name: (score["dataType"], score["value"]) for name, score in scores.items()} == {
        "length": ("NUMERIC", 5.0),
        "polite": ("BOOLEAN", 1.0),
        "tone": ("CATEGORICAL", "warm"),
    }
    assert scores["length"]["comment"] == "fine"
    assert scores["length"]["metadata"] == {"evaluator": "Judge", "api_key": "***"}


async def test_a_link_leads_to_the_trace() -> None:
    """The link is known at once, with the project's page where the project is known."""
    seen = TraceRecorder()
    async with ActorSystem("service", log_transitions=False) as system:
        await start(system, seen)
        await (await system.spawn(Echo))(said="x")
    [call] = seen.observations
    plain = LangfuseTracer(**KEYS, base_url="https://lf.invalid/")
    assert plain.link(call) == f"https://lf.invalid/trace/{call.trace_id}"
    known = LangfuseTracer(**KEYS, base_url="https://lf.invalid", project_id="p1")
    assert known.link(call) == f"https://lf.invalid/project/p1/traces/{call.trace_id}"
    plain.close(1.0)  # one that was never opened has nothing to close


async def test_others_keep_their_clients_and_providers() -> None:
    """A program's own client of the same key and its OpenTelemetry provider stay; a system may come again."""
    before = trace.get_tracer_provider()
    with receiving() as receiver, receiving() as mine:
        from opentelemetry.sdk.trace import TracerProvider

        provider = TracerProvider(shutdown_on_exit=False)
        own = await anyio.to_thread.run_sync(
            lambda: langfuse.Langfuse(**KEYS, base_url=mine.url, tracer_provider=provider)
        )
        for _ in range(2):
            async with ActorSystem("service", log_transitions=False) as system:
                await start(system, LangfuseTracer(**KEYS, base_url=receiver.url))
                await (await system.spawn(Echo))(said="x")
        assert langfuse.get_client(public_key="pk-lf-test")._resources is own._resources
        await anyio.to_thread.run_sync(access.shut_down, own)
        await anyio.to_thread.run_sync(provider.shutdown)
        assert [span.name for span in receiver.spans] == ["Echo", "Echo"]
        assert not mine.spans
    assert trace.get_tracer_provider() is before


async def test_what_has_not_ended_is_sent_as_such() -> None:
    """An observation whose end nobody tells is sent when the system ends, and says so."""
    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            tracing = await start(system, LangfuseTracer(**KEYS, base_url=receiver.url))
            tracing.announce(tracing.start("lost", "span", None, None))
            late = tracing.start("late", "span", None, None)
            tracing.end(late, 1)  # whose start found no room in the queue
        assert {span.name: span.attributes.get("langfuse.observation.status_message") for span in receiver.spans} == {
            "lost": "its end is not known",
            "late": None,
        }


async def test_many_spans_are_sent_before_the_end() -> None:
    """What comes together is sent in batches while the system runs."""
    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, LangfuseTracer(**KEYS, base_url=receiver.url))
            whole = await system.spawn(chain(Echo, name="whole"))
            for _ in range(300):
                await whole(said="x")
            with anyio.fail_after(30):
                await anyio.to_thread.run_sync(receiver.wait_for_spans, 256, abandon_on_cancel=True)
        assert len(receiver.spans) == 600


async def test_user_code_names_the_user() -> None:
    """The user and session of a block are on the spans inside of it."""

    class Front(Function):
        async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            with observe("turn", user_id="ben", session_id="s2", tags=("vip",)):
                await system["echo"](said="x")

    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, LangfuseTracer(**KEYS, base_url=receiver.url))
            await system.spawn(Echo, name="echo")
            await (await system.spawn(Front))()
        found = {span.name: span.attributes for span in receiver.spans}
    assert (found["Echo"]["user.id"], found["turn"]["session.id"]) == ("ben", "s2")
    assert "user.id" not in found["Front"]


def _nothing_installed(name: str) -> None:
    """Find no package."""


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, or without the SDK, the error says which and what to do; keys are in no repr."""
    monkeypatch.delenv("LANGFUSE_PUBLIC_KEY", raising=False)
    monkeypatch.delenv("LANGFUSE_SECRET_KEY", raising=False)
    with pytest.raises(MissingCredential, match="LANGFUSE_PUBLIC_KEY"):
        LangfuseTracer()
    with pytest.raises(MissingCredential, match="LANGFUSE_SECRET_KEY"):
        LangfuseWorkspace(public_key="pk")
    assert "sk-lf-test" not in repr(access.Access.of("pk", "sk-lf-test", None, 3))
    monkeypatch.setattr("importlib.util.find_spec", _nothing_installed)
    with pytest.raises(MissingDependency, match="langfuse"):
        LangfuseTracer(**KEYS)


async def test_prompts_come_from_there_or_from_here() -> None:
    """A prompt is the host's, with its variables; the fallback's if the host does not give it."""
    prompt: dict[str, Any] = {
        "name": "support", "version": 2, "config": {}, "labels": ["production"], "tags": [], "type": "text",
        "prompt": "You help {{who}}.", "resolutionGraph": None, "commitMessage": None,
    }  # fmt: skip
    with receiving() as receiver:
        receiver.answers["/api/public/v2/prompts/support"] = (200, prompt)
        receiver.answers["/api/public/v2/prompts/gone"] = (404, {"message": "not found", "error": "NotFound"})
        async with LangfuseWorkspace(**KEYS, base_url=receiver.url, timeout=20) as workspace:
            assert await workspace.prompt("support", fallback="no", who="ann") == "You help ann."
            assert await workspace.prompt("gone", fallback="Help {{who}}!", who="ben") == "Help ben!"
    async with LangfuseWorkspace(**KEYS, base_url=refusing(), timeout=20) as workspace:
        assert await workspace.prompt("support", fallback="Help {{who}}!", who="cem") == "Help cem!"


async def test_datasets_are_read_and_filled() -> None:
    """Items of a dataset come as dictionaries, and go there; a host that fails is an error with a type."""
    times = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}
    about = {"id": "d1", "name": "q", "projectId": "p", **times, "metadata": None, "description": None}
    item: dict[str, Any] = {
        "id": "i1", "status": "ACTIVE", "input": {"content": "1+1"}, "expectedOutput": "2", "metadata": None,
        "datasetId": "d1", "datasetName": "q", **times,
        "sourceTraceId": None, "sourceObservationId": None, "mediaReferences": [],
    }  # fmt: skip
    page: dict[str, Any] = {"data": [item], "meta": {"page": 1, "limit": 50, "totalItems": 1, "totalPages": 1}}
    with receiving() as receiver:
        receiver.answers["/api/public/v2/datasets/q"] = (200, about)
        receiver.answers["/api/public/v2/datasets"] = (200, about)
        receiver.answers["/api/public/dataset-items"] = (200, page)
        async with LangfuseWorkspace(**KEYS, base_url=receiver.url, timeout=20) as workspace:
            [found] = await workspace.dataset("q")
            receiver.answers["/api/public/dataset-items"] = (200, item)
            await workspace.add_to_dataset("q", [{"input": {"content": "1+1"}, "expected_output": "2"}])
            receiver.mode = "500"
            with pytest.raises(TracingError, match="dataset 'q'"):
                await workspace.dataset("q")
    assert (found["id"], found["input"], found["expected_output"]) == ("i1", {"content": "1+1"}, "2")
    assert ("POST", "/api/public/dataset-items") in receiver.requests
