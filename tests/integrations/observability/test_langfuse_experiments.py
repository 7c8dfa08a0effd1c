"""An evaluation in a traced system is an experiment at Langfuse: of its dataset, with its traces and scores."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import ActorSystem, Agent, Evaluator, Function
from tinyllm_actors.errors import DatasetInvalid, TracingError
from tinyllm_actors.evals import ExactMatch, Example, evaluate, report_html, summarize
from tinyllm_actors.function.tracing import start_tracing
from tinyllm_actors.testing import ScriptedModel, TraceRecorder, text

pytest.importorskip("langfuse")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from trace_receiver import receiving

from tinyllm_actors.integrations.langfuse import LangfuseDataset, LangfuseTracer, LangfuseWorkspace

if TYPE_CHECKING:
    from pathlib import Path

    from trace_receiver import Receiver

pytestmark = pytest.mark.anyio

KEYS: dict[str, Any] = {"public_key": "pk-lf-test", "secret_key": "sk-lf-test"}
TIMES = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}

start = partial(start_tracing, close_timeout=20.0)


def item(name: str, given: Any, expected: Any, **more: Any) -> dict[str, Any]:
    """Return a dataset's item as the host sends it."""
    return {
        "id": name, "status": "ACTIVE", "input": given, "expectedOutput": expected, "metadata": None,
        "datasetId": "d1", "datasetName": "sums", **TIMES,
        "sourceTraceId": None, "sourceObservationId": None, "mediaReferences": [], **more,
    }  # fmt: skip


def keep(receiver: Receiver, *items: dict[str, Any]) -> None:
    """Let the host have a dataset."""
    about = {"id": "d1", "name": "sums", "projectId": "p", **TIMES, "metadata": None, "description": None}
    page = {"page": 1, "limit": 50, "totalItems": len(items), "totalPages": 1}
    receiver.answers["/api/public/v2/datasets/sums"] = (200, about)
    receiver.answers["/api/public/dataset-items"] = (200, {"data": list(items), "meta": page})


class Adder(Function):
    async def run(self, content: str) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if "x" in content:
            raise ValueError("no number")
        return {"answer": str(sum(int(number) for number in content.split("+")))}


class Short(Evaluator):
    async def run(self, input: Any, output: Any, error: Any) -> Any:
        return {"evals": {"short": len(output["answer"]) < 3}, "comment": "counted"}


async def test_a_run_over_a_dataset_is_an_experiment_of_it() -> None:
    """Each item is a trace whose spans all name run, dataset, item and root; the scores are at the root."""
    items = [
        item("i1", "1+1", "2", metadata={"level": "easy", "contexts": ["sums"]}),
        item("i2", {"content": "2+2"}, "4"),
        item("i3", "x", None),
        item("i4", "0", "0", status="ARCHIVED"),
    ]
    with receiving() as receiver:
        keep(receiver, *items)
        async with (
            ActorSystem("evals", log_transitions=False) as system,
            LangfuseWorkspace(**KEYS, base_url=receiver.url, timeout=20) as workspace,
        ):
            await start(system, LangfuseTracer(**KEYS, base_url=receiver.url))
            dataset = LangfuseDataset(workspace, "sums")
            run = await evaluate(
                system, Adder, dataset, [ExactMatch, Short], name="adder 1", metadata={"model": "none", "api_key": "k"}
            )
        spans, scores = receiver.spans, receiver.scores
    assert [record.example for record in run.records] == ["i1", "i2", "i3"]
    roots = {span.id: span for span in spans if span.parent_id is None}
    assert {record.observation_id for record in run.records} == set(roots)
    for record in run.records:
        within = [span for span in spans if span.trace_id == record.trace_id]
        assert {span.name for span in within} >= {"Example", "Adder"}
        for span in within:
            found = span.attributes
            assert found["langfuse.experiment.id"] == run.header.run_id
            assert found["langfuse.experiment.name"] == "adder 1"
            assert json.loads(found["langfuse.experiment.metadata"]) == {"model": "none", "api_key": "***"}
            assert found["langfuse.experiment.dataset.id"] == "d1"
            assert found["langfuse.experiment.item.id"] == record.example
            assert found["langfuse.experiment.item.root_observation_id"] == record.observation_id
            assert found["langfuse.environment"] == "sdk-experiment"
            assert ("langfuse.experiment.item.expected_output" in found) == (
                span.id in roots and record.example != "i3"
            )
    first, _, third = (roots[record.observation_id or ""].attributes for record in run.records)
    assert first["langfuse.experiment.item.expected_output"] == "2"
    assert json.loads(first["langfuse.experiment.item.metadata"])["level"] == "easy"
    assert json.loads(first["langfuse.observation.input"]) == {"content": "1+1"}
    assert json.loads(first["langfuse.observation.output"]) == {"answer": "2"}
    assert third["langfuse.observation.level"] == "ERROR"
    assert "no number" in third["langfuse.observation.status_message"]
    places = {(record.trace_id, record.observation_id) for record in run.records[:2]}
    assert {(score["traceId"], score["observationId"]) for score in scores} == places
    assert sorted((score["name"], score["value"], score["dataType"]) for score in scores) == [
        ("exact_match", 1.0, "NUMERIC"),
        ("exact_match", 1.0, "NUMERIC"),
        ("short", 1.0, "BOOLEAN"),
        ("short", 1.0, "BOOLEAN"),
    ]
    page = report_html(run, summarize(run))
    assert f'href="{receiver.url}/trace/{run.records[0].trace_id}"' in page


