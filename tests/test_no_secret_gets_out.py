"""Secrets, planted anywhere in anything, are in nothing that the library writes down."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyllm_actors import Actor, ActorSystem, Function
from tinyllm_actors.conversation import Append, MemoryStore, TurnStarted, export_lines, import_lines
from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.evals import (
    Example,
    compare,
    comparison_text,
    evaluate,
    report_html,
    report_json,
    report_junit,
    report_text,
    summarize,
)
from tinyllm_actors.function.tracing import start_tracing
from tinyllm_actors.integrations.langfuse import experiment
from tinyllm_actors.integrations.opentelemetry.conventions import attributes_of, span_name
from tinyllm_actors.kernel import configure_console_log, configure_json_log, to_plain
from tinyllm_actors.testing import TraceRecorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRETS = st.text("abcdefghijkmnpqrstuvwxyz0123456789", min_size=14, max_size=24).map(lambda word: f"Q7{word}")
NAMES = st.sampled_from(
    ["api_key", "OPENAI_API_KEY", "password", "clientSecret", "Authorization", "x-api-key", "Cookie", "access_token"]
)


@dataclasses.dataclass
class Holder:
    """Holds something."""

    held: Any


def forms(secret: str) -> st.SearchStrategy[Any]:
    """Return the ways in which a secret occurs: by name, in an address, a header, a message, a JSON text, by value."""
    named = NAMES.flatmap(
        lambda name: st.sampled_from(
            [
                {name: secret},
                [(name, secret)],
                {"name": name, "value": secret},
                json.dumps({"user": "ann", name: secret}),
                json.dumps({"arguments": json.dumps({name: secret})}),
                f"{name}={secret}",
                f"refused: {name}: {secret}",
                repr({name: secret}),
            ]
        )
    )
    shaped = st.sampled_from(
        [
            f"postgresql://app:{secret}@db/chats",
            f"https://api.invalid/v1?user=1&token={secret}&x=2",
            f"GET https://api.invalid/v1?key={secret}",
            f"Authorization: Bearer {secret}",
            {"headers": {"authorization": f"Basic {secret}"}},
            f"the key is sk-{secret} indeed",
            f"ghp_{secret}{secret}",
            f"the variable says {os.environ['PLANTED_API_KEY']}",
        ]
    )
    return named | shaped


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return the same at any depth of dictionaries, lists and tuples."""
    return st.recursive(
        inner,
        lambda deeper: st.one_of(
            st.tuples(st.just("x"), deeper),
            st.lists(deeper, min_size=1, max_size=2),
            deeper.map(lambda value: {"options": value, "n": 1}),
        ),
        max_leaves=3,
    )


class Thrower(Function):
    async def run(self, planted: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise ValueError(f"cannot use {planted}")


class Keeper(Actor):
    def __init__(self, planted: Any) -> None:
        self.planted = planted

    async def receive(self, message: object) -> None:
        raise OSError(f"cannot use {self.planted}")


class Answerer(Function):
    """Gives back what it was given, or fails on it."""

    async def run(self, planted: Any, fails: bool) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if fails:
            raise ValueError(f"cannot use {planted}")
        return {"answer": planted, "sources": [planted]}


async def reported(planted: Any) -> dict[str, str]:
    """Return the results, the reports and the traces of an evaluation in which everything holds something."""

    async def scores(output: Any) -> dict[str, Any]:
        return {"evals": {"fine": 1.0}, "comment": f"said {planted}"}

    async def fails(output: Any) -> float:
        raise ValueError(f"cannot judge {planted}")

    cases = [
        Example(str(fail), {"planted": planted, "fails": fail}, expected=planted, metadata={"why": planted})
        for fail in (False, True)
    ]
    recorder = TraceRecorder()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "run.jsonl")
        async with ActorSystem("evals", log_transitions=False) as system:
            await start_tracing(system, recorder)
            run = await evaluate(
                system, Answerer, cases, [scores, fails], results=results, metadata={"about": planted}, name="run"
            )
        lines = await anyio.Path(results).read_text(encoding="utf-8")
    summary, comparison = summarize(run), compare(run, run)
    broken = [f"{name}: {why}" for record in run.records for name, why in record.failed.items()]
    return {
        "results": lines,
        "text report": report_text(run, summary, broken) + comparison_text(comparison),
        "JSON report": report_json(run, summary, broken, comparison),
        "JUnit report": report_junit(run, summary, broken),
        "HTML report": report_html(run, summary, broken, comparison),
        "experiment": "".join(str(experiment.attributes_of(seen, None)) for seen in recorder.observations)
        + str(experiment.links_of(run, None)),
    }


async def written(planted: Any) -> dict[str, str]:
    """Return everything that the library writes down of something, by where."""
    out: dict[str, str] = {}
    for kind in ("console", "json"):
        lines, text = io.BytesIO(), io.StringIO()
        log = configure_json_log(lines, level="debug") if kind == "json" else None
        if log is None:
            configure_console_log(level="debug", file=text)
        recorder = TraceRecorder()
        async with ActorSystem("service") as system:
            await start_tracing(system, recorder)
            thrower = await system.spawn(Thrower)
            out["error"] = json.dumps(await thrower(planted=planted))
            keeper = await system.spawn(Keeper, planted, name="keeper")
            with pytest.raises(ActorFailed):
                await keeper.ask("go")
            out["inspect"] = system.inspect().render() + json.dumps(system.inspect().to_dict())
            out["state"] = repr(await keeper.get_state())
        logger = structlog.get_logger("shop")
        logger.info("planted", payload=Holder(planted))
        try:
            raise RuntimeError(f"failed on {planted}")
        except RuntimeError:
            logger.exception("failed", more=[planted])
        if log is not None:
            await anyio.to_thread.run_sync(log.close)
        out[kind] = lines.getvalue().decode() + text.getvalue()
        structlog.reset_defaults()
        out["trace"] = "".join(
            f"{span_name(seen)} {attributes_of(seen, capture_content=True)} {to_plain(seen.error)}"
            for seen in recorder.observations
        )
    async with MemoryStore() as store:
        [grant] = await store.claim(["chat"], "test")
        said = planted if isinstance(planted, str) else json.dumps(planted)
        await store.append([Append.of(grant, [TurnStarted(turn_id="t1", content=said)])])
        async with aclosing(export_lines(store, "chat", redacted=True)) as lines_out:
            exported = [line async for line in lines_out]
        out["export"] = b"".join(exported).decode()

        async def again() -> AsyncIterator[bytes]:
            for line in exported:
                yield line

        await import_lines(store, again(), "test", key="copy")
    return out | await reported(planted)


os.environ["PLANTED_API_KEY"] = "planted value in the environment"


@settings(max_examples=25)
@given(planted=SECRETS.flatmap(lambda secret: st.tuples(st.just(secret), nested(forms(secret)))))
@example(planted=("Q7hunter2hunter2", {"deep": [("x-api-key", "Q7hunter2hunter2")]}))
def test_no_secret_gets_out(planted: tuple[str, Any]) -> None:
    """Whatever the form and the depth: logs, errors, traces, inspection, exports and reports do not have it."""
    secret, value = planted
    for where, text in anyio.run(written, value).items():
        assert secret not in text, f"{where}: {text}"
        assert os.environ["PLANTED_API_KEY"] not in text, f"{where}: {text}"