async def test_an_older_host_is_sent_links() -> None:
    """Run items go to a host before version 4 with run, item, trace and observation; what it refuses has a type."""
    with receiving() as receiver:
        keep(receiver, item("i1", "1+1", "2"), item("i2", "1+2", "3"))
        receiver.answers["/api/public/dataset-run-items"] = (200, {"id": "r1"})
        async with (
            ActorSystem("evals", log_transitions=False) as system,
            LangfuseWorkspace(**KEYS, base_url=receiver.url, timeout=20) as workspace,
        ):
            await start(system, TraceRecorder())
            run = await evaluate(system, Adder, LangfuseDataset(workspace, "sums"), [ExactMatch], name="adder")
            receiver.raw.clear()
            assert await workspace.link_run(run, description="the first") == 2
            sent = [json.loads(body) for body in receiver.raw]
            receiver.answers["/api/public/dataset-run-items"] = (404, {"message": "no such item"})
            with pytest.raises(TracingError, match=r"adder.*404"):
                await workspace.link_run(run)
        async with ActorSystem("evals", log_transitions=False) as system:
            untraced = await evaluate(system, Adder, [Example("i1", {"content": "1"})], [])
        assert untraced.records[0].trace_id is None
        async with LangfuseWorkspace(**KEYS, base_url=receiver.url, timeout=20) as workspace:
            assert await workspace.link_run(untraced) == 0
    assert receiver.requests.count(("POST", "/api/public/dataset-run-items")) == 3
    assert receiver.authorization == {"pk-lf-test:sk-lf-test"}
    assert sent == [
        {
            "runName": "adder",
            "runDescription": "the first",
            "metadata": {},
            "datasetItemId": record.example,
            "traceId": record.trace_id,
            "observationId": record.observation_id,
        }
        for record in run.records
    ]


async def test_each_example_is_a_trace_of_its_own(tmp_path: Path) -> None:
    """Also inside of a traced call, and with the same run after a resumption; what is not captured is not shown."""

    class Nightly(Function):
        async def run(self, count: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
            run = await evaluate(
                self.context.system, Adder, cases, [ExactMatch], repeats=count, results=tmp_path / "run.jsonl"
            )
            return run.header.run_id

    cases = [Example("a", {"content": "1+1"}, expected="secret"), Example("b", {"content": "2"}, expected="2")]
    recorder = TraceRecorder()
    async with ActorSystem("evals", log_transitions=False) as system:
        await start(system, recorder, capture=False)
        nightly = await system.spawn(Nightly)
        first = await nightly(count=2)
        (tmp_path / "run.jsonl").write_bytes(b"".join((tmp_path / "run.jsonl").read_bytes().splitlines(True)[:3]))
        again = await nightly(count=2)
    assert first["output"] == again["output"]
    examples = [seen for seen in recorder.observations if seen.name == "Example"]
    assert len(examples) == 4 + 2
    assert len({seen.trace_id for seen in examples}) == 6
    assert all(seen.parent_id is None for seen in examples)
    assert {seen.experiment.run_id for seen in examples if seen.experiment} == {first["output"]}
    assert not any(seen.input or seen.output or (seen.experiment and seen.experiment.expected) for seen in examples)
    assert all(seen.experiment is None for seen in recorder.observations if seen.name == "Nightly")


async def test_an_agent_under_evaluation_is_named_throughout() -> None:
    """Generations and memory of an agent carry the item too, so that the experiment has tokens and cost."""
    recorder = TraceRecorder()
    async with ActorSystem("evals", log_transitions=False) as system:
        await start(system, recorder)
        spec = Agent.spec(model=ScriptedModel([text("2")]))
        await evaluate(system, spec, [Example("one", {"content": "1+1?"}, expected="2")], [ExactMatch])
    found = {seen.name: seen.experiment for seen in recorder.observations}
    assert {seen.item for seen in found.values() if seen is not None} == {"one"}
    assert None not in found.values()
    assert found.keys() >= {"Example", "Scripted", "ExactMatch"}


async def test_an_item_without_arguments_is_refused() -> None:
    """An input that is neither an object nor a text cannot be a call; the error names the item."""
    with receiving() as receiver:
        keep(receiver, item("i1", [1, 2], None))
        async with LangfuseWorkspace(**KEYS, base_url=receiver.url, timeout=20) as workspace:
            with pytest.raises(DatasetInvalid, match="item 'i1'"):
                await LangfuseDataset(workspace, "sums").load()
